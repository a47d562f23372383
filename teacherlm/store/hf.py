"""Folders that `datasets.load_from_disk` opens: written from a stream of rows, read row by row; memory stays flat.

The writer infers the types batch by batch. When a later batch widens them (the first value after many nulls), a new file is begun
and the earlier ones are brought to the final types at the end, so that nothing has to be known or held beforehand.
"""

import hashlib
from collections.abc import Iterable, Iterator, Sequence
from contextlib import suppress
from itertools import chain, islice
from pathlib import Path
from typing import Any

import pyarrow as pa

from teacherlm.errors import UserError
from teacherlm.store.files import read_json, write_json

BATCH = 1000
DICT_FILE = "dataset_dict.json"
STATE_FILE = "state.json"

Row = dict[str, Any]


def write_dataset(folder: Path, rows: Iterable[Row], split: str | None = None, last: Sequence[str] = (), origin: str = "") -> int:
    """Writes a Dataset into the folder (made if needed); returns the number of rows.

    `last`: columns that stand at the end, in this order, wherever the rows bring them. `origin`: where the rows come from, for messages.
    Raises: UserError naming a column whose values cannot share a type.
    """
    folder.mkdir(parents=True, exist_ok=True)
    schema, segments, count = None, [], 0
    for latest, path, written in _write_segments(folder, rows, origin):
        schema, count = latest, count + written
        segments.append(path)
    if schema is None:
        raise UserError(f"{folder}: there are no rows to write.")
    final = _ordered(schema, last)
    names = [f"data-{index:05d}-of-{len(segments):05d}.arrow" for index in range(len(segments))]
    for name, path in zip(names, segments, strict=True):
        _finish_segment(path, folder / name, final)
    _write_info(folder, final, names, split)
    return count


def write_dict_file(folder: Path, splits: Sequence[str]) -> None:
    """Makes a folder of written splits a DatasetDict."""
    write_json(folder / DICT_FILE, {"splits": list(splits)})


def is_dataset_folder(path: Path) -> bool:
    return (path / DICT_FILE).is_file() or (path / STATE_FILE).is_file()


def split_names(folder: Path) -> list[str]:
    """Splits of a DatasetDict; a Dataset counts as one split, by default `train`."""
    if (folder / DICT_FILE).is_file():
        return [str(name) for name in read_json(folder / DICT_FILE)["splits"]]
    return [str(read_json(folder / STATE_FILE).get("_split") or "train")]


def read_dataset(folder: Path, split: str | None = None) -> Iterator[Row]:
    """The rows of a Dataset folder, or of one split of a DatasetDict folder."""
    from datasets import load_from_disk

    here = folder / split if split is not None and (folder / DICT_FILE).is_file() else folder
    if not (here / STATE_FILE).is_file():
        raise UserError(f"{here}: is not a folder written by datasets' save_to_disk.")
    yield from iterate(load_from_disk(str(here)))


def iterate(dataset: Any) -> Iterator[Row]:
    """Rows of a Hugging Face Dataset as plain values; a class label becomes its name."""
    labels = {name: feature for name, feature in dataset.features.items() if type(feature).__name__ == "ClassLabel"}
    for batch in dataset.iter(batch_size=BATCH):
        for values in zip(*batch.values(), strict=True):
            row = dict(zip(batch, values, strict=True))
            for name, feature in labels.items():
                row[name] = feature.int2str(row[name]) if row[name] is not None and row[name] >= 0 else None
            yield row


def _write_segments(folder: Path, rows: Iterable[Row], origin: str) -> Iterator[tuple[Any, Path, int]]:
    """Yields (schema so far, file, rows in it) for each finished file; a new file begins where the schema widens."""
    stream, schema, writer, count, number = iter(rows), None, None, 0, 0
    path = folder
    while batch := list(islice(stream, BATCH)):
        columns = _columns(batch, number, origin)
        seen = pa.schema([(name, column.type) for name, column in columns.items()])
        unified = seen if schema is None else _unified(schema, seen, origin)
        if unified != schema:
            if writer is not None:
                writer.close()
                yield schema, path, count
            schema, count = unified, 0
            path = folder / f".segment-{number}"
            writer = pa.ipc.new_stream(str(path), schema)
        assert writer is not None
        writer.write_batch(_record_batch(columns, batch, schema))
        count += len(batch)
        number += len(batch)
    if writer is not None:
        writer.close()
        yield schema, path, count


