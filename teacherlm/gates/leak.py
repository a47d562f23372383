"""Does a rationale give the answer away before it reasons, or speak of an answer it was shown? A student would learn to do the same."""

import re
from collections.abc import Iterator
from functools import lru_cache
from typing import Annotated, Literal

from pydantic import Field

from teacherlm.catalog import ChosenSettings
from teacherlm.prompts import LETTERS, letters
from teacherlm.stage import Plugin
from teacherlm.verify import REASONING_KINDS, JudgingGate, Rationale

VERDICTS = ("leak", "hint", "clean")

FILLERS = (
    r"(?:(?:ok(?:ay)?|sure|well|so|therefore|thus|hence|clearly|of course|let'?s (?:see|think(?: about it)?(?: step by step)?)"
    r"|(?:we|i) know(?: that)?|it is (?:clear|known|obvious)(?: that)?|a|answer|explanation)[,.:!]*\s+)*"
)
"""Words that may come before a first statement without being a reason for it."""
ANSWER = (
    r"(?:the |my |our )?(?:(?:correct|right|final|best|true) )?(?:answer|option|choice)(?: (?:to|for) (?:this|the) (?:question|problem))?"
)
IS = r"\s*(?:is|was|would be|must be|should be|:|=)\s*:?\s*"
CLAIM = r"(?:the|this) (?:(?:given|following|above) )?(?:statement|sentence|claim|assertion) is\s+"
REASON = r"because\b|since\b|is (?:the )?(?:correct|right|true)\b|$"
STOP = rf"(?=\s*(?:[.;:!?\n—–]|{REASON}))"
"""What may follow an answer that stands alone; before anything else it is only a word of a sentence."""
STOP_OF_WORD = rf"(?=\s*(?:[.,;:!?\n—–-]|{REASON}))"
"""... after yes, no, true and false, which begin no other sentence than their own."""
STOP_OF_ONE = rf"(?=\s*(?:[;:!\n]|{REASON}))"
"""... after 0 and 1: `1. First, ...` is a list."""
NOTHING = r"(?!)"
"""Matches no text at all."""
SINGLE_WORDS = ("yes", "no", "true", "false")

TOLD = (
    r"\b(?:we|you|i) (?:are|were|have been|am|was) (?:told|given|shown)(?: that)? (?:the|what the)"
    r" (?:correct |right |final )?answer\b(?! choices?\b)",
    r"\b(?:given|knowing|told|stated|provided) that (?:the )?(?:correct |right |final )?answer is\b",
    r"\bthe (?:given|provided|stated|known|gold|reference) (?:correct |right )?answer\b(?! (?:choices?|options?)\b)",
    r"\bthe (?:correct |right )?answer (?:that )?(?:is |was |has been |already )?(?:given|provided|stated|shown|known)"
    r"(?: (?:to us|above|already|beforehand|in the (?:question|prompt|problem|hint)))?(?=\s*(?:[.,;:)(\n]|is\b|as\b|so\b|we\b|and\b|$))",
    r"\bas (?:already )?(?:stated|given|said|mentioned|indicated|told|shown) (?:in|by|with) the (?:answer|hint|solution)\b",
    r"\bas (?:already )?(?:stated|given|said|mentioned|told)(?: above)?,? (?:that )?the (?:correct |right )?answer is\b",
    r"\b(?:according to|based on|from|using|following|as) the (?:given |provided )?hint\b",
    r"\bthe hint (?:says|said|tells|states|suggests|shows|is|was|gives)\b",
    r"\b(?:justify|justifies|explain why) (?:the |this )?(?:given |correct |right )?answer is\b",
    r"\bwork(?:ing)? backwards? from the (?:given |correct |right )?answer\b",
)
"""Phrases of somebody who was shown the answer."""
GIVEN = r"\b(?:since|because|as|given|knowing) (?:that )?(?:we know (?:that )?)?the (?:correct |right |final )?answer is\s+"
"""... and of one who gives the right answer as the reason for something."""


class LeakSettings(ChosenSettings):
    name: Literal["leak"] = "leak"
    hints: bool = True
    """Also flag phrases of a teacher that was shown the answer: "we are told the answer is", "according to the hint"."""
    phrases: list[Annotated[str, Field(min_length=1)]] = []
    """More such phrases, in plain words."""
    drops: list[Literal["leak", "hint", "clean"]] = ["leak", "hint"]
    """Verdicts that drop a row."""


