"""Rows of a file of JSON lines, or of one JSON list."""

from itertools import chain
from pathlib import Path
from typing import Any

import orjson

from teacherlm.errors import UserError
from teacherlm.store.readers_text import BrokenRow, Found, encoding_of, opened, text_lines, undecodable


def json_rows(path: Path, encoding: str = "utf-8") -> Found:
    """Rows of JSON lines, streamed, or of one JSON list, which is held in memory.

    Raises: UserError for a file without rows, and for a list that is not JSON.
    """
    found = encoding_of(path, encoding)
    return _list_rows(path, found) if _is_list(path, found) else _line_rows(path, found)


def read_document(path: Path, encoding: str = "utf-8") -> Any:
    """The one JSON value of a file, gzip'd or not.

    Raises: UserError naming the file when it is missing, not JSON, or not in the encoding.
    """
    found = encoding_of(path, encoding)
    with opened(path) as file:
        content = file.read()
    try:
        return orjson.loads(content if found == "utf-8" else content.decode(found))
    except UnicodeDecodeError as error:
        raise _undecodable_in(path, content, error, found) from None
    except orjson.JSONDecodeError as error:
        if found == "utf-8" and (broken := _not_utf8(content)):
            raise _undecodable_in(path, content, broken, found) from None
        raise UserError(f"{path}:{error.lineno}: not valid JSON ({error}).") from None


def _list_rows(path: Path, encoding: str) -> Found:
    rows = read_document(path, encoding)
    if not rows:
        raise UserError(f"{path}: the file has no rows.")
    for number, row in enumerate(rows, start=1):
        where = f"{path}: item {number}"
        yield where, row if type(row) is dict else _no_object(where, row)


def _line_rows(path: Path, encoding: str) -> Found:
    rows = _utf8_rows(path) if encoding == "utf-8" else _other_rows(path, encoding)
    first = next(rows, None)
    if first is None:
        raise UserError(f"{path}: the file has no rows.")
    return chain((first,), rows)


def _utf8_rows(path: Path) -> Found:
    loads, place = orjson.loads, f"{path}:"
    with opened(path) as file:
        for number, line in enumerate(file, start=1):
            try:
                row = loads(line)
            except orjson.JSONDecodeError as error:
                if not line.strip():
                    continue
                where, broken = f"{place}{number}", _not_utf8(line)
                yield where, undecodable(where, broken) if broken else _not_json(where, line, error)
                continue
            where = f"{place}{number}"
            yield where, row if type(row) is dict else _no_object(where, row)


def _other_rows(path: Path, encoding: str) -> Found:
    for number, (line, problem) in enumerate(text_lines(path, encoding), start=1):
        if not line.strip():
            continue
        where = f"{path}:{number}"
        if problem:
            yield where, problem
            continue
        try:
            row = orjson.loads(line)
        except orjson.JSONDecodeError as error:
            yield where, _not_json(where, line.encode("utf-8", "replace"), error)
        else:
            yield where, row if type(row) is dict else _no_object(where, row)


def _not_json(where: str, line: bytes, error: orjson.JSONDecodeError) -> BrokenRow:
    advice = "; expected one whole JSON object a line, or one JSON list" if line.strip() in (b"{", b"}", b"},") else ""
    found = {"line": line.decode("utf-8", "replace").rstrip("\r\n")}
    return BrokenRow(f"{where}: not valid JSON ({error.msg} at column {error.colno}){advice}.", found)


def _no_object(where: str, value: Any) -> BrokenRow:
    return BrokenRow(f"{where}: expected a JSON object, found {type(value).__name__}.", {"value": value})


def _not_utf8(content: bytes) -> UnicodeDecodeError | None:
    try:
        content.decode("utf-8")
    except UnicodeDecodeError as error:
        return error
    return None


def _undecodable_in(path: Path, content: bytes, error: UnicodeDecodeError, encoding: str) -> UserError:
    """The line and the column in it, of a file that was decoded as a whole."""
    line_start = content.rfind(b"\n", 0, error.start) + 1
    start, end = error.start - line_start, error.end - line_start
    inside = UnicodeDecodeError(error.encoding, content[line_start : error.end], start, end, error.reason)
    line = content.count(b"\n", 0, error.start) + 1
    return undecodable(f"{path}:{line}", inside, encoding)


def _is_list(path: Path, encoding: str) -> bool:
    for line, _ in text_lines(path, encoding):
        if line.strip():
            return line.lstrip().startswith("[")
    return False
