"""Tokenised rows as a few flat arrays, in memory or mapped from files: a row is put together when it is asked for."""

import io
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import IO, Any, overload

import numpy as np

from teacherlm.training.families import FOLLOWS, Row

COST = "cost"
TYPES: Mapping[str, Any] = {"tokens": np.int32, "ends": np.int64, "number": np.float64, COST: np.int64}
BUFFER = 1 << 20


@dataclass(frozen=True)
class FlatRows(Sequence[Row]):
    """Rows that all have the same keys.

    arrays: `tokens.KEY` int32, all rows end to end; `ends.KEY` int64 [rows], where each row ends in them; `number.KEY` fp64 [rows];
    `cost` int64 [rows], tokens that a row costs.
    """

    keys: Sequence[str]
    """Of a row's arrays of tokens."""
    numbers: Sequence[str]
    """Of a row's numbers."""
    arrays: Mapping[str, Any]

    def __len__(self) -> int:
        return len(self.costs)

    @overload
    def __getitem__(self, index: int) -> Row: ...
    @overload
    def __getitem__(self, index: slice) -> list[Row]: ...
    def __getitem__(self, index: int | slice) -> Row | list[Row]:
        if isinstance(index, slice):
            return [self[i] for i in range(*index.indices(len(self)))]
        i = index + len(self) if index < 0 else index
        if not 0 <= i < len(self):
            raise IndexError(index)
        row: Row = {}
        for key in self.keys:
            ends = self.arrays[f"ends.{key}"]
            row[key] = self.arrays[f"tokens.{key}"][ends[i - 1] if i else 0 : ends[i]]
        return row | {key: float(self.arrays[f"number.{key}"][i]) for key in self.numbers}

    @property
    def costs(self) -> Any:
        return self.arrays[COST]

    def together(self) -> list[list[int]] | None:
        """Indices of the rows that are to share a batch, each row in one list; None where each stands for itself."""
        if FOLLOWS not in self.numbers:
            return None
        starts = [i for i, follows in enumerate(self.arrays[f"number.{FOLLOWS}"]) if i == 0 or follows <= 0]
        return [list(range(at, end)) for at, end in zip(starts, [*starts[1:], len(self)], strict=True)]


@dataclass
class FlatWriter:
    """Takes rows one by one; with a folder it holds none of them in memory."""

    folder: Path | None = None
    keys: list[str] = field(default_factory=list)
    numbers: list[str] = field(default_factory=list)
    _files: dict[str, IO[bytes]] = field(default_factory=dict)
    _ends: dict[str, int] = field(default_factory=dict)

    def add(self, row: Row, cost: int) -> None:
        if not self.keys:
            self.keys = [key for key in row if isinstance(row[key], np.ndarray)]
            self.numbers = [key for key in row if key not in self.keys]
        for key in self.keys:
            self._ends[key] = self._ends.get(key, 0) + len(row[key])
            self._put(f"tokens.{key}", row[key])
            self._put(f"ends.{key}", self._ends[key])
        for key in self.numbers:
            self._put(f"number.{key}", row[key])
        self._put(COST, cost)

    def _put(self, name: str, value: Any) -> None:
        file = self._files.get(name) or self._files.setdefault(name, self._open(name))
        file.write(np.asarray(value, dtype=_type(name)).tobytes())

    def _open(self, name: str) -> IO[bytes]:
        if self.folder is None:
            return io.BytesIO()
        self.folder.mkdir(parents=True, exist_ok=True)
        return _path(self.folder, name).open("wb", buffering=BUFFER)

    def finish(self) -> FlatRows:
        """Nothing can be added any more."""
        if not self._files:
            self._put(COST, [])
        arrays = {name: np.frombuffer(file.getvalue(), _type(name)) for name, file in self._files.items() if isinstance(file, io.BytesIO)}
        for file in self._files.values():
            file.close()
        return FlatRows(self.keys, self.numbers, arrays) if self.folder is None else map_rows(self.folder, self.keys, self.numbers)


def map_rows(folder: Path, keys: Sequence[str], numbers: Sequence[str]) -> FlatRows:
    """What a writer left in a folder; nothing is read but what is asked for later.

    Raises: OSError for a file that is missing, ValueError for one that is not of the size it must have.
    """
    names = [f"{kind}.{key}" for key in keys for kind in ("tokens", "ends")] + [f"number.{key}" for key in numbers] + [COST]
    arrays = {name: _mapped(_path(folder, name), name) for name in names}
    rows = len(arrays[COST])
    for name, array in arrays.items():
        wanted = rows
        if name.startswith("tokens."):
            ends = arrays[name.replace("tokens.", "ends.", 1)]
            wanted = int(ends[-1]) if len(ends) else 0
        if len(array) != wanted:
            raise ValueError(f"{folder}: {name} has {len(array)} entries, expected {wanted}")
    return FlatRows(keys, numbers, arrays)


def _mapped(path: Path, name: str) -> Any:
    # An empty file cannot be mapped.
    return np.memmap(path, dtype=_type(name), mode="r") if path.stat().st_size else np.zeros(0, _type(name))


def _type(name: str) -> Any:
    return TYPES[name.partition(".")[0]]


def _path(folder: Path, name: str) -> Path:
    return folder / f"{name}.bin"
