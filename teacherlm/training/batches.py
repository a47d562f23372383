"""Which rows a step sees: the seed's order, cut into global batches and those into each process's micro-batches."""

import random
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from math import ceil

import torch
from torch.utils.data import DataLoader, Dataset

from teacherlm.errors import UserError
from teacherlm.training.families import FOLLOWS, IGNORE, Batch, Family, Row
from teacherlm.training.flat_rows import FlatRows

LARGEST_DEFAULT_MICRO_BATCH = 16
GROUPED_BATCHES, WINDOWS = 16, 3
"""A window of length grouping holds so many batches, or such a part of all rows if that is more: wide ones leave little padding."""


@dataclass(frozen=True)
class Cut:
    """How a batch of `rows` is cut up: `processes` at once, each `micro` rows at a time."""

    rows: int
    micro: int
    processes: int

    @property
    def accumulation(self) -> int:
        return ceil(self.rows / (self.micro * self.processes))


def cut(batch_size: int, micro_batch: int | None, accumulation: int | None, processes: int) -> Cut:
    """Fill in what is not given. Raises: UserError when the given numbers contradict batch_size."""
    share = ceil(batch_size / processes)
    if micro_batch and accumulation and micro_batch * accumulation * processes != batch_size:
        product = micro_batch * accumulation * processes
        raise UserError(
            f"micro_batch {micro_batch} x accumulation {accumulation} x {processes} process{'es' if processes > 1 else ''} = {product}"
            f" rows per step, but batch_size is {batch_size}: set batch_size to {product}, or leave accumulation out."
        )
    micro = micro_batch or (ceil(share / accumulation) if accumulation else min(share, LARGEST_DEFAULT_MICRO_BATCH))
    return Cut(batch_size, min(micro, share), processes)


class MicroBatches:
    """The rows of every micro-batch of one process, epoch by epoch; a batch sampler for DataLoader.

    An epoch is a fresh permutation by seed and epoch alone, so neither the cut nor a restart changes a step's rows. Within a
    batch rows are sorted by length: micro-batches then need little padding. Where a process has no row left for a
    micro-batch it gets a row without labels (`~i`), because all processes must take part in every step. Rows that belong
    together (`together`: their indices) stay side by side, so that only the end of a batch can part them.
    """

    def __init__(
        self,
        lengths: Sequence[int],
        cut: Cut,
        seed: int,
        process: int = 0,
        group: bool = True,
        together: Sequence[Sequence[int]] | None = None,
    ) -> None:
        self.lengths, self.cut, self.seed, self.process, self.group, self.epoch = lengths, cut, seed, process, group, 0
        self.together = together if together is not None else [[i] for i in range(len(lengths))]

    def set_epoch(self, epoch: int) -> None:
        self.epoch = epoch

    def __len__(self) -> int:
        full, rest = divmod(len(self.lengths), self.cut.rows)
        return full * self.cut.accumulation + ceil(rest / (self.cut.micro * self.cut.processes))

    def __iter__(self) -> Iterator[list[int]]:
        at_once = self.cut.micro * self.cut.processes
        for batch in self.batches():
            ordered = sorted(batch, key=lambda i: (-self.lengths[i], i))
            for at in range(0, len(ordered), at_once):
                shared = ordered[at : at + at_once]
                yield shared[self.process :: self.cut.processes] or [~shared[0]]

    def batches(self) -> list[list[int]]:
        """The rows of every optimizer step of the epoch; only the last may be short."""
        dice = random.Random(f"{self.seed}/{self.epoch}")
        units = list(self.together)
        dice.shuffle(units)
        if self.group:
            units = self._grouped(units)
        order = [i for unit in units for i in unit]
        batches = [order[at : at + self.cut.rows] for at in range(0, len(order), self.cut.rows)]
        whole = [batch for batch in batches if len(batch) == self.cut.rows]
        if self.group:
            dice.shuffle(whole)  # else every window would run from long to short
        return whole + batches[len(whole) :]

    def _grouped(self, units: list[Sequence[int]]) -> list[Sequence[int]]:
        """Sorted by length within windows: rows of a batch are of like length, and still change company every epoch."""
        window = max(GROUPED_BATCHES * self.cut.rows, len(units) // WINDOWS)
        parts = (units[at : at + window] for at in range(0, len(units), window))
        return [unit for part in parts for unit in sorted(part, key=lambda unit: -max(self.lengths[i] for i in unit))]


class Rows(Dataset[Row]):
    """Tokenised rows in memory; `~i` is row i without labels."""

    def __init__(self, rows: Sequence[Row], family: Family) -> None:
        self.rows, self.family = rows, family

    def __len__(self) -> int:
        return len(self.rows)

    def __getitem__(self, index: int) -> Row:
        if index >= 0:
            return self.rows[index]
        row = self.rows[~index]
        return {**row, "labels": row["labels"] * 0 + IGNORE}

    def lengths(self) -> list[int]:
        if isinstance(self.rows, FlatRows):
            return self.rows.costs.tolist()  # type: ignore[no-any-return]
        return list(map(self.family.length, self.rows))

    def together(self) -> list[list[int]] | None:
        """The indices of rows that are to share a batch, each row in one list; None where each stands for itself."""
        if isinstance(self.rows, FlatRows):
            return self.rows.together()
        units: list[list[int]] = []
        for i, row in enumerate(self.rows):
            if units and row.get(FOLLOWS, 0) > 0:
                units[-1].append(i)
            else:
                units.append([i])
        return units


class EpochLoader(DataLoader[Row]):
    """A DataLoader that tells its batch sampler the epoch (transformers calls `set_epoch`)."""

    def set_epoch(self, epoch: int) -> None:
        self.batch_sampler.set_epoch(epoch)  # type: ignore[union-attr]


def build_loader(rows: Rows, batches: MicroBatches, collate: Callable[[list[Row]], Batch], workers: int = 0) -> EpochLoader:
    """`workers`: processes that put batches together ahead of time; their order is the same."""
    return EpochLoader(rows, batch_sampler=batches, collate_fn=collate, pin_memory=torch.cuda.is_available(), num_workers=workers)
