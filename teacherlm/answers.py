"""The answer in a text: found, normalised, compared. One rule each for verification and for generative evaluation.

A rule first looks for an explicit statement ("The answer is (B)."), the first one that fits: a text that runs on into the next
question states that one's answer later. Only where there is none does the rule's own way count (the last number, ...).
"""

import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from decimal import Decimal, InvalidOperation

from teacherlm.errors import unknown

STATEMENT = r"\b[Aa]nswer(?:\s+(?:choice|option))?\s*(?:\b(?:is|was|would\s+be|must\s+be|should\s+be)\b\s*:?|:|=)\s*"
"""Before every stated answer: "answer is", "The answer is:", "Answer:", "answer would be"."""

NUMBER = r"(?<![A-Za-z\d.])[-−]?[$€£]?[-−]?(?:\d{1,3}(?:,\d{3})+(?!\d)|\d+)(?:\.\d+)?|(?<![\w.])[-−]?\.\d+"
TOLERANCE = Decimal("1e-6")


@dataclass(frozen=True)
class AnswerRule:
    """How answers of one shape are told from a text."""

    name: str
    stated: re.Pattern[str]
    """An explicit statement; group `answer` is the answer."""
    unstated: Callable[[str], str | None]
    """The answer of a text that states none; None when there is no telling."""
    normalise: Callable[[str], str]
    """One spelling for each answer."""
    equal: Callable[[str, str], bool] = str.__eq__
    """Compares two normalised answers."""


def find_answer(text: str, rule: "str | AnswerRule") -> str | None:
    """The normalised answer that a model stated in free text; None when it stated none."""
    chosen = as_rule(rule)
    statement = chosen.stated.search(text)
    found = statement.group("answer") if statement else chosen.unstated(text)
    return chosen.normalise(found) if found else None


def same(one: str, other: str, rule: "str | AnswerRule") -> bool:
    """Whether two answers mean the same under the rule: `51.0` and `51`, `1,234` and `1234`, `(B)` and `B`."""
    chosen = as_rule(rule)
    return chosen.equal(chosen.normalise(one), chosen.normalise(other))


def normalise(answer: str, rule: "str | AnswerRule") -> str:
    return as_rule(rule).normalise(answer)


def rule(name: str) -> AnswerRule:
    """Raises: UserError for an unknown name."""
    if name not in RULES:
        raise unknown("answer rule", name, RULES)
    return RULES[name]


def as_rule(given: "str | AnswerRule") -> AnswerRule:
    return given if isinstance(given, AnswerRule) else rule(given)


def _nothing(text: str) -> None:
    return None


def _last_number(text: str) -> str | None:
    found = re.findall(NUMBER, text)
    return found[-1] if found else None


def _leading_or_final_word(text: str) -> str | None:
    """`No, because ...` or `... So yes.`; any other "no" is just a word."""
    found = re.match(r"\W*(yes|no)\b(?=\s*(?:[.,;:!\n]|$))", text, re.IGNORECASE) or re.search(r"\b(yes|no)\W*$", text, re.IGNORECASE)
    return found.group(1) if found else None


def _plain_number(answer: str) -> str:
    return re.sub(r"[,$€£\s]", "", answer).replace("−", "-").removesuffix(".")


def _equal_numbers(one: str, other: str) -> bool:
    try:
        return abs(Decimal(one) - Decimal(other)) <= TOLERANCE
    except InvalidOperation:
        return one == other


def _plain_text(answer: str) -> str:
    return " ".join(answer.split()).strip("\"'").removesuffix(".")


# A full stop ends a stated text, unless it belongs to an initial or one of these: "St. Louis", "J. Smith".
ABBREVIATED = "".join(rf"(?<!\b{word})" for word in ("[A-Z]", "St", "Mt", "Dr", "Mr", "Ms", "Mrs", "Jr", "Sr", "No", "vs"))

# A bare "A" or "I" before another word is an article or a pronoun, not a letter: "The answer is A dog".
LETTER = AnswerRule(
    name="letter",
    stated=re.compile(STATEMENT + r"(?:(?:option|choice)\s+)?(?P<answer>\(\s?[A-Za-z]\s?\)|(?:[AI](?!\s+\w)|[B-HJ-Z])(?![\w'’]))"),
    unstated=_nothing,
    normalise=lambda answer: answer.strip(" ().").upper(),
)
NUMERIC = AnswerRule(
    name="number",
    stated=re.compile(STATEMENT + rf"[^\n]*?(?P<answer>{NUMBER})"),
    unstated=_last_number,
    normalise=_plain_number,
    equal=_equal_numbers,
)
YES_NO = AnswerRule(
    name="yes_no",
    stated=re.compile(STATEMENT + r"[\"'(]*(?P<answer>yes|no)\b", re.IGNORECASE),
    unstated=_leading_or_final_word,
    normalise=lambda answer: answer.strip(" \"'.,:;!()\n").lower(),
)
EXACT = AnswerRule(
    name="exact",
    stated=re.compile(STATEMENT + rf"(?P<answer>[^\n]+?)(?=\.?\s*$|{ABBREVIATED}\.\s)", re.MULTILINE),
    unstated=_nothing,
    normalise=_plain_text,
)
RULES: Mapping[str, AnswerRule] = {r.name: r for r in (LETTER, NUMERIC, YES_NO, EXACT)}
