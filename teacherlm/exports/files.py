"""What is read and written for other systems: rows of whatever holds them, and files that never replace other content unasked."""

import filecmp
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any

from teacherlm.errors import UserError
from teacherlm.store.files import writing
from teacherlm.store.manifest import require_finished
from teacherlm.store.sources import open_source, read_json_rows

Row = dict[str, Any]

NOT_KEPT = ("dropped.jsonl", "rejected.jsonl")


def read_rows(path: Path) -> Iterator[tuple[str, Row]]:
    """(place for a message, row) of a .jsonl or .json file, a folder that holds one .jsonl, or a saved Dataset (its split `train`).

    Raises: UserError when there is none of these, or more than one file.
    """
    from teacherlm.store.hf import is_dataset_folder

    require_finished(path)
    if path.is_dir() and is_dataset_folder(path):
        tables = open_source(str(path))
        return (tables["train"] if "train" in tables else next(iter(tables.values()))).rows()
    return read_json_rows(path if path.is_file() else _only_file(path))


def _only_file(folder: Path) -> Path:
    files = sorted(path for path in folder.glob("[!.]*.jsonl") if path.is_file() and path.name not in NOT_KEPT)
    if len(files) != 1:
        raise UserError(f"{folder}: expected one .jsonl of rationales, found {', '.join(file.name for file in files) or 'none'}.")
    return files[0]


def write_once(path: Path, parts: Iterable[bytes], overwrite: bool = False) -> None:
    """Raises: UserError when the file is there with other content; writing the same again is fine."""
    beside = path.with_name(f".{path.name}.new")
    try:
        with writing(beside) as file:
            for part in parts:
                file.write(part)
        if path.exists() and not overwrite and not filecmp.cmp(beside, path, shallow=False):
            raise UserError(f"{path}: is there already with other content; name another output, or replace it with --overwrite.")
        beside.replace(path)
    finally:
        beside.unlink(missing_ok=True)
