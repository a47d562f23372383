"""Rows of parquet and .arrow files, by record batches. A class label of Hugging Face datasets comes as its name."""

from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import orjson

from teacherlm.errors import UserError
from teacherlm.store.readers_text import Found

BATCH = 1000
FILE_MAGIC = b"ARROW1"


def parquet_rows(path: Path) -> Found:
    """Raises: UserError for a file that is no parquet, and for one without rows."""
    import pyarrow.parquet as pq

    with _sound(path, "a parquet file"), pq.ParquetFile(path) as file:
        yield from _rows(path, file.schema_arrow, file.iter_batches(BATCH))


def arrow_rows(path: Path) -> Found:
    """An Arrow stream, as `save_to_disk` writes, or an Arrow file. Raises: as `parquet_rows`."""
    import pyarrow as pa

    with _sound(path, "an Arrow file"), pa.memory_map(str(path)) as file:
        is_stream = file.read(len(FILE_MAGIC)) != FILE_MAGIC
        file.seek(0)
        if is_stream:
            with pa.ipc.open_stream(file) as reader:
                yield from _rows(path, reader.schema, reader)
            return
        with pa.ipc.open_file(file) as reader:
            yield from _rows(path, reader.schema, (reader.get_batch(i) for i in range(reader.num_record_batches)))


@contextmanager
def _sound(path: Path, what: str) -> Iterator[None]:
    import pyarrow as pa

    if path.is_dir():
        raise UserError(f"{path}: is a folder; a file is needed.")
    try:
        yield
    except FileNotFoundError:
        raise UserError(f"{path}: no such file.") from None
    except (pa.ArrowException, OSError) as error:
        raise UserError(f"{path}: cannot be read as {what} ({' '.join(str(error).split())}).") from None


def _rows(path: Path, schema: Any, batches: Iterable[Any]) -> Found:
    labels = _class_labels(schema)
    number = 0
    for batch in batches:
        for start in range(0, len(batch), BATCH):
            for row in batch.slice(start, BATCH).to_pylist():
                for column, names in labels.items():
                    row[column] = names[row[column]] if row[column] is not None and row[column] >= 0 else None
                yield f"{path}: row {number}", row
                number += 1
    if not number:
        raise UserError(f"{path}: the file has no rows.")


def _class_labels(schema: Any) -> dict[str, list[str]]:
    """Column -> names of its classes, as Hugging Face datasets notes them beside the schema."""
    noted = (schema.metadata or {}).get(b"huggingface")
    features = orjson.loads(noted).get("info", {}).get("features", {}) if noted else {}
    return {
        column: feature["names"]
        for column, feature in features.items()
        if isinstance(feature, dict) and feature.get("_type") == "ClassLabel" and column in schema.names
    }
