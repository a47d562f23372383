"""Where questions come from: a file, a folder of them, a `save_to_disk` folder, a hub name; split by split."""

import re
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import chain
from pathlib import Path
from typing import Any

from teacherlm.errors import UserError
from teacherlm.store.files import is_rows
from teacherlm.store.fingerprint import is_hub_id
from teacherlm.store.readers import ARROW, SUFFIXES, file_rows, suffix_of
from teacherlm.store.readers_csv import csv_rows
from teacherlm.store.readers_json import json_rows
from teacherlm.store.readers_text import GZIP, Found, Row, plain_name

USUAL_SPLITS = {"dev": "validation", "val": "validation", "valid": "validation"}
PIECE = re.compile(r"-\d{5}-of-\d{5}$")
"""How the hub numbers the files of one split."""


@dataclass(frozen=True)
class Table:
    """One split of a source, or one file of it."""

    place: str
    rows_or_errors: Callable[[], Found]
    """(where, row) for each row; one that cannot be read comes as the error that says why.

    Raises: UserError where nothing more can be read.
    """

    def rows(self) -> Iterator[tuple[str, Row]]:
        """Raises: UserError at the first row that cannot be read."""
        for where, row in self.rows_or_errors():
            if isinstance(row, UserError):
                raise row
            yield where, row


@dataclass(frozen=True)
class Origin:
    """Where a dataset is read from."""

    place: str
    """A file, a folder, a hub name (`owner/name`, or `owner/name:config`)."""
    encoding: str = "utf-8"
    """Of text files that begin with no byte order mark."""
    delimiter: str = ""
    """Between the cells of a CSV file; by default a comma, in a .tsv a tab."""

    def tables(self, files: Mapping[str, str] | None = None, suffixes: Sequence[str] = SUFFIXES) -> dict[str, Table]:
        """Split -> its rows, not read yet.

        `files` names the published files and the splits they are ({"dev.json": "validation"}), each also with `.gz` behind;
        without it every file of a folder with one of the suffixes is a split named after its stem.
        Raises: UserError for a path that is not there and for a folder without data.
        """
        path = Path(self.place)
        if path.is_file():
            return {(files or {}).get(plain_name(path), "train"): self._table(path)}
        if (elsewhere := self._not_files(path)) is not None:
            return elsewhere
        if files is None:
            found = _by_split(p for p in sorted(path.iterdir()) if suffix_of(p) in suffixes and _is_data(p))
        else:
            found = _first_spelling(files, path) or _pieces(path)
        wanted = list(files) if files is not None else [f"*{suffix}" for suffix in suffixes]
        return {split: self._one(split, files_) for split, files_ in _train_first(_some(found, path, wanted)).items()}

    def several(self, patterns: Mapping[str, str]) -> dict[str, list[Table]]:
        """Split -> its files, each a table whose `place` is its path, in the order of the patterns and in each by name.

        `patterns`: {"dev/*_dev.csv": "train"}, seen from the folder, each also with `.gz` behind. A single file is of the first
        pattern that its name fits. Raises: as `tables`.
        """
        path = Path(self.place)
        if path.is_file():
            return {_split_of(path, patterns): [self._table(path)]}
        if (elsewhere := self._not_files(path)) is not None:
            return {split: [table] for split, table in elsewhere.items()}
        found: dict[str, list[Path]] = {}
        taken: set[str] = set()
        for pattern, split in patterns.items():
            for file in sorted((*path.glob(pattern), *path.glob(pattern + GZIP))):
                if str(file).removesuffix(GZIP) not in taken and file.is_file():
                    taken.add(str(file).removesuffix(GZIP))
                    found.setdefault(split, []).append(file)
        there = _some(found or _pieces(path), path, list(patterns))
        return {split: [self._table(file) for file in files] for split, files in there.items()}

    def _not_files(self, path: Path) -> dict[str, Table] | None:
        """The splits of a folder written by `save_to_disk` or of the hub; None for a folder of files."""
        from teacherlm.store.hf import is_dataset_folder, split_names

        if path.is_dir():
            return {split: _dataset_table(path, split) for split in split_names(path)} if is_dataset_folder(path) else None
        if is_hub_id(self.place):
            return _open_hub(self.place)
        raise UserError(f"{self.place}: no such file or folder.")

    def _table(self, path: Path) -> Table:
        return Table(str(path), lambda: file_rows(path, self.encoding, self.delimiter))

    def _one(self, split: str, files: Sequence[Path]) -> Table:
        tables = [self._table(file) for file in files]
        if len(tables) == 1:
            return tables[0]
        return Table(f"{self.place}: {split}", lambda: chain.from_iterable(table.rows_or_errors() for table in tables))


