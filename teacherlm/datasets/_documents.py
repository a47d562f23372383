"""Files that are one JSON object: rows under their index, or lists of rows under the names of their splits."""

import io
import json
from collections.abc import Iterator, Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any, TextIO

from teacherlm.errors import UserError
from teacherlm.store.readers_json import read_document
from teacherlm.store.readers_text import Found, encoding_of, opened
from teacherlm.store.sources import USUAL_SPLITS, Origin, Table

SPLITS = {**USUAL_SPLITS, "eval": "validation"}
SPACE = " \t\r\n"
CHUNK = 1 << 20
DECODER = json.JSONDecoder()


def indexed(origin: Origin, column: str) -> Table | None:
    """`{"0": {row}, "1": {row}}` as a table, read bit by bit; None for anything else. `column` is one that every row has."""
    path = Path(origin.place)
    if not _is_json(path) or not any(_is_row(value, column) for _, value in _members(path, origin.encoding)):
        return None

    def rows() -> Found:
        for key, row in _members(path, origin.encoding):
            where = f"{path}: row '{key}'"
            yield where, row if isinstance(row, dict) else _no_object(where, row)

    return Table(str(path), rows)


def by_split(origin: Origin, column: str, data_name: str = "") -> dict[str, Table]:
    """Of `{"train": [row, ...], "eval": [row, ...]}`, whose lists are held in memory, or of any other source. `eval` is `validation`.

    `data_name`: of a folder, `{data_name}.json`.
    Raises: UserError where that is not there, and for a folder with several such files of which none is named.
    """
    place = _named(origin, data_name) if data_name else origin
    folder = Path(place.place)
    files = sorted(folder.iterdir()) if folder.is_dir() else [folder]
    documents = [file for file in files if _is_json(file) and _is_by_split(file, place.encoding, column)]
    if len(documents) > 1:
        raise UserError(f"{folder}: {', '.join(file.name for file in documents)}: each holds splits; say which with data_name.")
    return _splits(documents[0], place.encoding) if documents else place.tables()


def _splits(path: Path, encoding: str) -> dict[str, Table]:
    document: Mapping[str, Any] = read_document(path, encoding)
    found = {name: rows for name, rows in document.items() if isinstance(rows, list) and any(isinstance(row, dict) for row in rows)}
    return {SPLITS.get(name, name): _list_table(path, name, rows) for name, rows in found.items()}


def _is_by_split(path: Path, encoding: str, column: str) -> bool:
    return any(isinstance(value, list) and any(_is_row(row, column) for row in value) for _, value in _members(path, encoding))


def _named(origin: Origin, data_name: str) -> Origin:
    files = [Path(origin.place) / f"{data_name}.json{packed}" for packed in ("", ".gz")]
    there = next((file for file in files if file.is_file()), None)
    if there is None:
        raise UserError(f"{files[0]}: no such file (data_name is {data_name!r}).")
    return replace(origin, place=str(there))


def _is_json(path: Path) -> bool:
    return path.is_file() and path.name.lower().endswith((".json", ".json.gz"))


def _is_row(value: Any, column: str) -> bool:
    return isinstance(value, dict) and column in value


def _list_table(path: Path, name: str, rows: list[Any]) -> Table:
    def found() -> Found:
        for number, row in enumerate(rows, start=1):
            where = f"{path}: {name} item {number}"
            yield where, row if isinstance(row, dict) else _no_object(where, row)

    return Table(f"{path}: {name}", found)


def _no_object(where: str, value: Any) -> UserError:
    return UserError(f"{where}: expected a JSON object, found {type(value).__name__}.")


def _members(path: Path, encoding: str) -> Iterator[tuple[str, Any]]:
    """(key, value) of the first JSON object in the file, streamed; nothing where something else stands there.

    Raises: UserError where the object is broken or cut short.
    """
    try:
        with opened(path) as file:
            text = _Text(io.TextIOWrapper(file, encoding_of(path, encoding)))
            if text.sign() != "{":
                return
            text.skip()
            while text.sign() != "}":
                key = text.value()
                text.expect(":")
                yield str(key), text.value()
                if text.sign() != "}":
                    text.expect(",")
    except json.JSONDecodeError as error:
        behind = error.doc[error.pos : error.pos + 30]
        raise UserError(f"{path}: not valid JSON ({error.msg}, found {behind!r})." if behind else f"{path}: is cut short.") from None
    except UnicodeDecodeError as error:
        raise UserError(f"{path}: is not {error.encoding} ({error.reason}); say its `encoding`.") from None


class _Text:
    """What of a file is not parsed yet."""

    def __init__(self, file: TextIO) -> None:
        self.file = file
        self.buffer = ""
        self.at = 0

    def sign(self) -> str:
        """The next character that is no blank; "" at the end."""
        while True:
            while self.at < len(self.buffer) and self.buffer[self.at] in SPACE:
                self.at += 1
            if self.at < len(self.buffer):
                return self.buffer[self.at]
            if not self._more():
                return ""

    def skip(self) -> None:
        self.at += 1

    def expect(self, sign: str) -> None:
        if self.sign() != sign:
            raise json.JSONDecodeError(f"expected '{sign}'", self.buffer, self.at)
        self.skip()

    def value(self) -> Any:
        """The next JSON value; one that ends where the text read so far ends may go on, and is read again with more."""
        self.sign()
        while True:
            try:
                value, end = DECODER.raw_decode(self.buffer, self.at)
            except json.JSONDecodeError:
                if not self._more():
                    raise
                continue
            if end == len(self.buffer) and self._more():
                continue
            self.at = end
            return value

    def _more(self) -> bool:
        """Doubles what is held, so that a long value is not parsed too often."""
        read = self.file.read(max(CHUNK, len(self.buffer) - self.at))
        self.buffer, self.at = self.buffer[self.at :] + read, 0
        return bool(read)
