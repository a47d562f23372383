"""Answers that are a text of their own: all that is written, or all behind "The answer is". For instructions and generation tasks."""

import string
from collections.abc import Sequence

from teacherlm.answers.rule import AnswerRule

STATED = "The answer is "
DROPPED = str.maketrans("", "", string.punctuation)


def _whole(text: str, choices: Sequence[str]) -> list[str]:
    _, stated, behind = text.partition(STATED)
    return [behind if stated else text]


def _plain(text: str) -> str:
    """As Tk-Instruct's exact match compares: lower case, no ASCII punctuation, single spaces; articles stay."""
    return " ".join(text.lower().translate(DROPPED).split())


TEXT = AnswerRule("text", _whole, _whole, _plain)
