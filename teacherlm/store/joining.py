"""Several .jsonl files joined row by row by (id, completion_index): one is streamed, the others are looked up on disk."""

import sqlite3
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import orjson

from teacherlm.errors import UserError
from teacherlm.store.files import read_jsonl
from teacherlm.store.scratch import Counts, number_of, scratch_database
from teacherlm.store.sources import require

Row = dict[str, Any]


@dataclass(frozen=True)
class Joined:
    """The rows of one key: by file, in the order the files were given; None where a file has none."""

    rows: tuple[Row | None, ...]
    places: tuple[str, ...]
    """`file:line` of each row, the file alone where there is none."""


def join(paths: list[Path]) -> Iterator[Joined]:
    """Every key of every file once: those of the first file in its order, then those it lacks.

    Raises: UserError naming both lines when a file has the same key twice.
    """
    with scratch_database() as database:
        for number in range(len(paths)):
            database.execute(f"CREATE TABLE rows{number} (key INTEGER PRIMARY KEY, line INTEGER, start INTEGER, taken INTEGER)")
        for number, path in enumerate(paths[1:], start=1):
            for line, row, start in _read_with_offsets(path):
                _claim(database, number, path, line, row, start)
        files = {number: path.open("rb") for number, path in enumerate(paths[1:], start=1)}
        try:
            for line, row in read_jsonl(paths[0]):
                _claim(database, 0, paths[0], line, row, 0)
                found: list[tuple[Row | None, str]] = [(row, f"{paths[0]}:{line}")]
                found += [_look_up(database, n, paths[n], file, key_of(row, f"{paths[0]}:{line}")) for n, file in files.items()]
                yield Joined(tuple(r for r, _ in found), tuple(p for _, p in found))
            for number in files:
                yield from _left_over(database, number, paths, files)
        finally:
            for file in files.values():
                file.close()


def key_of(row: Row, where: str) -> str:
    return f"{require(row, 'id', where)}\0{row.get('completion_index', 0)}"


def _read_with_offsets(path: Path) -> Iterator[tuple[int, Row, int]]:
    """(line number, row, byte offset of its line)."""
    offsets = _offsets(path)
    for line, row in read_jsonl(path):
        number, start = next(offsets)
        while number < line:
            number, start = next(offsets)
        yield line, row, start


def _offsets(path: Path) -> Iterator[tuple[int, int]]:
    start = 0
    with path.open("rb") as file:
        for number, line in enumerate(file, start=1):
            yield number, start
            start += len(line)


def _claim(database: sqlite3.Connection, number: int, path: Path, line: int, row: Row, start: int) -> None:
    key = number_of(key_of(row, f"{path}:{line}"))
    if database.execute(f"INSERT OR IGNORE INTO rows{number} VALUES (?, ?, ?, 0)", (key, line, start)).rowcount == 1:
        return
    (earlier,) = database.execute(f"SELECT line FROM rows{number} WHERE key = ?", (key,)).fetchone()
    index = row.get("completion_index", 0)
    raise UserError(f"{path}:{line}: id {row['id']!r} with completion_index {index} stands in line {earlier} already.")


def _look_up(database: sqlite3.Connection, number: int, path: Path, file: Any, key: str) -> tuple[Row | None, str]:
    found = database.execute(f"SELECT line, start FROM rows{number} WHERE key = ?", (number_of(key),)).fetchone()
    if found is None:
        return None, str(path)
    database.execute(f"UPDATE rows{number} SET taken = 1 WHERE key = ?", (number_of(key),))
    return _read_at(file, found[1]), f"{path}:{found[0]}"


def _read_at(file: Any, start: int) -> Row:
    file.seek(start)
    row: Row = orjson.loads(file.readline())
    return row


def _left_over(database: sqlite3.Connection, number: int, paths: list[Path], files: dict[int, Any]) -> Iterator[Joined]:
    """Rows of a file whose key no earlier file has, in its order."""
    query = f"SELECT line, start FROM rows{number} WHERE taken = 0 ORDER BY start"
    for line, start in database.execute(query):
        row = _read_at(files[number], start)
        key = key_of(row, f"{paths[number]}:{line}")
        found: list[tuple[Row | None, str]] = [(None, str(path)) for path in paths[:number]]
        found.append((row, f"{paths[number]}:{line}"))
        found += [_look_up(database, later, paths[later], files[later], key) for later in range(number + 1, len(paths))]
        yield Joined(tuple(r for r, _ in found), tuple(p for _, p in found))


@dataclass(frozen=True)
class Stacked:
    """A key's rows in one of several groups of files; `completion_index` is unique for its question over all groups."""

    group: int
    joined: Joined
    completion_index: int


def stack(groups: Sequence[list[Path]]) -> Iterator[Stacked]:
    """The joined rows of each group, one group after the other; with several groups, a question's rows are numbered as they come.

    Raises: UserError for an id that has another prompt in another group.
    """
    with scratch_database() as database:
        indices = Counts(database, "indices")
        database.execute("CREATE TABLE prompts (key INTEGER PRIMARY KEY, prompt INTEGER)")
        for number, paths in enumerate(groups):
            for joined in join(paths):
                row, place = next((row, place) for row, place in zip(joined.rows, joined.places, strict=True) if row is not None)
                index = int(row.get("completion_index", 0))
                if len(groups) > 1:
                    _same_prompt(database, row, place)
                    index = indices.next(str(row["id"]))
                yield Stacked(number, joined, index)


def _same_prompt(database: sqlite3.Connection, row: Row, place: str) -> None:
    key, prompt = number_of(str(row["id"])), number_of(str(require(row, "prompt", place)))
    database.execute("INSERT OR IGNORE INTO prompts VALUES (?, ?)", (key, prompt))
    (first,) = database.execute("SELECT prompt FROM prompts WHERE key = ?", (key,)).fetchone()
    if first != prompt:
        raise UserError(f"{place}: id {row['id']!r} has another prompt than in another input; the inputs hold different questions.")
