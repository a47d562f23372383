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
"""`input_ids` and `labels`: int32 arrays of one row; further keys belong to an objective."""
Batch = dict[str, Tensor]
"""Rows padded on the right: `input_ids` and `labels`, int64 [rows, longest]."""


class Family(Protocol):
    def join(self, prompt: Sequence[int], target: Sequence[int]) -> Row:
        """A training row in which only `target` carries loss."""
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

    def predicted(self, model: Any, batch: Batch) -> tuple[Tensor, Tensor]:
        # Without an attention mask: padding lies to the right, where no real token looks. Saves building the mask, and
        # SDPA takes its causal path.
        logits: Tensor = model(input_ids=batch["input_ids"], use_cache=False).logits[:, :-1]
        labels = batch["labels"][:, 1:]
        kept = labels != IGNORE
        return logits[kept], labels[kept]


def padded(rows: Sequence[Row], pad: int) -> Batch:
    """Rows of unequal length as one batch, padded on the right."""
    width = max(len(row["input_ids"]) for row in rows)
    ids = np.full((len(rows), width), pad, dtype=np.int64)
    labels = np.full((len(rows), width), IGNORE, dtype=np.int64)
    for i, row in enumerate(rows):
        ids[i, : len(row["input_ids"])] = row["input_ids"]
        labels[i, : len(row["labels"])] = row["labels"]
    return {"input_ids": torch.from_numpy(ids), "labels": torch.from_numpy(labels)}
