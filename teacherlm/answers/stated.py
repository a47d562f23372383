"""Answers that a text states in a sentence: "The answer is (B)."; the rules of free text.

The first statement that fits counts: a text that runs on into the next question states that one's answer later. Only where there is
none does the rule's own way count (the last number, ...).
"""

import re
from collections.abc import Callable, Sequence

from teacherlm.answers.numbers import NUMBER, equal_numbers, plain_number
from teacherlm.answers.rule import AnswerRule, Finder

STATEMENT = r"\b[Aa]nswer(?:\s+(?:choice|option))?\s*(?:\b(?:is|was|would\s+be|must\s+be|should\s+be)\b\s*:?|:|=)\s*"
"""Before every stated answer: "answer is", "The answer is:", "Answer:", "answer would be"."""

# A bare "A" or "I" before another word is an article or a pronoun, not a letter: "The answer is A dog".
LETTER_HERE = r"(?:(?:option|choice)\s+)?(?P<answer>\(\s?[A-Za-z]\s?\)|(?:[AI](?!\s+\w)|[B-HJ-Z])(?![\w'’]))"
# 1/10, but not the first sum of 48/2=24 nor the month of 3/4/2021.
FRACTION = rf"(?:{NUMBER})(?:/\d+(?![\d/]|\.\d|\s*[-+*=×÷]))?"
# A full stop ends a stated text, unless it belongs to an initial or one of these: "St. Louis", "J. Smith".
ABBREVIATED = "".join(rf"(?<!\b{word})" for word in ("[A-Z]", "St", "Mt", "Dr", "Mr", "Ms", "Mrs", "Jr", "Sr", "No", "vs"))

Unstated = Callable[[str], str | None]


def stated_rule(
    name: str,
    stated: re.Pattern[str],
    unstated: Unstated,
    normalise: Callable[[str], str],
    equal: Callable[[str, str], bool] = str.__eq__,
    finder: Finder | None = None,
) -> AnswerRule:
    """A rule whose answers follow a STATEMENT (group `answer`), with what counts where there is none."""

    def candidates(text: str, choices: Sequence[str]) -> list[str]:
        found = [match["answer"] for match in stated.finditer(text)] or [unstated(text)]
        return [answer for answer in found if answer]

    find = finder or candidates
    return AnswerRule(name, find, lambda text, choices: find(f"The answer is {text.lstrip()}", choices), normalise, equal)


def _nothing(text: str) -> None:
    return None


def _last_number(text: str) -> str | None:
    found = re.findall(NUMBER, text)
    return found[-1] if found else None


def _leading_or_final_word(text: str) -> str | None:
    """`No, because ...` or `... So yes.`; any other "no" is just a word."""
    found = re.match(r"\W*(yes|no)\b(?=\s*(?:[.,;:!\n]|$))", text, re.IGNORECASE) or re.search(r"\b(yes|no)\W*$", text, re.IGNORECASE)
    return found.group(1) if found else None


def _plain_text(answer: str) -> str:
    return " ".join(answer.split()).strip("\"'").removesuffix(".")


def _letters(text: str, choices: Sequence[str]) -> list[str]:
    """Stated letters; where the choices are known, a choice stated by its text counts as its letter."""
    if not choices:
        return [match["answer"] for match in re.finditer(STATEMENT + LETTER_HERE, text)]
    found = (_letter_here(text[statement.end() :], choices) for statement in re.finditer(STATEMENT, text))
    return [letter for letter in found if letter]


def _letter_here(text: str, choices: Sequence[str]) -> str | None:
    """A bare letter that begins the text of a choice (`C major`) means that choice."""
    letter, choice = re.match(LETTER_HERE, text), _choice_here(text, choices)
    if letter and (choice is None or letter["answer"].startswith("(") or len(choices[choice].strip()) == 1):
        return letter["answer"]
    return chr(ord("A") + choice) if choice is not None else None


def _choice_here(text: str, choices: Sequence[str]) -> int | None:
    """Position of the choice whose text stands here, the longest one; None where two choices have that text."""
    fitting = [position for position, choice in enumerate(choices) if _begins_with(text, choice)]
    longest = max((len(choices[position].strip()) for position in fitting), default=0)
    meant = [position for position in fitting if len(choices[position].strip()) == longest]
    return meant[0] if len(meant) == 1 else None


def _begins_with(text: str, choice: str) -> bool:
    words = r"\s+".join(re.escape(word) for word in choice.strip().rstrip(".").split())
    return bool(words) and re.match(rf"[\"'“(\[*]*{words}(?!\w|[.,:/-]\w)", text, re.IGNORECASE) is not None


LETTER = stated_rule(
    "letter",
    re.compile(STATEMENT + LETTER_HERE),
    _nothing,
    normalise=lambda answer: answer.strip(" ().").upper(),
    finder=_letters,
)
NUMERIC = stated_rule(
    "number",
    re.compile(STATEMENT + rf"[^\n]*?(?P<answer>{FRACTION})"),
    _last_number,
    normalise=plain_number,
    equal=equal_numbers,
)
YES_NO = stated_rule(
    "yes_no",
    re.compile(STATEMENT + r"[\"'(]*(?P<answer>yes|no)\b", re.IGNORECASE),
    _leading_or_final_word,
    normalise=lambda answer: answer.strip(" \"'.,:;!()\n").lower(),
)
EXACT = stated_rule(
    "exact",
    re.compile(STATEMENT + rf"(?P<answer>[^\n]+?)(?=\.?\s*$|{ABBREVIATED}\.\s)", re.MULTILINE),
    _nothing,
    normalise=_plain_text,
)