def open_source(source: str, files: Mapping[str, str] | None = None) -> dict[str, Table]:
    """As `Origin.tables`, of files in UTF-8."""
    return Origin(source).tables(files)


def csv_table(path: Path, encoding: str = "utf-8", header: Sequence[str] | None = None, delimiter: str = "") -> Table:
    """A CSV file as a table; `header`: the columns of one that does not name them."""
    return Table(str(path), lambda: csv_rows(path, encoding, header, delimiter))


def read_json_rows(path: Path) -> Iterator[tuple[str, Row]]:
    """Rows of a file of JSON lines or of one JSON list. Raises: UserError at the first that cannot be read."""
    return Table(str(path), lambda: json_rows(path)).rows()


def require(row: Mapping[str, Any], column: str, where: str) -> Any:
    """The value of a column. Raises: UserError when the row has no such column."""
    if column not in row:
        raise UserError(f"{where}: column '{column}' is missing (found: {', '.join(row) or 'nothing'}).")
    return row[column]


def _is_data(path: Path) -> bool:
    return path.is_file() and not path.name.startswith(".") and (path.suffix != ".jsonl" or is_rows(path))


def _by_split(files: Iterable[Path]) -> dict[str, list[Path]]:
    """Files of a folder by the split that their stem says. Raises: UserError where two files claim to be the same."""
    found: dict[str, list[Path]] = {}
    for file in files:
        stem = Path(plain_name(file)).stem
        name = PIECE.sub("", stem)
        split = USUAL_SPLITS.get(name, name)
        if split in found and name == stem:
            raise UserError(
                f"{file.parent}: {found[split][0].name} and {file.name} are both the split '{split}'; give one of them, or move one."
            )
        found.setdefault(split, []).append(file)
    return found


def _pieces(path: Path) -> dict[str, list[Path]]:
    """The hub's own layout: train-00000-of-00002.parquet, in the folder or in `data/`."""
    for folder in (path, path / "data"):
        files = sorted(folder.iterdir()) if folder.is_dir() else []
        if found := _by_split(file for file in files if suffix_of(file) in ARROW and _is_data(file)):
            return found
    return {}


def _first_spelling(files: Mapping[str, str], path: Path) -> dict[str, list[Path]]:
    """Split -> the first of its published names that is there, plain or gzip'd."""
    found: dict[str, list[Path]] = {}
    for name, split in files.items():
        for file in (path / name, path / f"{name}{GZIP}"):
            if split not in found and file.is_file():
                found[split] = [file]
    return found


def _split_of(path: Path, patterns: Mapping[str, str]) -> str:
    """Of the first pattern that fits the whole path; else of the first whose last part fits the name."""
    plain = path.absolute().with_name(plain_name(path))
    for wanted in (lambda pattern: pattern, lambda pattern: Path(pattern).name):
        for pattern, split in patterns.items():
            if plain.match(wanted(pattern)):
                return split
    return "train"


def _some(found: dict[str, list[Path]], path: Path, wanted: Sequence[str]) -> dict[str, list[Path]]:
    if not found:
        raise UserError(f"{path}: holds neither {', '.join(wanted)} nor a dataset written by save_to_disk.")
    return found


def _train_first(found: dict[str, list[Path]]) -> dict[str, list[Path]]:
    return dict(sorted(found.items(), key=lambda item: item[0] != "train"))


def _dataset_table(path: Path, split: str) -> Table:
    def rows() -> Found:
        from teacherlm.store.hf import read_dataset

        for number, row in enumerate(read_dataset(path, split)):
            yield f"{path}: {split} row {number}", row

    return Table(f"{path}: {split}", rows)


def _open_hub(source: str) -> dict[str, Table]:
    from datasets import load_dataset

    from teacherlm.store.hf import iterate

    name, _, config = source.partition(":")
    try:
        loaded = load_dataset(name, config or None)
    except Exception as error:  # every library behind it raises its own
        reason = " ".join(str(error).split()) or type(error).__name__
        advice = f"; say which, as in {name}:CONFIG" if "Config name is missing" in reason else ""
        raise UserError(f"{source}: neither a file nor a folder, and it could not be loaded from the hub ({reason}{advice}).") from error

    def table(split: str) -> Table:
        return Table(f"{source}: {split}", lambda: ((f"{source}: {split} row {i}", row) for i, row in enumerate(iterate(loaded[split]))))

    return {split: table(split) for split in loaded}
