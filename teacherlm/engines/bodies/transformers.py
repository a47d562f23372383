"""The transformers engine: length-sorted batches under a token budget, which their finished rows leave.

Prompts are encoded as the tokenizer does by default (with the special tokens that it adds by itself, such as a BOS), for teachers
and students alike. Of the model's generation_config only the end tokens count, so that a request says all about its sampling.
"""

from collections.abc import Iterable, Iterator, Sequence
from functools import lru_cache
from itertools import islice
from typing import Any

import torch

from teacherlm.engines.bodies.decoding import CausalBatch, Row, Seq2SeqBatch, decode
from teacherlm.engines.bodies.sampling import seed_of
from teacherlm.errors import UserError
from teacherlm.records import Completion, Load, Request, Sampling, too_long

READ_AHEAD = 4096
"""Requests that are sorted by length together."""
EXPECTED_TOKENS = 256
"""What a row is thought to write when batches are made; most rationales end long before their limit."""
TAIL = 8
"""Prompt tokens decoded with the continuation: some tokenizers drop a space at the start of a text."""


class TransformersEngine:
    """Writes with a model and tokenizer in memory; the model is used as it is, in evaluation mode while it writes."""

    def __init__(self, model: Any, tokenizer: Any, identity: str, load: Load | None = None) -> None:
        self.model, self.tokenizer, self.identity = model, tokenizer, identity
        self.load = load or Load()
        self.seq2seq = bool(model.config.is_encoder_decoder)
        self.context = context_of(model.config)
        self.ends = end_tokens(model, tokenizer)
        self.pad = padding(tokenizer, identity)
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
                yield from self._write(rows)

    def _budget(self, request: Request, prompt: int) -> int:
        """A prompt near the end of the context gets what is left. The decoder of an encoder-decoder has a context of its own."""
        if self.context is None:
            return request.max_new_tokens
        return min(request.max_new_tokens, self.context if self.seq2seq else self.context - prompt)

    def _write(self, rows: list[Row]) -> Iterator[Completion]:
        """Longest first: what does not fit into memory shows at once."""
        was_training = self.model.training
        self.model.eval()
        try:
            while rows:
                rows.sort(key=lambda row: -row.length)
                count = self._fitting(rows)
                batch, rows = rows[:count], rows[count:]
                for row in self._decode(batch, rows):
                    yield self._completion(row)
        finally:
            self.model.train(was_training)

    def _fitting(self, rows: list[Row]) -> int:
        """How many of the rows, longest first, make the next batch; at least one."""
        limit = min(self.load.rows or len(rows), len(rows))
        needed = 0
        for count, row in enumerate(rows[:limit]):
            rest = row.budget - len(row.written)
            needed = max(needed, row.length + (rest if self.seq2seq else min(rest, EXPECTED_TOKENS)))
            if needed * (count + 1) > self.load.tokens and count:
                return count
        return limit

    def _decode(self, rows: list[Row], set_aside: list[Row]) -> Iterator[Row]:
        may_stop = self._may_stop(rows[0].request.sampling.stop)

        def ended(row: Row, token: int) -> bool:
            if token in self.ends:
                return True
            row.written.append(token)
            return (may_stop is None or token in may_stop) and self._stop_at(row) is not None

        steps = decode(self._batch(rows), rows, self.load.tokens, set_aside, ended)
        while True:
            with torch.inference_mode():  # entered for each row: whoever consumes them must not run inside it
                row = next(steps, None)
            if row is None:
                return
            yield row

    @torch.inference_mode()
    def _batch(self, rows: list[Row]) -> CausalBatch | Seq2SeqBatch:
        return (Seq2SeqBatch if self.seq2seq else CausalBatch)(self.model, rows, self.pad)

    def _completion(self, row: Row) -> Completion:
        assert row.finish is not None
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
