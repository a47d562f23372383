"""Rows of CSV and TSV files: every cell stays the text it is, line breaks inside it too."""

import csv
from collections.abc import Iterator, Sequence
from pathlib import Path

from teacherlm.errors import UserError
from teacherlm.store.readers_text import BrokenRow, Found, encoding_of, plain_name, text_lines

LARGEST_CELL = 1 << 24
"""Bytes; what is longer is a quotation mark that nothing closes."""


def csv_rows(path: Path, encoding: str = "utf-8", header: Sequence[str] | None = None, delimiter: str = "") -> Found:
    """Rows as {column: text}; a row stands at the line it begins at. Streams.

    `header`: the columns of a file that does not name them. A column without a name is called as pandas does, `Unnamed: 0`.
    Raises: UserError for a file without rows, and for a header that names a column twice.
    """
    table = _Cells(path, encoding_of(path, encoding), delimiter or ("\t" if plain_name(path).lower().endswith(".tsv") else ","))
    cells = table.rows()
    names = tuple(header) if header is not None else _header(cells, path)
    empty = True
    for line, found in cells:
        empty = False
        where = f"{path}:{line}"
        if isinstance(found, UserError):
            yield where, found
        elif len(found) != len(names):
            ragged = f"the row has {_cells(len(found))} where the {_source(header)} names {len(names)} columns"
            yield where, BrokenRow(f"{where}: {ragged}.", {"cells": found})
        else:
            yield where, dict(zip(names, found, strict=True))
    if empty:
        raise UserError(f"{path}: the file has no rows{'' if header is not None else ' below its header'}.")


def _header(cells: Iterator[tuple[int, list[str] | UserError]], path: Path) -> tuple[str, ...]:
    line, found = next(cells, (0, None))
    if found is None:
        raise UserError(f"{path}: the file has no rows.")
    if isinstance(found, UserError):
        raise found
    names = tuple(name or f"Unnamed: {number}" for number, name in enumerate(found))
    other = next((mark for mark in (";", "\t", "|", ",") if len(names) == 1 and mark in names[0]), None)
    if other:
        raise UserError(f"{path}:{line}: the header is one cell, {names[0]!r}; say delimiter: {other!r}, if that is what parts the cells.")
    for name in names:
        if names.count(name) > 1:
            raise UserError(f"{path}:{line}: the header names column '{name}' twice.")
    return names


def _source(header: Sequence[str] | None) -> str:
    return "header" if header is None else "dataset"


def _cells(number: int) -> str:
    return "1 cell" if number == 1 else f"{number} cells"


class _Cells:
    """The cells of each row; what is wrong with a line is said where its row ends."""

    def __init__(self, path: Path, encoding: str, delimiter: str) -> None:
        self._path, self._encoding, self._delimiter = path, encoding, delimiter
        self._problem: UserError | None = None

    def rows(self) -> Iterator[tuple[int, list[str] | UserError]]:
        """(line the row begins at, its cells); empty lines between rows are skipped."""
        csv.field_size_limit(LARGEST_CELL)
        reader = csv.reader(self._lines(), delimiter=self._delimiter, strict=True)
        while True:
            begins = reader.line_num + 1
            try:
                cells = next(reader)
            except StopIteration:
                return
            except csv.Error as error:
                yield begins, self._problem or UserError(f"{self._path}:{begins}: not valid CSV ({_plainly(error, reader.line_num)}).")
                self._problem = None
                continue
            if self._problem:
                yield begins, self._problem
                self._problem = None
            elif cells:
                yield begins, cells

    def _lines(self) -> Iterator[str]:
        for line, problem in text_lines(self._path, self._encoding):
            self._problem = self._problem or problem
            yield line


def _plainly(error: csv.Error, line: int) -> str:
    words = str(error)
    if "unexpected end of data" in words or "field limit" in words:
        return "a quotation mark that opens a cell is never closed"
    if "new-line character" in words:
        return f"a bare carriage return in line {line}; lines have to end in LF or CRLF"
    return f"{words}, in line {line}; a quotation mark inside a quoted cell is written twice"