@lru_cache(maxsize=4096)
def _spellings(gold: str, rule: str, choices: tuple[str, ...]) -> tuple[str, str]:
    """Patterns of the right answer: named as one (`(B)`, `B`), and in its own words (`carbon dioxide`)."""
    if not choices:
        word = _phrase(gold)
        if rule == "number":
            number = ",?".join(map(re.escape, gold.replace(",", "").strip(" .$€£")))
            word = rf"[$€£]?{number}(?:\.0+)?(?![\d,.]*\d|/)"
        return word, word
    letter, text = LETTERS[_position(gold)], choices[_position(gold)]
    article = r"(?!\s+(?!because\b|since\b|is\b)\w)" if letter in "AI" else ""
    named = rf"(?-i:\(\s?{letter}\s?\)|{letter}(?![\w'’]){article})"
    own = _phrase(text) if text.strip(" .") else named
    return rf"(?:{named}(?:\s+{own})?|{own})", own


def _phrase(text: str) -> str:
    words = r"\s+".join(re.escape(word) for word in text.strip().rstrip(".").split())
    if not words:
        return NOTHING
    return rf"[\"'“]?{words}(?!\w|[.,:/-]\w)[\"'”]?"


@lru_cache(maxsize=4096)
def _openings(gold: str, rule: str, choices: tuple[str, ...]) -> re.Pattern[str]:
    """The right answer stated before anything else."""
    named, own = _spellings(gold, rule, choices)
    stated = rf"{ANSWER}{IS}(?:option |choice )?{named}(?!\w)"
    alone = rf"{own}{_stop(choices[_position(gold)] if choices else gold)}"
    if not choices:
        return re.compile(rf"\W*{FILLERS}(?:{stated}|{alone})", re.IGNORECASE)
    claimed = rf"{CLAIM}{own}{STOP_OF_WORD}"
    letter, others = LETTERS[_position(gold)], "".join(other for other in letters(choices) if other != LETTERS[_position(gold)])
    # `(A) oxygen: ... (B) carbon dioxide: ...` goes through the choices one by one
    listed = rf"(?!.*\((?-i:[{others}])\))" if others else ""
    labelled = rf"(?:(?:option |choice )?\(?(?-i:{letter})\)|(?:option|choice) (?-i:{letter}){STOP}){listed}"
    return re.compile(rf"\W*{FILLERS}(?:{stated}|{claimed}|{labelled}|{alone})", re.IGNORECASE | re.DOTALL)


def _stop(answer: str) -> str:
    plain = answer.strip(" .").lower()
    return STOP_OF_WORD if plain in SINGLE_WORDS else STOP_OF_ONE if plain in ("0", "1") else STOP


def _position(gold: str) -> int:
    """Of the right choice."""
    return LETTERS.index(gold.strip(" ().").upper())


@lru_cache(maxsize=4096)
def _given(gold: str, rule: str, choices: tuple[str, ...]) -> re.Pattern[str]:
    named, _ = _spellings(gold, rule, choices)
    return re.compile(rf"{GIVEN}{named}(?!\w)", re.IGNORECASE)


def _hints(settings: LeakSettings) -> Iterator[re.Pattern[str]]:
    if settings.hints:
        yield from (re.compile(phrase, re.IGNORECASE) for phrase in TOLD)
    for phrase in settings.phrases:
        yield re.compile(r"(?<!\w)" + r"\s+".join(map(re.escape, phrase.split())) + r"(?!\w)", re.IGNORECASE)


def build(settings: LeakSettings) -> JudgingGate:
    hints = list(_hints(settings))

    def judge(rationale: Rationale) -> str:
        text, what = rationale.own_text, (rationale.gold, rationale.answer_rule, rationale.choices)
        if _openings(*what).match(text):
            return "leak"
        hinted = any(hint.search(text) for hint in hints) or (settings.hints and _given(*what).search(text))
        return "hint" if hinted else "clean"

    return JudgingGate(
        name=settings.name, judge=judge, verdicts=VERDICTS, drops=frozenset(settings.drops), column="leak", kinds=REASONING_KINDS
    )


GATE = Plugin(LeakSettings, build)
