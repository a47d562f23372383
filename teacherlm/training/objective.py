"""What an objective is: what a row becomes, what is summed over a batch, and what the sums are divided by."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, Protocol, runtime_checkable

import torch
from torch import Tensor

from teacherlm.training.families import Batch, Row

Join = Callable[[Sequence[int], Sequence[int]], Row]


@dataclass(frozen=True, slots=True)
class Example:
    """One text in tokens."""

    prompt: Sequence[int]
    target: Sequence[int]
    part: str = ""
    """Which of the objective's tasks it belongs to."""
    score: float = 0.0
    """What a model is to give it, where the objective is to score."""
    row: int = 0
    """Number of the row in the table that it comes from."""


@dataclass(frozen=True)
class Tools:
    """What an objective may need of the student's side to be built."""

    tokenizer: Any
    seed: int = 0
    trust_remote_code: bool = False
    table: Any = None
    """The rows of the dataset."""
    column: str = ""
    """What is trained on."""


class Objective(Protocol):
    """loss = Σ weight · sum / count by term, with sum and count over the whole optimizer step.

    Sums and counts are kept apart so that any cut into micro-batches and processes gives the same gradient.
    """

    def encode(self, example: Example, join: Join) -> list[Row]:
        """The training rows of an example. Keys beside the family's own are numbers, and reach the batch as tensors [rows]."""
        ...

    def refresh(self, model: Any, batch: Batch) -> Batch:
        """The batch as it is trained on; an objective may put the student's own words in place of the dataset's."""
        ...

    def counts(self, batch: Batch) -> dict[str, Tensor]:
        """By term: what its sum will be divided by (0-dim)."""
        ...

    def sums(self, model: Any, batch: Batch) -> dict[str, Tensor]:
        """By term: the loss summed over this micro-batch (0-dim, fp32 or wider)."""
        ...

    def weights(self) -> dict[str, float]: ...


@runtime_checkable
class Prepares(Protocol):
    """An objective that has work to do before the training, on all rows."""

    def prepare(self, rows: Sequence[Row], device: torch.device) -> None:
        """Called in every process, before the student is built; may add keys to the rows."""
        ...


@runtime_checkable
class Stepwise(Protocol):
    """An objective whose rows depend on the optimizer step."""

    def begin(self, step: int) -> None:
        """Called in every process before the batches of a step (steps done so far) are refreshed."""
        ...
