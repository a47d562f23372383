"""What went through a student since the start of its training: tokens with loss, tokens read, and the places computed for them."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from teacherlm.training.families import IGNORE, Batch, Family


@dataclass
class Tally:
    """Over all processes; brought up to date with every log."""

    trained_tokens: int = 0
    """Those that carried loss."""
    read_tokens: int = 0
    """Those that were no padding."""
    places: int = 0
    """With padding."""

    @classmethod
    def from_facts(cls, facts: Mapping[str, Any]) -> "Tally":
        """Of the checkpoint that a training goes on from."""
        return cls(*(int(facts.get(name, 0)) for name in ("trained_tokens", "read_tokens", "places")))

    def add(self, more: Tensor) -> None:
        """`more`: as `counted` gives them, summed over the processes."""
        trained, read, places = (int(n) for n in more)
        self.trained_tokens, self.read_tokens, self.places = self.trained_tokens + trained, self.read_tokens + read, self.places + places

    @property
    def padding(self) -> float:
        """Share of the places that were padding."""
        return round(1 - self.read_tokens / self.places, 4) if self.places else 0.0


def counted(batches: Iterable[Batch], family: Family) -> Tensor:
    """fp64 [3]: tokens with loss, tokens read, places."""
    found = torch.zeros(3, dtype=torch.float64)
    for batch in batches:
        found += torch.tensor([int((batch["labels"] != IGNORE).sum()), *family.places(batch)])
    return found
