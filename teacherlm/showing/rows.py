"""The rows to be shown: the first, some drawn at random, or those with an id; of a folder or a file, however large."""

import difflib
import random
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from heapq import nlargest
from itertools import islice, takewhile
from pathlib import Path
from typing import Any, Protocol

from teacherlm.errors import UserError, unknown
from teacherlm.store.files import is_rows
from teacherlm.store.hf import is_dataset_folder, split_names
from teacherlm.store.manifest import require_finished
from teacherlm.store.readers import SUFFIXES, file_rows, suffix_of

COUNTED_BYTES = 1 << 25
"""A file is read to its end for a summary up to this size."""
COUNTED_ROWS = 500_000
"""A column of an Arrow file is measured up to this many rows."""
NEAR = 2000
"""Ids that begin most alike, of which the nearest are looked for."""

Values = dict[str, Any]


@dataclass(frozen=True)
class Row:
    where: str
    values: Values
    problem: str = ""
    """Why it cannot be read."""


@dataclass(frozen=True)
class Extent:
    """How large all of it is."""

    rows: int
    mean: float | None = None
    """Of a column's texts, in characters; None where that was not measured."""
    longest: int = 0


class Rows(Protocol):
    """One split, or one file."""

    @property
    def place(self) -> str: ...

    def first(self, n: int) -> list[Row]: ...

    def drawn(self, n: int, seed: int) -> list[Row]:
        """In the order in which they stand."""
        ...

    def with_id(self, wanted: str) -> list[Row]: ...

    def ids(self) -> Iterator[str]: ...

    def extent(self, column: str) -> Extent | None:
        """None where finding out would take long."""
        ...


def find_rows(data: Path, split: str) -> Rows | None:
    """What stage wrote there, or the file; None for a folder that no stage wrote.

    Raises: UserError for a path that is not there, an unfinished output, a split that is not there, and a folder of several files.
    """
    require_finished(data)
    if data.is_file():
        if split:
            raise UserError(f"--split {split}: {data} is one file; give the folder, or leave --split out.")
        return Streamed(data)
    if is_dataset_folder(data):
        names = split_names(data)
        if split and split not in names:
            raise unknown("split", split, names)
        return Indexed(data, split or ("train" if "train" in names else names[0]))
    found = sorted(filter(is_rows, data.glob("*.jsonl")))
    if len(found) == 1 and not split:
        return Streamed(found[0])
    if not any(suffix_of(path) in SUFFIXES for path in data.iterdir()):
        there = ", ".join(sorted(path.name for path in data.iterdir())[:8]) or "nothing"
        raise UserError(f"{data}: no rows here (found {there}); give an output of prepare, enhance or postprocess, or a data file.")
    return None


def chosen(rows: Rows, n: int, wanted: str, seed: int | None) -> list[Row]:
    """Raises: UserError for an id that is not there, naming the nearest."""
    if not wanted:
        return rows.first(n) if seed is None else rows.drawn(n, seed)
    if found := rows.with_id(wanted):
        return found
    near = nearest(wanted, list(rows.ids()))
    advice = f" The nearest: {', '.join(near)}." if near else " Its rows have no column 'id'; choose them with --n, or --seed."
    raise UserError(f"{rows.place}: no row has the id '{wanted}'.{advice}")


def nearest(wanted: str, ids: Sequence[str], n: int = 3) -> list[str]:
    """The ids most alike; of very many only those that begin alike are compared."""

    def common(one: str) -> int:
        return sum(1 for _ in takewhile(lambda pair: pair[0] == pair[1], zip(wanted, one, strict=False)))

    few = ids if len(ids) <= NEAR else nlargest(NEAR, ids, key=common)
    unique = list(dict.fromkeys(few))
    return difflib.get_close_matches(wanted, unique, n=n, cutoff=0.0)


class Indexed:
    """A split of a `save_to_disk` folder: rows are fetched by their number."""

    def __init__(self, folder: Path, split: str) -> None:
        from datasets import load_from_disk

        loaded = load_from_disk(str(folder))
        several: Any = loaded
        self.dataset: Any = several[split] if isinstance(loaded, dict) else loaded
        self.place = f"{folder}: {split}"

    def first(self, n: int) -> list[Row]:
        return self._at(range(min(n, len(self.dataset))))

    def drawn(self, n: int, seed: int) -> list[Row]:
        count = len(self.dataset)
        return self._at(sorted(random.Random(seed).sample(range(count), min(n, count))))

    def with_id(self, wanted: str) -> list[Row]:
        import pyarrow.compute as pc

        if (ids := self._ids()) is None:
            return []
        return self._at(pc.indices_nonzero(pc.equal(ids, wanted)).to_pylist())

    def ids(self) -> Iterator[str]:
        if (ids := self._ids()) is not None:
            yield from (value for value in ids.to_pylist() if value is not None)

    def extent(self, column: str) -> Extent | None:
        import pyarrow as pa
        import pyarrow.compute as pc

        count = len(self.dataset)
        values = self.dataset.data.column(column) if column in self.dataset.column_names else None
        if values is None or count > COUNTED_ROWS or not (pa.types.is_string(values.type) or pa.types.is_large_string(values.type)):
            return Extent(count)
        lengths = pc.utf8_length(values)
        return Extent(count, pc.mean(lengths).as_py(), pc.max(lengths).as_py() or 0)

    def _ids(self) -> Any:
        import pyarrow as pa

        return self.dataset.data.column("id").cast(pa.string()) if "id" in self.dataset.column_names else None

    def _at(self, numbers: Sequence[int]) -> list[Row]:
        return [Row(f"{self.place} row {number}", dict(self.dataset[int(number)])) for number in numbers]


class Streamed:
    """A file, read from its beginning."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self.place = str(path)

    def first(self, n: int) -> list[Row]:
        return list(islice(self._rows(), n))

    def drawn(self, n: int, seed: int) -> list[Row]:
        """One pass over the file, n rows in memory (algorithm R)."""
        dice = random.Random(seed)
        kept: list[tuple[int, Row]] = []
        for number, row in enumerate(self._rows()):
            place = number if number < n else dice.randint(0, number)
            if number < n:
                kept.append((number, row))
            elif place < n:
                kept[place] = (number, row)
        return [row for _, row in sorted(kept, key=lambda pair: pair[0])]

    def with_id(self, wanted: str) -> list[Row]:
        return [row for row in self._rows() if "id" in row.values and str(row.values["id"]) == wanted]

    def ids(self) -> Iterator[str]:
        return (str(row.values["id"]) for row in self._rows() if "id" in row.values)

    def extent(self, column: str) -> Extent | None:
        if self.path.stat().st_size > COUNTED_BYTES:
            return None
        count = total = longest = texts = 0
        for row in self._rows():
            count += 1
            if isinstance(text := row.values.get(column), str):
                texts, total, longest = texts + 1, total + len(text), max(longest, len(text))
        return Extent(count, total / texts if texts else None, longest)

    def _rows(self) -> Iterator[Row]:
        for where, row in file_rows(self.path):
            yield Row(where, {}, str(row)) if isinstance(row, UserError) else Row(where, row)
