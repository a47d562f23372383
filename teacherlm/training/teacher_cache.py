"""A teacher's most likely tokens on the rows of a training, computed once and read from the disk by every student after it.

Rows are known by their tokens alone, in the order of their hashes, and lie in parts of as many files. So a restart goes on behind the last
whole part, and another student of the same rows finds all of them, whichever rows it holds out. Log-probabilities are float16
(relative error 5e-4; made to sum to 1 again when read), ids int32: 6 bytes for each token kept at each position with loss.
"""

import hashlib
from collections.abc import Callable, Mapping, Sequence
from contextlib import nullcontext
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np
import torch
from safetensors import safe_open
from safetensors.torch import save
from torch import Tensor

from teacherlm.errors import UserError
from teacherlm.log import progress, say
from teacherlm.store.files import writing
from teacherlm.together import is_main
from teacherlm.training.divergence import TopK
from teacherlm.training.families import IGNORE, Row

PART = 4096
"""Rows of a file."""
EXACT = 1 << 24
"""Numbers of rows beyond it are no longer exact as float32, in which a batch carries them."""
TOKENS_AT_ONCE = 4096

Compute = Callable[[Sequence[Row]], TopK]
"""The teacher's on a batch of rows, position after position, row after row."""


class TeacherCache:
    """`numbers` of rows are places in the order of their hashes."""

    def __init__(self, folder: Path, rows: Sequence[Row]) -> None:
        """Raises: UserError for more rows than can be told apart in a batch."""
        self.folder = folder
        found = {row_hash(row): row for row in rows}
        if len(found) >= EXACT:
            raise UserError(f"cache_teacher: {len(found)} different rows; at most {EXACT - 1} can be looked up.")
        self._names = sorted(found)
        self._rows = [found[name] for name in self._names]
        self._numbers = {name: i for i, name in enumerate(self._names)}
        self._open: dict[int, Any] = {}
        self._ends: dict[int, Any] = {}

    def number(self, row: Row) -> int:
        return self._numbers[row_hash(row)]

    def missing(self) -> list[int]:
        """Parts that are not on the disk."""
        return [part for part in range(0, len(self._names), PART) if not self._file(part).is_file()]

    def fill(self, parts: Sequence[int], compute: Compute) -> None:
        """Compute these parts and write them."""
        count = sum(len(self._rows[part : part + PART]) for part in parts)
        with progress("teacher", count, "rows") if parts and is_main() else nullcontext() as bar:
            for part in parts:
                tensors = packed(self._rows[part : part + PART], compute, bar.advance if bar else lambda rows: None)
                with writing(self._file(part)) as file:
                    file.write(save(tensors))

    def tell(self) -> None:
        files = [self._file(part) for part in range(0, len(self._names), PART)]
        if is_main():
            megabytes = sum(file.stat().st_size for file in files) / 1e6
            say(f"teacher: its most likely tokens on {len(self._names)} rows lie in {self.folder} ({megabytes:.1f} MB).")

    def read(self, numbers: Sequence[int]) -> TopK:
        """All positions of these rows, one row after the other."""
        log_probs, ids = zip(*(self._row(number) for number in numbers), strict=True)
        values = torch.cat(log_probs).float()
        return TopK(values - values.logsumexp(1, keepdim=True), torch.cat(ids).long())

    def _row(self, number: int) -> tuple[Tensor, Tensor]:
        part, place = number - number % PART, number % PART
        if part not in self._open:
            self._open[part] = safe_open(self._file(part), framework="pt")
            self._ends[part] = [0, *self._open[part].get_tensor("ends").tolist()]
        start, end = self._ends[part][place : place + 2]
        return tuple(self._open[part].get_slice(name)[start:end] for name in ("log_probs", "ids"))

    def _file(self, part: int) -> Path:
        names = "".join(self._names[part : part + PART])
        return self.folder / f"{hashlib.blake2b(names.encode(), digest_size=12).hexdigest()}.safetensors"


def row_hash(row: Row) -> str:
    """By the row's tokens, and where it carries loss."""
    found = hashlib.blake2b(digest_size=12)
    for name in ("input_ids", "labels"):
        found.update(len(row[name]).to_bytes(8, "little") + np.asarray(row[name], dtype=np.int32).tobytes())
    return found.hexdigest()


def packed(rows: Sequence[Row], compute: Compute, advance: Callable[[int], Any]) -> Mapping[str, Tensor]:
    """What a file holds: `log_probs` [N, k + 1] and `ids` [N, k] of all positions, `ends` [rows] where those of each row end."""
    order = sorted(range(len(rows)), key=lambda i: -_size(rows[i]))
    counts = [int((rows[i]["labels"] != IGNORE).sum()) for i in range(len(rows))]
    log_probs: list[Any] = [None] * len(rows)
    ids: list[Any] = [None] * len(rows)
    for batch in _batches(order, rows):
        found = compute([rows[i] for i in batch])
        borders = np.cumsum([0, *(counts[i] for i in batch)]).tolist()
        for i, (start, end) in zip(batch, pairwise(borders), strict=True):
            log_probs[i], ids[i] = found.log_probs[start:end].half().cpu(), found.ids[start:end].int().cpu()
        advance(len(batch))
    return {"log_probs": torch.cat(log_probs), "ids": torch.cat(ids), "ends": torch.tensor(counts).cumsum(0)}


def _size(row: Row) -> int:
    return len(row["input_ids"]) + len(row["labels"])


def _batches(order: Sequence[int], rows: Sequence[Row]) -> list[list[int]]:
    """Rows of like length, so many that they hold about TOKENS_AT_ONCE tokens."""
    batches: list[list[int]] = []
    for i in order:
        if not batches or (len(batches[-1]) + 1) * _size(rows[batches[-1][0]]) > TOKENS_AT_ONCE:
            batches.append([])
        batches[-1].append(i)
    return batches
