"""Supervised finetuning: cross-entropy of the target's tokens."""

from dataclasses import dataclass
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor

from teacherlm.training.families import IGNORE, Batch, Family, Row
from teacherlm.training.objective import Example, Join


def wide(logits: Tensor) -> Tensor:
    """In fp32 or wider: half precision would lose a sum over thousands of tokens."""
    return logits if logits.dtype in (torch.float32, torch.float64) else logits.float()


@dataclass(frozen=True)
class Sft:
    family: Family

    def encode(self, example: Example, join: Join) -> list[Row]:
        return [join(example.prompt, example.target)]

    def refresh(self, model: Any, batch: Batch) -> Batch:
        return batch

    def counts(self, batch: Batch) -> dict[str, Tensor]:
        return {"sft": (batch["labels"] != IGNORE).sum()}

    def sums(self, model: Any, batch: Batch) -> dict[str, Tensor]:
        logits, labels = self.family.predicted(model, batch)
        return {"sft": F.cross_entropy(wide(logits), labels, reduction="sum")}

    def weights(self) -> dict[str, float]:
        return {"sft": 1.0}
