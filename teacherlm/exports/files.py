"""What is read and written for other systems: rows of whatever holds them, and files that never replace other content unasked."""

import filecmp
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, BinaryIO

from teacherlm.errors import UserError
from teacherlm.store.files import only_jsonl, writing
from teacherlm.store.manifest import require_finished
from teacherlm.store.sources import open_source, read_json_rows

Row = dict[str, Any]


def read_rows(path: Path) -> Iterator[tuple[str, Row]]:
    """(place for a message, row) of a .jsonl or .json file, a folder that holds one .jsonl, or a saved Dataset (its split `train`).

    Raises: UserError when there is none of these, or more than one file.
    """
    from teacherlm.store.hf import is_dataset_folder

    require_finished(path)
    if path.is_dir() and is_dataset_folder(path):
        tables = open_source(str(path))
        return (tables["train"] if "train" in tables else next(iter(tables.values()))).rows()
    return read_json_rows(only_jsonl(path, "rationales"))


def write_once(path: Path, parts: Iterable[bytes], overwrite: bool = False) -> None:
    """Raises: UserError when the file is there with other content; writing the same again is fine."""
    with writing_once(path, overwrite) as file:
        for part in parts:
            file.write(part)


@contextmanager
def writing_once(path: Path, overwrite: bool = False) -> Iterator[BinaryIO]:
    """As `write_once`, for what writes into a file itself."""
    beside = path.with_name(f".{path.name}.new")
    try:
        with writing(beside) as file:
            yield file
        if path.exists() and not overwrite and not filecmp.cmp(beside, path, shallow=False):
            raise UserError(f"{path}: is there already with other content; name another output, or replace it with --overwrite.")
        beside.replace(path)
    finally:
        beside.unlink(missing_ok=True)
