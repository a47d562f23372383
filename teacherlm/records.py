"""The rows that flow through everything: questions, and what is asked of a model and answered by it."""

import hashlib
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal, NamedTuple, Protocol

OUR_COLUMNS = ("id", "prompt", "choices", "answer", "answer_rule", "template")
"""Columns `prepare` adds beside the texts. A source column of the same name is kept as `source_<name>`."""


ATTEMPT = ("conclusion", "found", "hinted", "pass_rate", "vote")
"""What a way of asking writes about its attempts; they stand last."""

LOGPROBS = "_logprobs"
"""Behind a kind: the column with the key of its completion, whose log-probabilities the ledger of `enhance` holds."""


@dataclass(frozen=True, slots=True)
class Demonstration:
    """A worked example that a task brings along."""

    input: str
    output: str
    explanation: str = ""
    positive: bool = True
    """False for an example of how not to answer."""


class Question(NamedTuple):
    """One row of a dataset, normalised. Carries its answer rule and template: nobody downstream asks for the dataset's name.

    A tuple, because a million of them are made: a frozen dataclass takes three times as long.
    """

    question: str
    """The question alone, without choices or template."""
    answer: str
    """Gold: a letter where there are choices, else free text; "" in a split without labels."""
    choices: tuple[str, ...] = ()
    answer_rule: str = "exact"
    """A rule of `answers/`."""
    explanation: str = ""
    """The source's own rationale, where it has one."""
    source_id: str = ""
    """The source's own id; "" when it has none (then content and occurrence decide)."""
    raw: Mapping[str, Any] = {}
    """The source's columns, untouched."""
    where: str = ""
    """`file:line`, for messages."""
    blocks: tuple[tuple[str, str], ...] = ()
    """The question in named parts: (("SENTENCE", "..."), ("OPTION1", "...")); a dataset without such a tradition has none."""
    response: tuple[tuple[str, str], ...] = ()
    """What is to be written, in named parts, the first of which a prompt in blocks ends with: (("RATIONALE", "..."), ("TARGET", "..."))."""
    messages: tuple[Mapping[str, str], ...] = ()
    """A conversation, {"role", "content"} for each turn, the answer (the last turn) too."""
    definition: str = ""
    """What the task asks for, where its dataset says so for all its questions."""
    demonstrations: tuple[Demonstration, ...] = ()
    references: tuple[str, ...] = ()
    """All right answers, where there are several; `answer` is the one that is taught."""
    template: str = ""
    """Spec of the template that its source asks for; "" leaves it to the dataset."""
    dataset: str = ""
    """Which part of a mix it comes from."""


def content_id(question: Question) -> str:
    """16 hex digits for a row without an id of its own."""
    words = (question.question, *question.choices, question.answer)
    return hashlib.blake2b("\0".join(words).encode(), digest_size=8).hexdigest()


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
    options: tuple[str, ...] = ()
    """Nothing is written: the engine weighs these continuations of the prompt, and the completion's `logprobs` say how likely each is."""
    top_logprobs: int = 0
    """How many of the most likely tokens are told at each token written, beside the text."""
    where: str = ""
    """`file:line` of the question, for messages; not part of the key."""

    def key(self, identity: str) -> str:
        """32 hex digits that name the completion for ever: same key, same text.

        `identity` is the engine's (model, precision, run seed); nothing about batches, ranks or time enters.
        """
        s = self.sampling
        words: tuple[str, ...] = (
            identity,
            self.prompt,
            str(self.max_new_tokens),
            f"{s.temperature}/{s.top_p}/{s.top_k}/{s.stop}",
            str(self.sample),
        )
        words += tuple(f"option {option}" for option in self.options)
        words += (f"top logprobs {self.top_logprobs}",) if self.top_logprobs else ()
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
    logprobs: tuple[float, ...] = ()
    """Natural logarithm of each option's probability after the prompt, summed over its tokens; in the order of `Request.options`."""
    top_logprobs: str = ""
    """Of the tokens written, where the request asks for them; `store.top_logprobs` packs and unpacks it."""
    retries: int = 0
    """How often it was asked again before this answer came."""


TOO_LONG = "prompt too long: "
"""How the `error` of a completion begins whose prompt leaves no room in the model's context."""

NO_ANSWER = "no answer: "
"""How the `error` of a completion begins that might have been written at another time (a server was down); a later run asks again."""


def too_long(key: str, tokens: int, context: int) -> Completion:
    """What an engine says to a prompt that fills the context."""
    return Completion(key, "", "error", tokens, 0, f"{TOO_LONG}it has {tokens} tokens, the model's context is {context}")


@dataclass(frozen=True, slots=True)
class Load:
    """How much an engine may hold at once. Never changes what is written."""

    tokens: int = 16384
    rows: int | None = None


class Engine(Protocol):
    """The border to anything that writes text; runs teachers and students alike."""

    @property
    def identity(self) -> str:
        """`<model>@<revision or content>, <precision>, seed <n>`: completions of equal identity are interchangeable."""
        ...

    @property
    def context(self) -> int | None:
        """Most tokens of prompt and continuation together; None where there is no limit, or the server alone knows it."""
        ...

    def count_tokens(self, prompts: Sequence[str]) -> list[int]:
        """Length of each prompt as the model reads it."""
        ...

    def complete(self, requests: Iterable[tuple[str, Request]]) -> Iterator[Completion]:
        """`requests` are (key, request). Reads ahead as far as it likes, yields in any order, never loses or repeats a key.

        A prompt that fits the context without room for all of its `max_new_tokens` gets as many as fit. Once `interrupt.wanted()`
        says so, begins nothing new: what is in hand is finished and yielded, the requests read ahead are left.
        """
        ...


def model_name(identity: str) -> str:
    """The `<model>` of an engine's identity."""
    return identity.rsplit("@", 1)[0]
