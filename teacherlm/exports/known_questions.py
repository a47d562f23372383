"""Prepared questions, found by their id or by what a teacher read; on disk, so that memory does not grow with them."""

import sqlite3
from collections.abc import Iterator
from pathlib import Path

import orjson

from teacherlm.errors import UserError
from teacherlm.exports.files import Row, read_rows
from teacherlm.exports.rationales import question_of
from teacherlm.prompts import TEXT_COLUMN, TEXTS
from teacherlm.records import OUR_COLUMNS
from teacherlm.store.scratch import number_of
from teacherlm.store.sources import require

SOURCE_NAMES = ("question", "instruction", "problem")
"""Columns of a source that often hold the bare question."""


class KnownQuestions:
    def __init__(self, path: Path, database: sqlite3.Connection) -> None:
        """Reads them all. Raises: UserError for rows that `prepare` did not write."""
        self._path, self._database = path, database
        database.execute("CREATE TABLE questions (number INTEGER PRIMARY KEY, row BLOB)")
        database.execute("CREATE TABLE names (key INTEGER, number INTEGER, PRIMARY KEY (key, number)) WITHOUT ROWID")
        for number, (where, row) in enumerate(read_rows(path)):
            for name in (*TEXTS, *OUR_COLUMNS):
                require(row, name, where)
            database.execute("INSERT INTO questions VALUES (?, ?)", (number, orjson.dumps(row)))
            for key in {_id_key(str(row["id"])), *map(_text_key, _wordings(row, where))}:
                database.execute("INSERT OR IGNORE INTO names VALUES (?, ?)", (key, number))

    def find(self, identity: str, text: str, where: str) -> Row:
        """By its id where one is given, else by its text. Raises: UserError when it is none of them, or one of several."""
        found = self._rows(_id_key(identity) if identity else _text_key(text))
        if not found:
            sought = f"id '{identity}'" if identity else f"'{_squeezed(text)[:60]}'"
            raise UserError(
                f"{where}: {sought} is none of the questions in {self._path}; say where to look: --id-column, --question-column."
            )
        if len({(row["prompt"], row["answer"]) for row in found}) > 1:
            ids = ", ".join(str(row["id"]) for row in found[:3])
            raise UserError(
                f"{where}: several questions in {self._path} have this text ({ids}); name the column of its id with --id-column."
            )
        return found[0]

    def _rows(self, key: int) -> list[Row]:
        query = "SELECT row FROM names JOIN questions USING (number) WHERE key = ? ORDER BY number"
        return [orjson.loads(body) for (body,) in self._database.execute(query, (key,))]


def _id_key(identity: str) -> int:
    return number_of(f"id {identity}")


def _text_key(text: str) -> int:
    return number_of(f"text {_squeezed(text)}")


def _squeezed(text: str) -> str:
    return " ".join(text.split())


def _wordings(row: Row, where: str) -> Iterator[str]:
    """What a teacher may have been given: the prompt, the question with or without its choices, the source's own words."""
    question = question_of(row, where)
    yield from (row["prompt"], question, *(str(row[name]) for name in TEXT_COLUMN.values()))
    if row["choices"]:
        yield question.rpartition("(A)")[0]
    yield from (row[name] for name in SOURCE_NAMES if isinstance(row.get(name), str))
