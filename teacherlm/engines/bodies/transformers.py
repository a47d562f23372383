"""The transformers engine: length-sorted batches under a token budget, which finished rows leave and waiting ones join.

Prompts are encoded as the tokenizer does by default (with the special tokens that it adds by itself, such as a BOS), for teachers
and students alike. Of the model's generation_config only the end tokens count, so that a request says all about its sampling.
"""

from collections.abc import Iterable, Iterator, Sequence
from functools import lru_cache
from itertools import islice
from typing import Any

from teacherlm import interrupt
from teacherlm.engines.bodies.batches import CausalModel, Seq2SeqModel
from teacherlm.engines.bodies.decoding import Row, Writing, in_order
from teacherlm.engines.bodies.memory import Room
from teacherlm.engines.bodies.sampling import seed_of
from teacherlm.errors import UserError
from teacherlm.records import Completion, Load, Request, Sampling, too_long

READ_AHEAD = 4096
"""Requests that are sorted by length together."""
TAIL = 8
"""Prompt tokens decoded with the continuation: some tokenizers drop a space at the start of a text."""


class TransformersEngine:
    """Writes with a model and tokenizer in memory; the model is used as it is, in evaluation mode while it writes."""

    def __init__(self, model: Any, tokenizer: Any, identity: str, load: Load | None = None) -> None:
        self.model, self.tokenizer, self.identity = model, tokenizer, identity
        self.room = Room(load or Load())
        self.seq2seq = bool(model.config.is_encoder_decoder)
        self.context = context_of(model.config)
        self.ends = end_tokens(model, tokenizer)
        self.reader = (Seq2SeqModel if self.seq2seq else CausalModel)(model, padding(tokenizer, identity))
        self._may_stop = lru_cache(maxsize=16)(self._find_stopping_tokens)

    def count_tokens(self, prompts: Sequence[str]) -> list[int]:
        return [len(ids) for ids in self.encode(prompts)]

    def encode(self, prompts: Sequence[str]) -> list[list[int]]:
        return list(self.tokenizer(list(prompts), verbose=False)["input_ids"])

    def complete(self, requests: Iterable[tuple[str, Request]]) -> Iterator[Completion]:
        waiting = iter(requests)
        while part := list(islice(waiting, READ_AHEAD)):
            by_sampling: dict[Sampling, list[Row]] = {}
            for (key, request), prompt in zip(part, self.encode([request.prompt for _, request in part]), strict=True):
                if self.context is not None and len(prompt) >= self.context:
                    yield too_long(key, len(prompt), self.context)
                else:
                    row = Row(key, request, prompt, self._budget(request, len(prompt)), seed_of(key))
                    by_sampling.setdefault(request.sampling, []).append(row)
            for rows in by_sampling.values():
                if interrupt.wanted():
                    return
                yield from self._write(rows)

    def _budget(self, request: Request, prompt: int) -> int:
        """A prompt near the end of the context gets what is left. The decoder of an encoder-decoder has a context of its own."""
        if self.context is None:
            return request.max_new_tokens
        return min(request.max_new_tokens, self.context if self.seq2seq else self.context - prompt)

    def _write(self, rows: list[Row]) -> Iterator[Completion]:
        may_stop = self._may_stop(rows[0].request.sampling.stop)

        def ended(row: Row, token: int) -> bool:
            if token in self.ends:
                return True
            row.written.append(token)
            return (may_stop is None or token in may_stop) and self._stop_at(row) is not None

        was_training = self.model.training
        self.model.eval()
        try:
            for row in Writing(self.reader, in_order(rows), self.room, ended).write():
                yield self._completion(row)
        finally:
            self.model.train(was_training)

    def _completion(self, row: Row) -> Completion:
        assert row.finish is not None
        if row.finish == "error":
            return Completion(row.key, "", "error", len(row.prompt), 0, row.error)
        text = self._text(row)[: self._stop_at(row)]
        return Completion(row.key, text, row.finish, len(row.prompt), len(row.written))

    def _stop_at(self, row: Row) -> int | None:
        """Where the first stop string begins in what a row has written."""
        if not row.request.sampling.stop:
            return None
        text = self._text(row)
        places = [place for stop in row.request.sampling.stop if (place := text.find(stop)) >= 0]
        return min(places, default=None)

    def _text(self, row: Row) -> str:
        """What was written, with the space it began with."""
        tail = [] if self.seq2seq else row.prompt[-TAIL:]
        before, both = self.tokenizer.batch_decode([tail, tail + row.written], skip_special_tokens=True)
        return str(both[len(before) :] if both.startswith(before) else self.tokenizer.decode(row.written, skip_special_tokens=True))

    def _find_stopping_tokens(self, stops: tuple[str, ...]) -> frozenset[int] | None:
        """Tokens that can complete a stop string; None for all: a lone token does not show every space, nor half a character."""
        last = {stop[-1] for stop in stops}
        if any(char == " " or not char.isascii() for char in last):
            return None
        pieces = self.tokenizer.batch_decode([[token] for token in range(len(self.tokenizer))]) if stops else []
        return frozenset(token for token, piece in enumerate(pieces) if last.intersection(piece))


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
