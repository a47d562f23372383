"""What an objective is: what a row becomes, what is summed over a batch, and what the sums are divided by."""

from collections.abc import Callable, Mapping, Sequence
from typing import Any, Protocol

from torch import Tensor

from teacherlm.training.families import Batch, Row

Join = Callable[[Sequence[int], Sequence[int]], Row]


class Objective(Protocol):
    """loss = Σ weight · sum / count by term, with sum and count over the whole optimizer step.

    Sums and counts are kept apart so that any cut into micro-batches and processes gives the same gradient.
    """

    def encode(self, example: Mapping[str, Sequence[int]], join: Join) -> list[Row]:
        """The training rows of an example; `prompt` and `target` are its tokens."""
        ...

    def counts(self, batch: Batch) -> dict[str, Tensor]:
        """By term: what its sum will be divided by (0-dim)."""
        ...

    def sums(self, model: Any, batch: Batch) -> dict[str, Tensor]:
        """By term: the loss summed over this micro-batch (0-dim, fp32 or wider)."""
        ...

    def weights(self) -> dict[str, float]: ...
