"""What differs between kinds of language models: how prompt and target lie in a row, and what predicts what."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Literal, Protocol

import numpy as np
import torch
from torch import Tensor

from teacherlm.errors import UserError
from teacherlm.training.packing import LENGTHS, packed_logits, takes_places

IGNORE = -100
"""Label of a position that carries no loss (torch's own default)."""

FOLLOWS = "follows"
"""Key of a row that is above 0 where the row is to be in the batch of the row before it."""

Row = dict[str, Any]
"""`input_ids` and `labels`: int32 arrays of one row; further keys are numbers and belong to an objective."""
Batch = dict[str, Tensor]
"""Rows padded on the right: `input_ids` and `labels`, int64 [rows, longest]; `lengths`, int64 [rows], how many of `input_ids` are no
padding; an objective's keys as float tensors [rows]. Of an
encoder-decoder each has a length of its own, and `attention_mask` says which of `input_ids` are no padding."""

TruncationSide = Literal["left", "right"]
"""Where a prompt that is too long loses its tokens."""


class Family(Protocol):
    @property
    def apart(self) -> bool:
        """Whether prompt and target are two texts to the model, each tokenised by itself."""
        ...

    @property
    def truncation_side(self) -> TruncationSide: ...

    def fit(self, prompt: list[int], target: list[int], limit: int) -> tuple[list[int], list[int]]:
        """Prompt and target cut to what a row of `limit` tokens may hold; of a target too long the first tokens stay."""
        ...

    def join(self, prompt: Sequence[int], target: Sequence[int]) -> Row:
        """A training row in which only `target` carries loss."""
        ...

    def length(self, row: Row) -> int:
        """Tokens that the row costs."""
        ...

    def batch(self, rows: Sequence[Row], pad: int) -> Batch:
        """Rows of unequal length, padded on the right."""
        ...

    def places(self, batch: Batch) -> tuple[int, int]:
        """Real tokens of a batch, and the places that the model computes for it: the difference is padding."""
        ...

    def predicted(self, model: Any, batch: Batch) -> tuple[Tensor, Tensor]:
        """Logits [N, vocabulary] and the labels [N] they predict, for the N positions of the batch that carry loss."""
        ...


@dataclass(frozen=True)
class Causal:
    """Decoder-only: prompt and target in one sequence, each position predicts the next."""

    truncation_side: TruncationSide = "left"
    packing: bool = False
    """Whether the model is given the rows of a batch end to end, instead of padded."""
    apart = False

    def fit(self, prompt: list[int], target: list[int], limit: int) -> tuple[list[int], list[int]]:
        """The target comes first: the prompt gets what it leaves."""
        return _kept(prompt, limit - len(target), self.truncation_side), target[:limit]

    def join(self, prompt: Sequence[int], target: Sequence[int]) -> Row:
        ids = np.asarray([*prompt, *target], dtype=np.int32)
        labels = ids.copy()
        # Nothing predicts the first token, so it must not be counted either.
        labels[: max(1, len(prompt))] = IGNORE
        return {"input_ids": ids, "labels": labels}

    def length(self, row: Row) -> int:
        return len(row["input_ids"])

    def batch(self, rows: Sequence[Row], pad: int) -> Batch:
        return padded(rows, pad)

    def places(self, batch: Batch) -> tuple[int, int]:
        real = int(batch[LENGTHS].sum())
        return real, real if self.packing else batch["input_ids"].numel()

    def predicted(self, model: Any, batch: Batch) -> tuple[Tensor, Tensor]:
        """Row by row, packed or not. Only these positions go through the model's head."""
        kept = batch["labels"][:, 1:] != IGNORE
        labels = batch["labels"][:, 1:][kept]
        if self.packing:
            rows, columns = kept.nonzero(as_tuple=True)
            return packed_logits(model, batch, (batch[LENGTHS].cumsum(0) - batch[LENGTHS])[rows] + columns), labels
        # Without an attention mask: padding lies to the right, where no real token looks. Saves building the mask, and
        # SDPA takes its causal path.
        if takes_places(model):
            asked = kept.any(dim=0).nonzero()[:, 0]
            logits: Tensor = model(input_ids=batch["input_ids"], use_cache=False, logits_to_keep=asked).logits
            return logits[kept[:, asked]], labels
        return model(input_ids=batch["input_ids"], use_cache=False).logits[:, :-1][kept], labels


@dataclass(frozen=True)
class Seq2Seq:
    """Encoder-decoder: the encoder reads the prompt, the decoder writes the target from a start token on."""

    start: int
    """The token every decoder begins with (`decoder_start_token_id`)."""
    target_limit: int
    """Longest target in tokens; `limit` is for the prompt alone."""
    truncation_side: TruncationSide = "left"
    frame: tuple[int, int] = (0, 0)
    """How many tokens of a prompt the tokenizer puts around its text (T5: none and EOS); no cut takes them."""
    apart = True

    def fit(self, prompt: list[int], target: list[int], limit: int) -> tuple[list[int], list[int]]:
        before, behind = self.frame
        end = len(prompt) - behind
        words = _kept(prompt[before:end], limit - before - behind, self.truncation_side)
        return [*prompt[:before], *words, *prompt[end:]], target[: self.target_limit]

    def join(self, prompt: Sequence[int], target: Sequence[int]) -> Row:
        return {"input_ids": np.asarray(prompt, dtype=np.int32), "labels": np.asarray(target, dtype=np.int32)}

    def length(self, row: Row) -> int:
        return len(row["input_ids"]) + len(row["labels"])

    def batch(self, rows: Sequence[Row], pad: int) -> Batch:
        batch = padded(rows, pad)
        # Not from the padding token itself: it may be the end token too, which stands in every prompt.
        return {**batch, "attention_mask": (torch.arange(batch["input_ids"].shape[1]) < batch[LENGTHS][:, None]).long()}

    def places(self, batch: Batch) -> tuple[int, int]:
        return int(batch[LENGTHS].sum() + (batch["labels"] != IGNORE).sum()), batch["input_ids"].numel() + batch["labels"].numel()

    def predicted(self, model: Any, batch: Batch) -> tuple[Tensor, Tensor]:
        labels = batch["labels"]
        read = torch.where(labels == IGNORE, self.start, labels)[:, :-1]  # padding stands behind all that is predicted
        given = torch.cat([labels.new_full((len(labels), 1), self.start), read], dim=1)
        logits: Tensor = model(
            input_ids=batch["input_ids"], attention_mask=batch["attention_mask"], decoder_input_ids=given, use_cache=False
        ).logits
        kept = labels != IGNORE
        return logits[kept], labels[kept]


def build_family(start: int | None, tokenizer: Any, truncation_side: TruncationSide, target_limit: int, packing: bool = False) -> Family:
    """`start`: the token an encoder-decoder's decoder begins with; None for a decoder-only model.

    Raises: UserError for an encoder-decoder whose rows are to be packed.
    """
    if start is None:
        return Causal(truncation_side, packing)
    if packing:
        raise UserError("packing: an encoder-decoder reads one prompt at a time, so its rows cannot share a sequence; leave packing out.")
    return Seq2Seq(start, target_limit, truncation_side, special_tokens(tokenizer))


def special_tokens(tokenizer: Any) -> tuple[int, int]:
    """How many the tokenizer puts (before, behind) a text by itself."""
    words = tokenizer("a", add_special_tokens=False)["input_ids"]
    whole = tokenizer("a")["input_ids"]
    before = next(place for place in range(len(whole)) if whole[place : place + len(words)] == words)
    return before, len(whole) - before - len(words)


def _kept(tokens: list[int], count: int, side: TruncationSide) -> list[int]:
    """At most so many, the others lost at this side."""
    count = max(0, count)
    if len(tokens) <= count:
        return tokens
    return tokens[:count] if side == "right" else tokens[len(tokens) - count :]


def padded(rows: Sequence[Row], pad: int) -> Batch:
    """Rows of unequal length as one batch, padded on the right."""
    filled = {"input_ids": _filled([row["input_ids"] for row in rows], pad), "labels": _filled([row["labels"] for row in rows], IGNORE)}
    extra = {key: torch.tensor([float(row[key]) for row in rows]) for key in rows[0] if key not in filled}
    return {**filled, **extra, LENGTHS: torch.tensor([len(row["input_ids"]) for row in rows])}


def _filled(arrays: Sequence[Any], value: int) -> Tensor:
    width = max(map(len, arrays))
    whole = np.full((len(arrays), width), value, dtype=np.int64)
    for line, array in zip(whole, arrays, strict=True):
        line[: len(array)] = array
    return torch.from_numpy(whole)
