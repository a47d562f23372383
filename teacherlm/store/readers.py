"""The rows of one file of data, whichever format its name says it has."""

from pathlib import Path

from teacherlm.errors import UserError
from teacherlm.store.readers_arrow import arrow_rows, parquet_rows
from teacherlm.store.readers_csv import csv_rows
from teacherlm.store.readers_json import json_rows
from teacherlm.store.readers_text import GZIP, Found, plain_name

JSON = (".json", ".jsonl", ".ndjson")
CSV = (".csv", ".tsv")
ARROW = (".parquet", ".arrow")
SUFFIXES = (*JSON, *CSV, *ARROW)


def suffix_of(path: Path) -> str:
    """`.csv` of `x.csv` and of `x.CSV.gz`."""
    return Path(plain_name(path)).suffix.lower()


def file_rows(path: Path, encoding: str = "utf-8", delimiter: str = "") -> Found:
    """A name that says nothing is taken for JSON.

    Raises: UserError for what is no file of that format, or has no rows.
    """
    suffix = suffix_of(path)
    if suffix in ARROW:
        if path.suffix == GZIP:
            raise UserError(f"{path}: a {suffix} file is not read gzip'd (it is packed inside); unpack it with gunzip.")
        return parquet_rows(path) if suffix == ".parquet" else arrow_rows(path)
    if suffix in CSV:
        return csv_rows(path, encoding, delimiter=delimiter)
    return json_rows(path, encoding)
