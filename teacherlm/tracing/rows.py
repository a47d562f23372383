"""The rows of one id in what a stage wrote; files are searched as bytes, datasets by their column, so that a large run is no matter."""

import difflib
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any

import orjson

from teacherlm.store.files import is_rows
from teacherlm.store.hf import is_dataset_folder

ESCAPES = (rb"\u", rb"\/")
"""JSON of other writers may spell an id with these, so that its bytes are not ours."""
Row = dict[str, Any]
Found = tuple[str, Row]
"""(`file:line`, or `folder: split train, row 12`; the row)."""


def rows_of(output: Path, name: str) -> list[Found]:
    """Of an output of rows: a dataset folder, a folder with a .jsonl, or the .jsonl itself."""
    if output.is_file():
        return list(lines_of(output, "id", name))
    if is_dataset_folder(output):
        return list(_in_dataset(output, name))
    return [found for path in sorted(output.glob("*.jsonl")) if is_rows(path) for found in lines_of(path, "id", name)]


def lines_of(path: Path, column: str, name: str) -> Iterator[Found]:
    """Lines of a .jsonl whose column holds this text. Nothing of a file that is not there."""
    if not path.is_file():
        return
    mark = orjson.dumps(name)
    with path.open("rb") as file:
        for number, line in enumerate(file, 1):
            if any(spelling in line for spelling in (mark, *ESCAPES)) and (row := orjson.loads(line)).get(column) == name:
                yield f"{path}:{number}", row


def _in_dataset(folder: Path, name: str) -> Iterator[Found]:
    import pyarrow.compute as pc

    for split, dataset in _splits(folder):
        if "id" in dataset.column_names:
            for i in pc.indices_nonzero(pc.equal(dataset.data.column("id"), name)).to_pylist():
                yield f"{folder}: {f'split {split}, ' if split else ''}row {i}", dataset[i]


def _splits(folder: Path) -> Iterator[tuple[str, Any]]:
    from datasets import load_from_disk

    found = load_from_disk(str(folder))
    yield from found.items() if isinstance(found, dict) else [("", found)]


def nearest(outputs: Iterable[Path], name: str) -> list[str]:
    """Ids of these outputs that look like it."""
    known: set[str] = set()
    for output in outputs:
        if is_dataset_folder(output):
            known.update(one for _, dataset in _splits(output) if "id" in dataset.column_names for one in dataset["id"])
        elif output.is_file():
            with output.open("rb") as file:
                known.update(str(orjson.loads(line).get("id")) for line in file if line.strip())
    return difflib.get_close_matches(name, sorted(known), n=3, cutoff=0.5)
