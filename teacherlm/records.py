"""The rows that flow through everything: questions, and what is asked of a model and answered by it."""

import hashlib
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any, Literal, Protocol

OUR_COLUMNS = ("id", "prompt", "choices", "answer", "answer_rule", "template")
"""Columns `prepare` adds beside the texts. A source column of the same name is kept as `source_<name>`."""


@dataclass(frozen=True, slots=True)
class Question:
    """One row of a dataset, normalised. Carries its answer rule and template: nobody downstream asks for the dataset's name."""

    question: str
    """The question alone, without choices or template."""
    answer: str
    """Gold: a letter where there are choices, else free text; "" in a split without labels."""
    choices: tuple[str, ...] = ()
    answer_rule: str = "exact"
    """A rule of `answers.py`."""
    explanation: str = ""
    """The source's own rationale, where it has one."""
    source_id: str = ""
    """The source's own id; "" when it has none (then content and occurrence decide)."""
    raw: Mapping[str, Any] = field(default_factory=dict)
    """The source's columns, untouched."""
    where: str = ""
    """`file:line`, for messages."""


@dataclass(frozen=True, slots=True)
class Sampling:
    """Temperature 0 is greedy; `top_k` 0 and `top_p` 1 switch those off. Text ends before the first of `stop`."""

    temperature: float = 0.0
    top_p: float = 1.0
    top_k: int = 0
    stop: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Request:
    """One text to be written by an engine."""

    prompt: str
    max_new_tokens: int
    sampling: Sampling = Sampling()
    sample: int = 0
    """i-th answer to the same prompt."""
    where: str = ""
    """`file:line` of the question, for messages; not part of the key."""

    def key(self, identity: str) -> str:
        """32 hex digits that name the completion for ever: same key, same text.

        `identity` is the engine's (model, precision, run seed); nothing about batches, ranks or time enters.
        """
        s = self.sampling
        words = (identity, self.prompt, str(self.max_new_tokens), f"{s.temperature}/{s.top_p}/{s.top_k}/{s.stop}", str(self.sample))
        return hashlib.blake2b("\0".join(words).encode(), digest_size=16).hexdigest()


@dataclass(frozen=True, slots=True)
class Completion:
    """What an engine wrote for the request with this key. `text` excludes the prompt, special tokens and the stop string."""

    key: str
    text: str
    finish: Literal["stop", "length", "error"] = "stop"
    prompt_tokens: int = 0
    tokens: int = 0
    error: str = ""
    """Why nothing could be written; the row is dropped with this reason."""


class Engine(Protocol):
    """The border to anything that writes text; runs teachers and students alike."""

    identity: str
    """Names model and revision, precision and seed: completions of equal identity are interchangeable."""

    def complete(self, requests: Iterable[tuple[str, Request]]) -> Iterator[Completion]:
        """`requests` are (key, request). Reads ahead as far as it likes, yields in any order, never loses or repeats a key."""
        ...
