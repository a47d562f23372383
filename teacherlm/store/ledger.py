"""The ledger of completions: everything an engine has written, on disk at once, found by key. A restart asks only for the rest.

Append-only segments, one per process and never reopened, so that processes side by side cannot disturb each other.
The key stands first in its line: the index is made by slicing, without parsing a line.
"""

import os
import time
import uuid
from collections.abc import Iterable, Iterator
from pathlib import Path
from types import TracebackType
from typing import BinaryIO

import orjson

from teacherlm.errors import UserError
from teacherlm.records import Completion

OPENING = b'{"key":"'
KEY = slice(len(OPENING), len(OPENING) + 32)
ENDING = b"}\n"
OFFSET_BITS = 48
SYNC_SECONDS = 1.0


class Ledger:
    """Key -> completion, over all segments of a folder, plus the one this process writes.

    A line without its end belongs to a process that was killed (or is still writing) and does not count.
    """

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        folder.mkdir(parents=True, exist_ok=True)
        self._at: dict[bytes, int] = {}
        """Key -> number of the segment and offset in it, in one integer: 3 M of them have to fit into memory."""
        self._segments: list[BinaryIO] = []
        self._own: BinaryIO | None = None
        self._own_number = -1
        self._end = 0
        self._synced = time.monotonic()
        for path in sorted(folder.glob("*.jsonl")):
            self._read(path)

    def __enter__(self) -> "Ledger":
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        self.close()

    def __contains__(self, key: str) -> bool:
        return key.encode() in self._at

    def __len__(self) -> int:
        return len(self._at)

    def __getitem__(self, key: str) -> Completion:
        """Raises: KeyError when it is not there; UserError when its line is damaged."""
        place = self._at[key.encode()]
        file = self._segments[place >> OFFSET_BITS]
        file.seek(place & ((1 << OFFSET_BITS) - 1))
        line = file.readline()
        try:
            return Completion(**orjson.loads(line))
        except (orjson.JSONDecodeError, TypeError):
            raise UserError(f"{file.name}: the line of {key} is damaged; delete that line, its request is then made again.") from None

    def append(self, completions: Iterable[Completion]) -> None:
        """Written when this returns (a killed process loses nothing), on the disk itself within a second or two."""
        own = self._own or self._open_own()
        lines = [(one.key.encode(), orjson.dumps(one, option=orjson.OPT_APPEND_NEWLINE)) for one in completions]
        own.write(b"".join(line for _, line in lines))
        own.flush()
        for key, line in lines:
            self._at[key] = self._own_number << OFFSET_BITS | self._end
            self._end += len(line)
        if time.monotonic() - self._synced > SYNC_SECONDS:
            self._sync()

    def close(self) -> None:
        if self._own is not None:
            self._sync()
            self._own.close()
            self._own = None
        for file in self._segments:
            file.close()
        self._segments = []

    def _read(self, path: Path) -> None:
        file = path.open("rb")
        number = len(self._segments) << OFFSET_BITS
        self._segments.append(file)
        for offset, line in _whole_lines(file):
            self._at.setdefault(line[KEY], number | offset)  # the first answer counts, in every process and at every restart

    def _open_own(self) -> BinaryIO:
        """Its name sorts by time and is nobody else's."""
        path = self.folder / f"{time.time_ns():020d}-{uuid.uuid4().hex[:12]}.jsonl"
        self._own = path.open("xb")
        self._own_number = len(self._segments)
        self._segments.append(path.open("rb"))
        return self._own

    def _sync(self) -> None:
        assert self._own is not None
        os.fdatasync(self._own.fileno()) if hasattr(os, "fdatasync") else os.fsync(self._own.fileno())
        self._synced = time.monotonic()


def _whole_lines(file: BinaryIO) -> Iterator[tuple[int, bytes]]:
    """(offset, line) of what has the shape of a completion; a torn or zeroed piece has not."""
    offset = 0
    for line in file:
        if line.startswith(OPENING) and line.endswith(ENDING):
            yield offset, line
        offset += len(line)
