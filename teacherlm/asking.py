"""What a way of asking is: one generator per question and sample, which yields requests, is sent completions, returns a row.

It never knows whether a completion was just written or was found in the ledger: a restart replays it. The ways are in `ways/`.
"""

from collections.abc import Generator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Protocol, TypeVar

from teacherlm.records import LOGPROBS, Completion, Request, Sampling

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
    top_logprobs: int = 0
    """How many of the most likely tokens are told at each token of a rationale."""

    def request(self, prompt: str, sample: int, where: str) -> Request:
        """For a rationale."""
        return Request(prompt, self.max_new_tokens, self.sampling, sample, top_logprobs=self.top_logprobs, where=where)


def told_beside(kind: str, written: Completion) -> Row:
    """Columns about a rationale: how it ended, and the name of its log-probabilities in the ledger, where they were asked for."""
    named = {f"{kind}{LOGPROBS}": written.key} if written.top_logprobs else {}
    return {f"{kind}_finish": written.finish, **named}


@dataclass(frozen=True)
class Drop:
    """A question that got no row, and why."""

    reason: str


class Way(Protocol):
    def __call__(self, row: Mapping[str, Any], terms: Terms, where: str, sample: int) -> Conversation[Row | Drop]:
        """The conversation about one question; `where` is the `file:line` of its row, `sample` says the how-manieth attempt it is."""
        ...


def together(conversations: Sequence[Conversation[T]]) -> Conversation[list[T]]:
    """Several conversations as one: in every step all of them ask what they want next. Returns their results, in their order."""
    ends: dict[int, T] = {}
    wanting: dict[int, list[Request]] = {}

    def go_on(number: int, answers: list[Completion] | None) -> None:
        try:
            one = conversations[number]
            wanting[number] = next(one) if answers is None else one.send(answers)
        except StopIteration as end:
            wanting.pop(number, None)
            ends[number] = end.value

    for number in range(len(conversations)):
        go_on(number, None)
    while wanting:
        told = iter((yield [request for requests in wanting.values() for request in requests]))
        for number, requests in list(wanting.items()):
            go_on(number, [next(told) for _ in requests])
    return [ends[number] for number in range(len(conversations))]
