"""What a gate is: it gives a verdict on a rationale, and some verdicts drop the row. The gates are in `gates/`."""

import re
from collections.abc import Callable, Generator, Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any, Protocol

from teacherlm.catalog import ChosenSettings, find
from teacherlm.prompts import KINDS
from teacherlm.records import Completion, Request

NOT_JUDGED = "not judged"
"""Of a kind that a gate cannot judge, or a row that was dropped before a model would have been asked about it."""
NEXT_QUESTION = re.compile(r"(?<!\S)Q:")
REASONING_KINDS = frozenset({"cot", "fundamental"})
"""Kinds that speak for the right answer: a text about mistakes states wrong ones on purpose."""


def before_next_question(text: str) -> str:
    """A text up to where it runs on into another question."""
    return NEXT_QUESTION.split(text, maxsplit=1)[0]


@dataclass(frozen=True, slots=True)
class Rationale:
    """What a gate sees: the teacher's text about one question, and what is right."""

    kind: str
    text: str
    gold: str
    answer_rule: str
    choices: tuple[str, ...] = ()
    finish: str = ""
    """How the text ended: stop | length; "" where nobody knows."""
    found: str | None = None
    """The answer that the teacher gave when asked for it after the text, "" where it gave none; None where it was not asked."""
    id: str = ""
    """Of the question."""
    prompt: str = ""
    """The question as a student reads it."""
    template: str = "teacherlm"
    row: Mapping[str, Any] = field(default_factory=dict)
    """The whole row, for prompts of the user's own."""

    @property
    def own_text(self) -> str:
        return before_next_question(self.text)


class Memory(Protocol):
    """What a gate knows of the rows before; the rows may be gone through more than once."""

    def begin(self) -> None:
        """Forget everything: the rows come again from the first."""
        ...

    def keep(self, rationale: Rationale) -> None:
        """This one passed all gates that need no model."""
        ...

    def close(self) -> None: ...


@dataclass(frozen=True, kw_only=True)
class Gate:
    """One check."""

    name: str
    verdicts: tuple[str, ...]
    """From the gravest down: a row with several rationales counts under the gravest of theirs."""
    drops: frozenset[str]
    """Verdicts that drop a row where the gate is in `verify`; in `measure` none does."""
    column: str
    """The verdict on each kind is written as `<kind>_<column>`."""
    kinds: frozenset[str] = frozenset(KINDS)
    """Kinds of rationale that it can judge."""

    def gravest(self, verdicts: Iterable[str]) -> str:
        return min(verdicts, key=(*self.verdicts, NOT_JUDGED).index)


@dataclass(frozen=True, kw_only=True)
class JudgingGate(Gate):
    """Tells by itself."""

    judge: Callable[[Rationale], str]
    """The verdict, one of `verdicts`."""
    memory: Memory | None = None

    def verdict(self, rationale: Rationale) -> str:
        return self.judge(rationale) if rationale.kind in self.kinds else NOT_JUDGED


@dataclass(frozen=True, kw_only=True)
class AskingGate(Gate):
    """Asks a model."""

    ask: Callable[[Rationale], Generator[list[Request], list[Completion], str]]
    """A conversation that returns the verdict."""
    engine: ChosenSettings
    """The model's."""


def build_gate(settings: ChosenSettings) -> Gate:
    gate: Gate = find("gates", settings.name).build(settings)
    return gate
