"""Texts of a student, and the words of one while it is being written."""

import sys
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from typing import Any

from teacherlm import interrupt
from teacherlm.prompts import Chat
from teacherlm.records import Completion, Request, Sampling
from teacherlm.using.student import Turn, Wording

HALF = "\ufffd"
"""What the beginning of a character of several tokens is decoded as."""


@dataclass(frozen=True)
class Manner:
    """How texts are written."""

    max_new_tokens: int = 256
    temperature: float = 0.0
    samples: int = 1


class Writer:
    """One student in memory (or behind an API), and how it is asked."""

    def __init__(self, engine: Any, name: str, wording: Wording, manner: Manner) -> None:
        self.engine, self.wording, self.manner = engine, wording, manner
        self._put = _renderer(engine, name, wording.chat) if wording.chat else None
        """None where the engine puts a single turn itself, and where nothing chats."""
        if self._put:
            engine.texts.rendered = True

    @property
    def keeps_turns(self) -> bool:
        """It can be told what was said before."""
        return self._put is not None

    def prompt(self, turns: Sequence[Turn]) -> str:
        """What the student reads."""
        return self._put(turns) if self._put else turns[-1]["content"]

    def requests(self, prompt: str) -> list[Request]:
        """One for each sample."""
        asked = Request(prompt, self.manner.max_new_tokens, Sampling(self.manner.temperature, stop=self.wording.stops))
        return [replace(asked, sample=sample) for sample in range(self.manner.samples)]

    def write(self, prompts: Sequence[str]) -> Iterator[tuple[Request, Completion]]:
        """Each different request once, in any order; fewer once `interrupt.wanted()`."""
        asked = {request.key(self.engine.identity): request for prompt in prompts for request in self.requests(prompt)}
        for completion in self.engine.complete(asked.items()):
            yield asked[completion.key], completion

    def write_aloud(self, request: Request, say: Callable[[str], None]) -> Completion:
        """`say` is given the text piece by piece as it is written, where the engine lets it be heard.

        Raises: KeyboardInterrupt where a signal ended it before there was a text.
        """
        aloud = _Aloud(self.engine, self.wording.stops, say)
        can_be_heard = hasattr(self.engine, "heard")
        if can_be_heard:
            self.engine.heard = aloud.hear
        try:
            told: Completion | None = next(iter(self.engine.complete([(request.key(self.engine.identity), request)])), None)
        finally:
            if can_be_heard:
                self.engine.heard = None
        if told is None:
            assert interrupt.wanted()
            raise KeyboardInterrupt
        aloud.end(told.text)
        return told


def _renderer(engine: Any, name: str, chat: Chat) -> Callable[[Sequence[Turn]], str] | None:
    if not hasattr(engine, "texts"):
        return None
    from teacherlm.engines.bodies.turns import Renderer

    return Renderer(engine.tokenizer, chat, name).start


class _Aloud:
    """Says what is certain: no half characters, and nothing that may yet turn out to be the end of the text."""

    def __init__(self, engine: Any, stops: Sequence[str], say: Callable[[str], None]) -> None:
        self.engine, self.stops, self.say = engine, stops, say
        self.said = ""

    def hear(self, row: Any) -> None:
        text = str(self.engine.texts.text(row.prompt, row.written))
        self._say_up_to(text[: certain(text, self.stops)])

    def end(self, text: str) -> None:
        self._say_up_to(text)

    def _say_up_to(self, text: str) -> None:
        if text.startswith(self.said) and len(text) > len(self.said):
            self.say(text[len(self.said) :])
            self.said = text


def certain(text: str, stops: Sequence[str]) -> int:
    """How many characters of an unfinished text will stay: up to a stop string, or what may become one."""
    ends = [place for stop in stops if (place := text.find(stop)) >= 0]
    begun = [len(text) - size for stop in stops for size in range(1, len(stop)) if text.endswith(stop[:size])]
    return min([*ends, *begun, len(text.rstrip(HALF))])


def to_stdout(text: str) -> None:
    sys.stdout.write(text)
    sys.stdout.flush()
