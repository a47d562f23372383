"""Texts as datasets hold them: cells whose type was guessed, lists of facts, explanations that are none."""

import re
from collections.abc import Iterable
from typing import Any

from teacherlm.datasets._columns import MISSING


def as_text(value: Any) -> str:
    """A cell's text. Careless readers turn the word `true` into a boolean, and an option `5` into a number."""
    if isinstance(value, bool):
        return "true" if value else "false"
    return "" if value is None else str(value)


def as_rationale(value: Any) -> str:
    """An explanation as written; "" for a placeholder such as `n/a`, which explains nothing."""
    text = as_text(value)
    return "" if text.strip().strip(".").lower() in MISSING else text


def as_sentences(facts: Iterable[Any]) -> str:
    """Facts one behind the other, each ending as a sentence does; empty ones are left out."""
    return " ".join(_ended(tidy_line(fact)) for fact in facts if as_rationale(fact))


def tidy_line(value: Any) -> str:
    """On one line, without doubled blanks; a no-break space stays what it is."""
    return re.sub(r"[ \t\r\n\f\v]+", " ", as_text(value)).strip(" ")


def _ended(sentence: str) -> str:
    return sentence if re.search(r"[.!?…][\"'”’)\]]*$", sentence) else f"{sentence.rstrip(' ,;:')}."
