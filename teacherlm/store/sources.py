"""Where questions come from: a JSON or JSON-lines file, a folder of them, a `save_to_disk` folder, a hub name; split by split."""

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from teacherlm.errors import UserError
from teacherlm.store.files import read_json, read_jsonl
from teacherlm.store.fingerprint import is_hub_id

USUAL_SPLITS = {"dev": "validation", "val": "validation", "valid": "validation"}
SUFFIXES = (".jsonl", ".json")

Rows = Iterator[tuple[str, dict[str, Any]]]
"""(where a message says the row is, row)."""


@dataclass(frozen=True)
class Table:
    """One split of a source, or one file of it."""

    place: str
    rows: Callable[[], Rows]
    """Raises: UserError at the first row that cannot be read."""

    def rows_or_errors(self) -> Iterator[tuple[str, dict[str, Any] | UserError]]:
        """Like `rows`, but a row that cannot be read comes as the error that says why."""
        yield from self.rows()


@dataclass(frozen=True)
class Origin:
    """Where a dataset is read from."""

    place: str
    """A file, a folder, a hub name."""
    encoding: str = "utf-8"

    def tables(self, files: Mapping[str, str] | None = None) -> dict[str, Table]:
        """As `open_source`."""
        return open_source(self.place, files)


def open_source(source: str, files: Mapping[str, str] | None = None) -> dict[str, Table]:
    """Split -> its rows, not read yet.

    `files` names the published files and the splits they are ({"dev.json": "validation"}); without it every .json and .jsonl
    of a folder is a split named after its stem.
    Raises: UserError for a path that is not there and for a folder without data.
    """
    path = Path(source)
    if path.is_file():
        return {(files or {}).get(path.name, "train"): _file_table(path)}
    if path.is_dir():
        return _open_folder(path, files)
    if is_hub_id(source):
        return _open_hub(source)
    raise UserError(f"{source}: no such file or folder.")


def require(row: Mapping[str, Any], column: str, where: str) -> Any:
    """The value of a column. Raises: UserError when the row has no such column."""
    if column not in row:
        raise UserError(f"{where}: column '{column}' is missing (found: {', '.join(row) or 'nothing'}).")
    return row[column]


def _open_folder(path: Path, files: Mapping[str, str] | None) -> dict[str, Table]:
    from teacherlm.store.hf import is_dataset_folder, split_names

    if is_dataset_folder(path):
        return {split: _dataset_table(path, split) for split in split_names(path)}
    if files is None:
        found = {USUAL_SPLITS.get(p.stem, p.stem): p for p in sorted(path.iterdir()) if p.suffix in SUFFIXES}
    else:
        found = {split: path / name for name, split in files.items() if (path / name).is_file()}
    if not found:
        wanted = ", ".join(files or ("*.json", "*.jsonl"))
        raise UserError(f"{path}: holds neither {wanted} nor a dataset written by save_to_disk.")
    return {split: _file_table(file) for split, file in sorted(found.items(), key=lambda item: item[0] != "train")}


def _file_table(path: Path) -> Table:
    return Table(str(path), lambda: read_json_rows(path))


def _dataset_table(path: Path, split: str) -> Table:
    def rows() -> Rows:
        from teacherlm.store.hf import read_dataset

        for number, row in enumerate(read_dataset(path, split)):
            yield f"{path}: {split} row {number}", row

    return Table(f"{path}: {split}", rows)


def _open_hub(source: str) -> dict[str, Table]:
    from datasets import load_dataset

    from teacherlm.store.hf import iterate

    try:
        loaded = load_dataset(source)
    except Exception as error:  # every library behind it raises its own
        reason = " ".join(str(error).split()) or type(error).__name__
        raise UserError(f"{source}: neither a file nor a folder, and it could not be loaded from the hub ({reason}).") from error

    def table(split: str) -> Table:
        return Table(f"{source}: {split}", lambda: ((f"{source}: {split} row {i}", row) for i, row in enumerate(iterate(loaded[split]))))

    return {split: table(split) for split in loaded}


def read_json_rows(path: Path) -> Rows:
    """Rows of a file of JSON lines or of one JSON list (which is held in memory)."""
    if not _is_list(path):
        for number, row in read_jsonl(path):
            yield f"{path}:{number}", row
        return
    rows = read_json(path)
    if not rows:
        raise UserError(f"{path}: the file has no rows.")
    for number, row in enumerate(rows, start=1):
        if not isinstance(row, dict):
            raise UserError(f"{path}: item {number}: expected a JSON object, found {type(row).__name__}.")
        yield f"{path}: item {number}", row


def _is_list(path: Path) -> bool:
    with path.open("rb") as file:
        for line in file:
            if line.strip():
                return line.lstrip().startswith(b"[")
    return False