def _columns(batch: list[Row], before: int, origin: str) -> dict[str, Any]:
    """Column -> pyarrow array of inferred type. Raises: UserError naming the column and the rows."""
    place = f"{origin}: " if origin else ""
    columns = {}
    for name, values in _by_column(batch).items():
        try:
            columns[name] = pa.array(values)
        except (pa.ArrowException, OverflowError) as error:
            kinds = ", ".join(sorted({type(value).__name__ for value in values if value is not None}))
            rows = f"{before + 1}-{before + len(batch)}"
            raise UserError(f"{place}column '{name}': values in rows {rows} cannot share a type ({kinds}: {error}).") from None
    return columns


def _by_column(batch: list[Row]) -> dict[str, list[Any]]:
    first = batch[0]
    if sum(map(len, batch)) == len(first) * len(batch):
        with suppress(KeyError):  # not raised: then all have the same columns, as nearly always
            return {name: [row[name] for row in batch] for name in first}
    return {name: [row.get(name) for row in batch] for name in dict.fromkeys(chain.from_iterable(batch))}


def _unified(one: Any, other: Any, origin: str) -> Any:
    place = f"{origin}: " if origin else ""
    try:
        return pa.unify_schemas([one, other], promote_options="permissive")
    except pa.ArrowException as error:
        for name in one.names:
            if name in other.names and not _compatible(one.field(name), other.field(name)):
                found = f"{one.field(name).type} in earlier rows, {other.field(name).type} later"
                raise UserError(f"{place}column '{name}': values cannot share a type ({found}).") from None
        raise UserError(f"{place}columns cannot share a type ({error}).") from None


def _compatible(one: Any, other: Any) -> bool:
    try:
        pa.unify_schemas([pa.schema([one]), pa.schema([other])], promote_options="permissive")
    except pa.ArrowException:
        return False
    return True


def _record_batch(columns: dict[str, Any], rows: list[Row], schema: Any) -> Any:
    arrays = []
    for field in schema:
        column = columns.get(field.name)
        if column is None:
            column = pa.nulls(len(rows), field.type)
        elif column.type != field.type:
            column = pa.array([row.get(field.name) for row in rows], field.type)
        arrays.append(column)
    return pa.RecordBatch.from_arrays(arrays, schema=schema)


def _ordered(schema: Any, last: Sequence[str]) -> Any:
    front = [name for name in schema.names if name not in last]
    return pa.schema([schema.field(name) for name in (*front, *(name for name in last if name in schema.names))])


def _finish_segment(source: Path, target: Path, final: Any) -> None:
    """Renames a file that has the final schema, rewrites one that has not."""
    with pa.memory_map(str(source)) as file, pa.ipc.open_stream(file) as reader:
        if reader.schema != final:
            with pa.ipc.new_stream(str(target), final) as writer:
                for batch in reader:
                    rows = batch.to_pylist()
                    columns = {name: batch.column(name) for name in batch.schema.names}
                    writer.write_batch(_record_batch(columns, rows, final))
            source.unlink()
            return
    source.replace(target)


def _write_info(folder: Path, schema: Any, names: list[str], split: str | None) -> None:
    from datasets import DatasetInfo, Features

    DatasetInfo(features=Features.from_arrow_schema(schema)).write_to_directory(str(folder))
    content = hashlib.sha256()
    for name in names:
        with (folder / name).open("rb") as file:
            while block := file.read(1 << 20):
                content.update(block)
    write_json(
        folder / STATE_FILE,
        {
            "_data_files": [{"filename": name} for name in names],
            "_fingerprint": content.hexdigest()[:16],
            "_format_columns": None,
            "_format_kwargs": {},
            "_format_type": None,
            "_output_all_columns": False,
            "_split": split,
        },
    )
