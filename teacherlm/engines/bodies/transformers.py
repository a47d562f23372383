"""The transformers engine: length-sorted batches under a token budget, which finished rows leave and waiting ones join.

Of the model's generation_config only the end tokens count, so that a request says all about its sampling.
"""

from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager
from functools import cached_property
from itertools import islice
from typing import Any

import numpy as np

from teacherlm import interrupt
from teacherlm.engines.bodies.batches import CausalModel, Seq2SeqModel
from teacherlm.engines.bodies.decoding import Row, Writing, in_order
from teacherlm.engines.bodies.memory import Room
from teacherlm.engines.bodies.sampling import seed_of
from teacherlm.engines.bodies.texts import Chat, Texts
from teacherlm.engines.bodies.weighing import Choice, weigh
from teacherlm.errors import UserError
from teacherlm.records import Completion, Load, Request, Sampling, too_long
from teacherlm.store.top_logprobs import TopLogprobs, packed, vocabulary_of

READ_AHEAD = 4096
"""Requests that are sorted by length together."""


class TransformersEngine:
    """Writes with a model and tokenizer in memory; the model is used as it is, in evaluation mode while it writes."""

    def __init__(self, model: Any, tokenizer: Any, identity: str, load: Load | None = None, chat: Chat | None = None) -> None:
        self.model, self.tokenizer, self.identity = model, tokenizer, identity
        self.room = Room(load or Load())
        self.seq2seq = bool(model.config.is_encoder_decoder)
        self.context = context_of(model.config)
        self.ends = end_tokens(model, tokenizer)
        self.reader = (Seq2SeqModel if self.seq2seq else CausalModel)(model, padding(tokenizer, identity))
        self.texts = Texts(tokenizer, identity, self.seq2seq, chat)
        self.heard: Callable[[Row], None] | None = None
        """Called at every token of a text that is being written."""

    def count_tokens(self, prompts: Sequence[str]) -> list[int]:
        return [len(ids) for ids in self.encode(prompts)]

    def encode(self, prompts: Sequence[str]) -> list[list[int]]:
        return self.texts.encode(prompts)

    def complete(self, requests: Iterable[tuple[str, Request]]) -> Iterator[Completion]:
        waiting = iter(requests)
        while not interrupt.wanted() and (part := list(islice(waiting, READ_AHEAD))):
            yield from self._weigh([(key, request) for key, request in part if request.options])
            by_sampling: dict[tuple[Sampling, int], list[Row]] = {}
            written = [(key, request) for key, request in part if not request.options]
            for (key, request), prompt in zip(written, self.encode([request.prompt for _, request in written]), strict=True):
                if refused := self._refused(key, prompt):
                    yield refused
                else:
                    row = Row(key, request, prompt, self._budget(request, len(prompt)), seed_of(key))
                    by_sampling.setdefault((request.sampling, request.top_logprobs), []).append(row)
            for rows in by_sampling.values():
                yield from self._write(rows)

    def _refused(self, key: str, prompt: Sequence[int], following: int = 1) -> Completion | None:
        """What is said to a prompt after which so many tokens cannot stand."""
        if not prompt:
            return Completion(key, "", "error", error="the prompt is empty, and the model's tokenizer adds no token to begin with")
        if self.context is not None and len(prompt) + (1 if self.seq2seq else following) > self.context:
            return too_long(key, len(prompt) + (0 if self.seq2seq else following - 1), self.context)
        return None

    def _budget(self, request: Request, prompt: int) -> int:
        """A prompt near the end of the context gets what is left. The decoder of an encoder-decoder has a context of its own."""
        if self.context is None:
            return request.max_new_tokens
        return min(request.max_new_tokens, self.context if self.seq2seq else self.context - prompt)

    def _write(self, rows: list[Row]) -> Iterator[Completion]:
        stops = rows[0].request.sampling.stop
        may_stop = self.texts.stopping_tokens(stops)
        vocabulary = self.vocabulary[0] if rows[0].request.top_logprobs else 0

        def ended(row: Row, token: int) -> bool:
            if token in self.ends:
                return True
            row.written.append(token)
            if self.heard:
                self.heard(row)
            return (may_stop is None or token in may_stop) and self.texts.stop_at(row.prompt, row.written, stops) is not None

        with self._evaluating():
            for row in Writing(self.reader, in_order(rows), self.room, ended, vocabulary).write():
                yield self._completion(row)

    def _weigh(self, requests: Sequence[tuple[str, Request]]) -> Iterator[Completion]:
        choices = []
        for key, request in requests:
            choice = Choice(key, *self.texts.encode_options(request.prompt, request.options))
            if refused := self._refused(key, choice.context, max(map(len, choice.options))):
                yield refused
            else:
                choices.append(choice)
        with self._evaluating():
            for choice in weigh(self.reader, choices, self.room):
                told = tuple(choice.logprobs[index] for index in range(len(choice.options))) if not choice.error else ()
                yield Completion(
                    choice.key, "", "error" if choice.error else "stop", len(choice.context), error=choice.error, logprobs=told
                )

    @contextmanager
    def _evaluating(self) -> Iterator[None]:
        was_training = self.model.training
        self.model.eval()
        try:
            yield
        finally:
            self.model.train(was_training)

    def _completion(self, row: Row) -> Completion:
        assert row.finish is not None
        if row.finish == "error":
            return Completion(row.key, "", "error", len(row.prompt), 0, row.error)
        stop = self.texts.stop_at(row.prompt, row.written, row.request.sampling.stop)
        text = self.texts.text(row.prompt, row.written)[:stop]
        likely = self._likely(row) if row.request.top_logprobs else ""
        return Completion(row.key, text, row.finish, len(row.prompt), len(row.written), top_logprobs=likely)

    def _likely(self, row: Row) -> str:
        k = len(row.likely[0][0]) if row.likely else 0
        ids = np.array([ids for ids, _ in row.likely], np.int32).reshape(len(row.likely), k)
        log_probs = np.array([found for _, found in row.likely], np.float32).reshape(len(row.likely), k + 1)
        return packed(TopLogprobs(row.written, ids, log_probs, self.vocabulary[1]))

    @cached_property
    def vocabulary(self) -> tuple[int, str]:
        """(how many scores belong to tokens, the name of all tokens)."""
        return max(self.tokenizer.get_vocab().values()) + 1, vocabulary_of(self.tokenizer)


def context_of(config: Any) -> int | None:
    """Tokens that the model's positions can count; None where they have no end (ALiBi, relative positions)."""
    found = getattr(config.get_text_config(), "max_position_embeddings", None)
    return found if isinstance(found, int) and found > 0 else None


def end_tokens(model: Any, tokenizer: Any) -> frozenset[int]:
    given = (getattr(model.generation_config, "eos_token_id", None), model.config.eos_token_id, tokenizer.eos_token_id)
    flat = [token for one in given for token in (one if isinstance(one, (list, tuple)) else [one])]
    return frozenset(token for token in flat if token is not None)


def padding(tokenizer: Any, identity: str) -> int:
    """The attention mask hides it, so the end token will do. Raises: UserError where there is neither."""
    for token in (tokenizer.pad_token_id, tokenizer.eos_token_id):
        if token is not None:
            return int(token)
    raise UserError(f"{identity}: its tokenizer has neither a pad token nor an end token; set one in tokenizer_config.json.")
