"""Answers of a measurement that is in hand, in a ledger as a teacher's are: a process that is killed loses the batch it was reading."""

from array import array
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from hashlib import blake2b
from pathlib import Path
from typing import Any, Protocol

from teacherlm import interrupt
from teacherlm.errors import Stopped
from teacherlm.records import Completion, Engine, Request
from teacherlm.store.ledger import Ledger

FOLDER = "answers"
"""In the folder of a measurement, until it is done."""


class Kept(Protocol):
    """Answers by the key of what was asked."""

    def __contains__(self, key: str) -> bool: ...
    def __getitem__(self, key: str) -> Completion: ...
    def append(self, completions: Iterable[Completion]) -> None: ...


class InMemory(dict[str, Completion]):
    """Where nothing has to outlive the process."""

    def append(self, completions: Iterable[Completion]) -> None:
        self.update((one.key, one) for one in completions)


@contextmanager
def kept_in(measurement: Path) -> Iterator[tuple[Ledger, float]]:
    """(the answers that are there, seconds that earlier attempts took for them)."""
    folder = measurement / FOLDER
    seconds = sum(map(_seconds, folder.glob("*.jsonl")))
    with Ledger(folder) as ledger:
        yield ledger, seconds


def _seconds(segment: Path) -> float:
    """From its beginning, which its name tells, until it was last written to."""
    return max(0.0, segment.stat().st_mtime - int(segment.name.partition("-")[0]) / 1e9)


def completed(engine: Engine, requests: Sequence[tuple[str, Request]], kept: Kept) -> Iterator[Completion]:
    """What the engine writes for those that are not answered yet, each kept before it is told. A failure is told and not kept."""
    for one in engine.complete((key, request) for key, request in requests if key not in kept):
        if one.finish != "error":
            kept.append([one])
        yield one
    heed_wish()


def heed_wish() -> None:
    """Raises: Stopped where a signal asked for it; what was answered is kept."""
    if reason := interrupt.wanted():
        told = f"evaluate was ended by {reason}; the answers it has are kept, the same command goes on from there."
        raise Stopped(told, interrupt.exit_code(reason))


def weighed_key(context: Sequence[int], continuation: Sequence[int]) -> str:
    """Names a log-likelihood by the tokens read."""
    found = blake2b(digest_size=16)
    for part in (context, continuation):
        found.update(array("q", [len(part), *part]).tobytes())
    return found.hexdigest()


def as_completion(key: str, value: tuple[float, bool]) -> Completion:
    """lm-eval's (log-likelihood, whether it is what greedy writing gives) in the ledger's words."""
    return Completion(key, "", logprobs=(value[0], float(value[1])))


def as_weighed(one: Completion) -> tuple[float, bool]:
    value, greedy = one.logprobs
    return value, bool(greedy)


def in_batches(requests: Sequence[Any], size: int) -> Iterator[list[int]]:
    """Places of lm-eval's encoded requests, the longest first; those that one reading answers, such as the letters of a question,
    count as one. The same batches in every attempt: with them the very bits of the answers."""
    groups: dict[tuple[int, ...], list[int]] = {}
    for place in sorted(range(len(requests)), key=lambda place: _order(*requests[place][1:])):
        _, context, continuation = requests[place]
        groups.setdefault((*context, *continuation[:-1]), []).append(place)
    read = list(groups.values())
    for start in range(0, len(read), size):
        yield [place for group in read[start : start + size] for place in group]


def _order(context: list[int], continuation: list[int]) -> tuple[int, list[int]]:
    return -len(context) - len(continuation), context + continuation
