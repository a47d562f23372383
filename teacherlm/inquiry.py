"""Conversations with an engine, answered from the ledger as far as it goes; what it lacks is asked, and written there at once."""

import time
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, field
from itertools import chain, islice
from typing import Any, Generic, TypeVar

from teacherlm import interrupt
from teacherlm.asking import Conversation
from teacherlm.log import say
from teacherlm.records import Completion, Engine, Request
from teacherlm.store.ledger import Ledger

T = TypeVar("T")

TAKEN_AT_ONCE = 64
"""Conversations whose requests are taken together; other processes on the same ledger leave those to this one."""
LOOK_EVERY_SECONDS = 0.5


@dataclass(frozen=True)
class Told(Generic[T]):
    """The end of a conversation, and every completion it was sent."""

    result: T
    completions: tuple[Completion, ...]
    asked: bool = False
    """Whether something had to be asked for it; False where the ledger knew everything."""


class Unanswered(LookupError):
    """The ledger lacks an answer."""


@dataclass(eq=False)
class _Open:
    """A conversation that waits for answers."""

    conversation: Conversation[Any]
    told: list[Completion] = field(default_factory=list)
    wanted: list[str] = field(default_factory=list)
    """Keys of what it asked last, in its order."""
    missing: dict[str, Request] = field(default_factory=dict)
    """Those of them that the ledger lacks."""
    asked: bool = False


_Opens = dict[_Open, None]
"""A set that keeps its order."""


class Inquiry:
    """One engine and one ledger."""

    def __init__(self, engine: Engine, ledger: Ledger) -> None:
        self.engine, self.ledger = engine, ledger

    def replay(self, conversation: Conversation[T]) -> Told[T]:
        """A conversation from the ledger alone. Raises: Unanswered when it lacks an answer."""
        one = _Open(conversation)
        ended = _carry_on(one, self.engine, self.ledger)
        if ended is None:
            raise Unanswered(next(iter(one.missing)))
        return ended

    def ask(
        self,
        conversations: Iterable[Conversation[Any]],
        on_end: Callable[[Told[Any]], None] = lambda told: None,
        on_answer: Callable[[Completion], None] = lambda completion: None,
    ) -> None:
        """Until each has come to its end, or `interrupt.wanted()`. They are opened as the engine reads ahead, in their order.

        What another living process is asking at the moment is waited for, not asked again.
        """
        _Asking(self.engine, self.ledger, iter(conversations), on_end, on_answer).ask_all()


def _carry_on(one: _Open, engine: Engine, ledger: Ledger) -> Told[Any] | None:
    """Send it what the ledger holds, as long as it holds all that is wanted; its end, or None with `missing` set."""
    try:
        if not one.wanted:
            _want(one, next(one.conversation), engine, ledger)
        while not one.missing:
            answers = [ledger[key] for key in one.wanted]
            one.told += answers
            _want(one, one.conversation.send(answers), engine, ledger)
    except StopIteration as end:
        return Told(end.value, tuple(one.told), one.asked)
    return None


def _want(one: _Open, requests: list[Request], engine: Engine, ledger: Ledger) -> None:
    one.wanted = [request.key(engine.identity) for request in requests]
    one.missing = {key: request for key, request in zip(one.wanted, requests, strict=True) if key not in ledger}


class _Asking:
    """All open conversations of one call of `ask`."""

    def __init__(
        self,
        engine: Engine,
        ledger: Ledger,
        source: Iterator[Conversation[Any]],
        on_end: Callable[[Told[Any]], None],
        on_answer: Callable[[Completion], None],
    ) -> None:
        self.engine, self.ledger, self.source = engine, ledger, source
        self.on_end, self.on_answer = on_end, on_answer
        self.again: _Opens = {}
        """Have got all answers they waited for; they come before new ones."""
        self.asked: dict[str, _Opens] = {}
        """Key -> who waits for it; the engine has it."""
        self.elsewhere: dict[str, _Opens] = {}
        """Key -> who waits for it; another process has it."""
        self.told_of_others = False

    def ask_all(self) -> None:
        while not interrupt.wanted():
            for completion in self._completions():
                self.ledger.append([completion])
                self.on_answer(completion)
                self._answer(self.asked, completion.key)
            if interrupt.wanted():
                return
            if self.asked:
                raise RuntimeError(f"the engine {self.engine.identity} left {len(self.asked)} requests without an answer")
            if not self.again and not self.elsewhere:
                return
            if not self.again:
                self._look_elsewhere()

    def _completions(self) -> Iterator[Completion]:
        """An engine that is asked nothing loads nothing."""
        requests = self._requests()
        if (first := next(requests, None)) is not None:
            yield from self.engine.complete(chain([first], requests))

    def _requests(self) -> Iterator[tuple[str, Request]]:
        """What the engine pulls: first what opened conversations want next, then those of new ones."""
        while not interrupt.wanted():
            ready = list(islice(self.again, TAKEN_AT_ONCE))
            for one in ready:
                del self.again[one]
            ready += [_Open(new) for new in islice(self.source, TAKEN_AT_ONCE - len(ready))]
            if not ready:
                return
            yield from self._take(ready)

    def _take(self, ready: list[_Open]) -> Iterator[tuple[str, Request]]:
        """The requests of these conversations that nobody has asked yet."""
        wanting = [one for one in ready if not self._ended(one)]
        new = {key: request for one in wanting for key, request in one.missing.items() if key not in self.asked}
        if new:
            others = self.ledger.claim(new)
            self._tell_of(others)
            new = {key: request for key, request in new.items() if key not in others and key not in self.ledger}
        for one in wanting:
            one.asked = True
            for key in list(one.missing):
                if key in new or key in self.asked:
                    self.asked.setdefault(key, {})[one] = None
                elif key in self.ledger:
                    del one.missing[key]
                else:
                    self.elsewhere.setdefault(key, {})[one] = None
            if not one.missing:
                self.again[one] = None
        for key, request in new.items():
            if interrupt.wanted():
                return
            yield key, request

    def _ended(self, one: _Open) -> bool:
        ended = _carry_on(one, self.engine, self.ledger)
        if ended is not None:
            self.on_end(ended)
        return ended is not None

    def _answer(self, waiting: dict[str, _Opens], key: str) -> None:
        for one in waiting.pop(key):
            one.missing.pop(key, None)
            if not one.missing:
                self.again[one] = None

    def _look_elsewhere(self) -> None:
        """Waits for what other processes are at; what a dead one had taken is asked here."""
        others = self.ledger.claim(list(self.elsewhere))
        for key in [key for key in self.elsewhere if key not in others]:
            if key in self.ledger:
                self._answer(self.elsewhere, key)
            else:
                self.again.update(self.elsewhere.pop(key))
        if not self.again:
            time.sleep(LOOK_EVERY_SECONDS)

    def _tell_of(self, others: dict[str, str]) -> None:
        if others and not self.told_of_others:
            self.told_of_others = True
            say(f"{next(iter(others.values()))} is at work on the same questions; what it has taken is left to it.")
