"""What differs between kinds of language models: how prompt and target lie in a row, and what predicts what."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Protocol

import numpy as np
import torch
from torch import Tensor

IGNORE = -100
"""Label of a position that carries no loss (torch's own default)."""

Row = dict[str, Any]
"""`input_ids` and `labels`: int32 arrays of one row; further keys are numbers and belong to an objective."""
Batch = dict[str, Tensor]
"""Rows padded on the right: `input_ids` and `labels`, int64 [rows, longest]; an objective's keys as float tensors [rows]."""


class Family(Protocol):
    def join(self, prompt: Sequence[int], target: Sequence[int]) -> Row:
        """A training row in which only `target` carries loss."""
        ...

    def length(self, row: Row) -> int:
        """Tokens that the row costs."""
        ...

    def batch(self, rows: Sequence[Row], pad: int) -> Batch:
        """Rows of unequal length, padded on the right."""
        ...

    def predicted(self, model: Any, batch: Batch) -> tuple[Tensor, Tensor]:
        """Logits [N, vocabulary] and the labels [N] they predict, for the N positions of the batch that carry loss."""
        ...


@dataclass(frozen=True)
class Causal:
    """Decoder-only: prompt and target in one sequence, each position predicts the next."""

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

    def predicted(self, model: Any, batch: Batch) -> tuple[Tensor, Tensor]:
        # Without an attention mask: padding lies to the right, where no real token looks. Saves building the mask, and
        # SDPA takes its causal path.
        logits: Tensor = model(input_ids=batch["input_ids"], use_cache=False).logits[:, :-1]
        labels = batch["labels"][:, 1:]
        kept = labels != IGNORE
        return logits[kept], labels[kept]


def padded(rows: Sequence[Row], pad: int) -> Batch:
    """Rows of unequal length as one batch, padded on the right."""
    filled = {"input_ids": _filled([row["input_ids"] for row in rows], pad), "labels": _filled([row["labels"] for row in rows], IGNORE)}
    extra = {key: torch.tensor([float(row[key]) for row in rows]) for key in rows[0] if key not in filled}
    return {**filled, **extra}


def _filled(arrays: Sequence[Any], value: int) -> Tensor:
    width = max(map(len, arrays))
    whole = np.full((len(arrays), width), value, dtype=np.int64)
    for line, array in zip(whole, arrays, strict=True):
        line[: len(array)] = array
    return torch.from_numpy(whole)
