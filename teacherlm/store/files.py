"""Files that other stages read: found, read line by line with their place, written beside and renamed."""

import errno
import os
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, BinaryIO

import orjson

from teacherlm.errors import UserError

DROPPED, REJECTED = "dropped.jsonl", "rejected.jsonl"
"""What a stage writes beside its rows: questions without an answer, rows that a gate dropped, each with the reason."""


def work_folder(output: Path) -> Path:
    """Where an output's manifest and ledger lie: the folder itself, or `X.jsonl.work/` beside a file `X.jsonl`."""
    return output.with_name(output.name + ".work") if output.suffix == ".jsonl" else output


def shard_place(output: Path, shard: str) -> Path:
    """Folder for the manifest of shard "3/16" of an output."""
    index, _, count = shard.partition("/")
    return work_folder(output) / "shards" / f"{index}-of-{count}"


@contextmanager
def writing(path: Path) -> Iterator[BinaryIO]:
    """Write to a temporary neighbour, sync, rename: a killed process never leaves half a file under the real name."""
    path.parent.mkdir(parents=True, exist_ok=True)
    beside = path.with_name(f".{path.name}.{os.getpid()}.part")
    try:
        with disk_may_be_full(path), beside.open("wb") as file:
            yield file
            file.flush()
            os.fsync(file.fileno())
        beside.replace(path)
    finally:
        beside.unlink(missing_ok=True)


@contextmanager
def disk_may_be_full(place: Path) -> Iterator[None]:
    """Raises: UserError when something inside finds no space left on the disk (or a quota used up)."""
    try:
        yield
    except OSError as error:
        if error.errno not in (errno.ENOSPC, errno.EDQUOT):
            raise
        raise UserError(f"{place}: no space left on the disk; what was written before is kept, make room and run the same again.") from None


def is_rows(path: Path) -> bool:
    """A .jsonl of the user's own rows or a stage's; not hidden, and not of rows that were dropped."""
    return path.suffix == ".jsonl" and path.name not in (DROPPED, REJECTED) and not path.name.startswith(".") and path.is_file()


def only_jsonl(path: Path, what: str, advice: str = "") -> Path:
    """The file itself, or the one .jsonl of rows in a folder. Raises: UserError with the advice unless there is exactly one."""
    if path.is_file():
        return path
    found = sorted(filter(is_rows, path.glob("*.jsonl")))
    if len(found) != 1:
        names = ", ".join(file.name for file in found) or "none"
        raise UserError(f"{path}: expected one .jsonl of {what}, found {names}{advice}.")
    return found[0]


def write_jsonl(path: Path, rows: Iterable[Any]) -> int:
    """Writes one JSON object a line; returns how many."""
    count = 0
    with writing(path) as file:
        for row in rows:
            file.write(orjson.dumps(row, option=orjson.OPT_APPEND_NEWLINE | orjson.OPT_SERIALIZE_NUMPY))
            count += 1
    return count


def write_json(path: Path, value: Any) -> None:
    with writing(path) as file:
        file.write(orjson.dumps(value, option=orjson.OPT_INDENT_2 | orjson.OPT_APPEND_NEWLINE | orjson.OPT_SERIALIZE_NUMPY))


def read_json(path: Path) -> Any:
    """Raises: UserError naming the file when it is missing or not JSON."""
    try:
        return orjson.loads(path.read_bytes())
    except FileNotFoundError:
        raise UserError(f"{path}: no such file.") from None
    except orjson.JSONDecodeError as error:
        raise UserError(f"{path}: not valid JSON ({error}).") from None


def read_jsonl(path: Path) -> Iterator[tuple[int, dict[str, Any]]]:
    """(line number from 1, row); blank lines are skipped. Streams: memory does not grow with the file.

    Raises: UserError naming file and line for a line that is not a JSON object, and for a file without any row.
    """
    empty = True
    for number, _, row in read_jsonl_from(path):
        empty = False
        yield number, row
    if empty:
        raise UserError(f"{path}: the file has no rows.")


def read_jsonl_from(path: Path, offset: int = 0, number: int = 0) -> Iterator[tuple[int, int, dict[str, Any]]]:
    """(line number, byte offset behind the line, row), beginning at `offset`, before which `number` lines stand."""
    if not path.is_file():
        raise UserError(f"{path}: no such file.")
    with path.open("rb") as file:
        file.seek(offset)
        for at, line in enumerate(file, start=number + 1):
            offset += len(line)
            if not line.strip():
                continue
            try:
                row = orjson.loads(line)
            except orjson.JSONDecodeError as error:
                raise UserError(f"{path}:{at}: not valid JSON ({error}).") from None
            if not isinstance(row, dict):
                raise UserError(f"{path}:{at}: expected a JSON object, found {type(row).__name__}.")
            yield at, offset, row


def count_lines(path: Path) -> int:
    """Lines of a file, the last one too when nothing ends it."""
    lines, last = 0, b"\n"
    with path.open("rb") as file:
        while block := file.read(1 << 22):
            lines, last = lines + block.count(b"\n"), block[-1:]
    return lines + (last != b"\n")
