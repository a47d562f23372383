"""What a way of asking is: one generator per question and sample, which yields requests, is sent completions, returns a row.

It never knows whether a completion was just written or was found in the ledger: a restart replays it. The ways are in `ways/`.
"""

from collections.abc import Generator, Mapping
from dataclasses import dataclass
from typing import Any, Protocol, TypeVar

from teacherlm.records import Completion, Request, Sampling

T = TypeVar("T")
Row = dict[str, Any]

Conversation = Generator[list[Request], list[Completion], T]
"""Yields what it wants to know next, is sent the answers in that order, returns what it made of them."""


@dataclass(frozen=True)
class Terms:
    """What all requests of a run have in common."""

    teacher: str
    """The model's name, for the row."""
    kinds: tuple[str, ...]
    """In the order of KINDS."""
    max_new_tokens: int
    sampling: Sampling


@dataclass(frozen=True)
class Drop:
    """A question that got no row, and why."""

    reason: str


class Way(Protocol):
    def __call__(self, row: Mapping[str, Any], terms: Terms, where: str, sample: int) -> Conversation[Row | Drop]:
        """The conversation about one question; `where` is the `file:line` of its row, `sample` says the how-manieth attempt it is."""
        ...
