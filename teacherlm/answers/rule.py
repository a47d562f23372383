"""What an answer rule is: what in a text may be the answer, one spelling for each answer, and when two are the same."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass

Finder = Callable[[str, Sequence[str]], list[str]]
"""(text, the question's choices or none) -> everything in the text that may be the answer, in its order."""


@dataclass(frozen=True)
class AnswerRule:
    """How answers of one shape are told from a text."""

    name: str
    candidates: Finder
    """Of a whole text."""
    candidates_after_prefix: Finder
    """Of what follows a prefix such as `-->`, which states the answer by itself."""
    normalise: Callable[[str], str]
    """One spelling for each answer, found or gold."""
    equal: Callable[[str, str], bool] = str.__eq__
    """Compares two normalised answers."""
