"""A batch of rows written token by token: rows that are done leave at once, and rows that do not fit any more are set aside."""

import inspect
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from typing import Any, Literal

import torch
from transformers import DynamicCache, EncoderDecoderCache
from transformers.modeling_outputs import BaseModelOutput

from teacherlm.engines.bodies.sampling import choose
from teacherlm.errors import UserError
from teacherlm.records import Request


@dataclass(eq=False)
class Row:
    """One request while it is written."""

    key: str
    request: Request
    prompt: list[int]
    budget: int
    """Tokens it may write."""
    seed: int
    written: list[int] = field(default_factory=list)
    finish: Literal["stop", "length"] | None = None

    @property
    def length(self) -> int:
        return len(self.prompt) + len(self.written)


class CausalBatch:
    """The state of a decoder-only model that reads several rows, left-padded."""

    def __init__(self, model: Any, rows: list[Row], pad: int) -> None:
        self.model = model
        self.ids, self.mask = _padded([row.prompt + row.written for row in rows], pad, model.device)
        self.cache: Any = DynamicCache(config=model.config)
        accepted = inspect.signature(model.forward).parameters
        self.counts_positions = "position_ids" in accepted
        self.options = {"logits_to_keep": 1} if "logits_to_keep" in accepted else {}

    def logits(self) -> torch.Tensor:
        """Scores of every row's next token, [rows, vocabulary]."""
        given: dict[str, Any] = dict(self.options)
        if self.counts_positions:
            given["position_ids"] = (self.mask.cumsum(-1) - 1).clamp_min(0)[:, -self.ids.shape[1] :]
        out = self.model(input_ids=self.ids, attention_mask=self.mask, past_key_values=self.cache, use_cache=True, **given)
        scores: torch.Tensor = out.logits[:, -1]
        return scores

    def extend(self, tokens: torch.Tensor) -> None:
        """tokens: [rows]."""
        self.ids = tokens[:, None]
        self.mask = torch.cat([self.mask, self.mask.new_ones(len(tokens), 1)], dim=1)

    def keep(self, indices: torch.Tensor) -> None:
        """The other rows leave."""
        self.cache.batch_select_indices(indices)
        self.ids, self.mask = self.ids[indices], self.mask[indices]


class Seq2SeqBatch:
    """The state of an encoder-decoder: the encoder reads the prompts once, right-padded; every row's decoder starts at nothing."""

    def __init__(self, model: Any, rows: list[Row], pad: int) -> None:
        self.model = model
        ids, self.mask = _padded([row.prompt for row in rows], pad, model.device, left=False)
        self.encoded = model.get_encoder()(input_ids=ids, attention_mask=self.mask).last_hidden_state
        self.ids = ids.new_full((len(rows), 1), model.config.decoder_start_token_id)
        self.cache: Any = EncoderDecoderCache(DynamicCache(config=model.config), DynamicCache(config=model.config))

    def logits(self) -> torch.Tensor:
        encoded = BaseModelOutput(last_hidden_state=self.encoded)
        given = {"encoder_outputs": encoded, "attention_mask": self.mask, "decoder_input_ids": self.ids}
        scores: torch.Tensor = self.model(**given, past_key_values=self.cache, use_cache=True).logits[:, -1]
        return scores

    def extend(self, tokens: torch.Tensor) -> None:
        self.ids = tokens[:, None]

    def keep(self, indices: torch.Tensor) -> None:
        self.cache.batch_select_indices(indices)
        self.ids, self.mask, self.encoded = self.ids[indices], self.mask[indices], self.encoded[indices]


def _padded(lines: list[list[int]], pad: int, device: torch.device, left: bool = True) -> tuple[torch.Tensor, torch.Tensor]:
    """(token ids, attention mask), both [rows, longest]."""
    longest = max(map(len, lines))
    ids, mask = [], []
    for line in lines:
        fill, ones = [pad] * (longest - len(line)), [1] * len(line)
        ids.append(fill + line if left else line + fill)
        mask.append([0] * len(fill) + ones if left else ones + [0] * len(fill))
    return torch.tensor(ids, device=device), torch.tensor(mask, device=device)


def _numbers(logits: torch.Tensor) -> torch.Tensor:
    """Raises: UserError where they are not: argmax would quietly write the first token of the vocabulary."""
    if bool(logits.amax(-1).isnan().any()):
        raise UserError(f"the model's scores are not numbers (NaN in {logits.dtype}): choose another dtype, such as bfloat16 or float32.")
    return logits


def decode(
    batch: CausalBatch | Seq2SeqBatch, rows: list[Row], room: int, set_aside: list[Row], ended: Callable[[Row, int], bool]
) -> Iterator[Row]:
    """Yields the rows as they are done, `written` and `finish` set.

    `room` is how many tokens may be held: beyond it half of the rows go to `set_aside`, to be continued in a later batch.
    `ended` adds a token to a row and says whether the text is complete with it. All rows share one sampling.
    """
    seeds = torch.tensor([row.seed for row in rows], device=batch.mask.device)
    while rows:
        positions = torch.tensor([len(row.written) for row in rows], device=seeds.device)
        tokens = choose(_numbers(batch.logits()), rows[0].request.sampling, seeds, positions)
        staying = []
        for index, (row, token) in enumerate(zip(rows, tokens.tolist(), strict=True)):
            if ended(row, token):
                row.finish = "stop"
            elif len(row.written) >= row.budget:
                row.finish = "length"
            else:
                staying.append(index)
        held = len(staying) * (int(batch.mask.shape[1]) + 1)
        if isinstance(batch, CausalBatch) and held > room and len(staying) > 1:
            half = (len(staying) + 1) // 2
            set_aside += [rows[index] for index in staying[half:]]
            staying = staying[:half]
        batch.extend(tokens)
        done = [row for row in rows if row.finish]
        if len(staying) < len(rows):
            rows = [rows[index] for index in staying]
            if rows:
                indices = torch.tensor(staying, device=seeds.device)
                batch.keep(indices)
                seeds = seeds[indices]
        yield from done
