"""Conversations with an engine, answered from the ledger as far as it goes; what it lacks is asked, and written there at once."""

from collections import deque
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, field
from typing import Any, Generic, TypeVar

from teacherlm import interrupt
from teacherlm.asking import Conversation
from teacherlm.records import Completion, Engine, Request
from teacherlm.store.ledger import Ledger

T = TypeVar("T")


@dataclass(frozen=True)
class Told(Generic[T]):
    """The end of a conversation, and every completion it was sent."""

    result: T
    completions: tuple[Completion, ...]


@dataclass(eq=False)
class _Open:
    """A conversation that waits for answers."""

    conversation: Conversation[Any]
    told: list[Completion] = field(default_factory=list)
    wanted: list[str] = field(default_factory=list)
    """Keys of what it asked last, in its order."""
    missing: dict[str, Request] = field(default_factory=dict)
    """Those of them that the ledger lacks."""


class Inquiry:
    """One engine and one ledger."""

    def __init__(self, engine: Engine, ledger: Ledger) -> None:
        self.engine, self.ledger = engine, ledger

    def replay(self, conversation: Conversation[T]) -> Told[T]:
        """A conversation from the ledger alone. Raises: LookupError when it lacks an answer."""
        one = _Open(conversation)
        ended = self._carry_on(one)
        if ended is None:
            raise LookupError(next(iter(one.missing)))
        return ended

    def ask(self, conversations: Iterable[Conversation[Any]], on_end: Callable[[Told[Any]], None] = lambda told: None) -> None:
        """Until each has come to its end, or `interrupt.wanted()`. Conversations are opened as the engine reads ahead, in their order."""
        waiting: dict[str, list[_Open]] = {}
        again: deque[_Open] = deque()
        source = iter(conversations)

        def begin(one: _Open) -> Iterator[tuple[str, Request]]:
            ended = self._carry_on(one)
            if ended is not None:
                on_end(ended)
                return
            for key, request in one.missing.items():
                waiting.setdefault(key, []).append(one)
                if len(waiting[key]) == 1:
                    yield key, request

        def requests() -> Iterator[tuple[str, Request]]:
            while not interrupt.wanted():
                one = again.popleft() if again else _opened(source)
                if one is None:
                    return
                yield from begin(one)

        more = True
        while more and not interrupt.wanted():
            more = False
            for completion in self.engine.complete(requests()):
                more = True
                self.ledger.append([completion])
                for one in waiting.pop(completion.key):
                    del one.missing[completion.key]
                    if not one.missing:
                        again.append(one)
        if waiting and not interrupt.wanted():
            raise RuntimeError(f"the engine {self.engine.identity} left {len(waiting)} requests without an answer")

    def _carry_on(self, one: _Open) -> Told[Any] | None:
        """Send it what the ledger holds, as long as it holds all that is wanted; its end, or None with `missing` set."""
        try:
            if not one.wanted:
                self._want(one, next(one.conversation))
            while not one.missing:
                answers = [self.ledger[key] for key in one.wanted]
                one.told += answers
                self._want(one, one.conversation.send(answers))
        except StopIteration as end:
            return Told(end.value, tuple(one.told))
        return None

    def _want(self, one: _Open, requests: list[Request]) -> None:
        keys = [request.key(self.engine.identity) for request in requests]
        one.wanted = keys
        one.missing = {key: request for key, request in zip(keys, requests, strict=True) if key not in self.ledger}


def _opened(source: Iterator[Conversation[Any]]) -> _Open | None:
    conversation = next(source, None)
    return None if conversation is None else _Open(conversation)
