"""The ledger of completions: everything an engine has written, on disk at once, found by key. A restart asks only for the rest.

Append-only segments, one per process and never reopened, so that processes side by side cannot disturb each other.
The key stands first in its line: the index is made by slicing, without parsing a line.
"""

import os
import re
import time
import uuid
from collections.abc import Collection, Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import BinaryIO

import orjson

from teacherlm.errors import UserError
from teacherlm.records import NO_ANSWER, Completion
from teacherlm.store.claims import Claims
from teacherlm.store.files import disk_may_be_full

OPENING = b'{"key":"'
KEY = slice(len(OPENING), len(OPENING) + 32)
ENDING = b"}\n"
TO_BE_ASKED_AGAIN = f'"error":"{NO_ANSWER}'.encode()
OFFSET_BITS = 48
SYNC_SECONDS = 1.0
COUNTS = re.compile(rb'"prompt_tokens":(\d+),"tokens":(\d+)')


@dataclass(eq=False)
class _Segment:
    """One process' file: read as far as `end`, which is after a whole line."""

    file: BinaryIO
    end: int = 0


class Ledger:
    """Key -> completion, over all segments of a folder, plus the one this process writes.

    A line without its end belongs to a process that was killed (or is still writing) and does not count.
    """

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        folder.mkdir(parents=True, exist_ok=True)
        self._at: dict[bytes, int] = {}
        """Key -> number of the segment and offset in it, in one integer: 3 M of them have to fit into memory."""
        self._segments: list[_Segment] = []
        self._known: set[str] = set()
        self._own: BinaryIO | None = None
        self._own_number = -1
        self._end = 0
        self._synced = time.monotonic()
        self._claims = Claims(folder)
        self.refresh()

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
        file = self._segments[place >> OFFSET_BITS].file
        file.seek(place & ((1 << OFFSET_BITS) - 1))
        line = file.readline()
        try:
            found = orjson.loads(line)
            return Completion(**{**found, "logprobs": tuple(found.get("logprobs", ()))})
        except (orjson.JSONDecodeError, TypeError):
            raise UserError(f"{file.name}: the line of {key} is damaged; delete that line, its request is then made again.") from None

    def append(self, completions: Iterable[Completion]) -> None:
        """Written when this returns (a killed process loses nothing), on the disk itself within a second or two.

        Raises: UserError when the disk is full; what was appended before is kept whole.
        """
        own = self._own or self._open_own()
        lines = [(one.key.encode(), orjson.dumps(one, option=orjson.OPT_APPEND_NEWLINE)) for one in completions]
        with disk_may_be_full(self.folder):
            self._write(own, b"".join(line for _, line in lines))
        for key, line in lines:
            self._at.setdefault(key, self._own_number << OFFSET_BITS | self._end)
            self._end += len(line)
        if time.monotonic() - self._synced > SYNC_SECONDS:
            self._sync()

    def claim(self, keys: Collection[str]) -> dict[str, str]:
        """Takes those keys that no living process has taken or answered; what another one answered meanwhile is then known here.

        Returns: key -> who has it, of those that are another's.
        """
        with disk_may_be_full(self.folder), self._claims.turn():
            taken = self._claims.taken(keys)
            self.refresh()
            others = {key: who for key, who in taken.items() if key not in self}
            self._claims.take(key for key in keys if key not in others and key not in self)
        return others

    def refresh(self) -> None:
        """Reads what other processes have written since the last look."""
        for path in sorted(self.folder.glob("*.jsonl")):
            if path.name not in self._known:
                self._known.add(path.name)
                self._segments.append(_Segment(path.open("rb")))
        for number, segment in enumerate(self._segments):
            if number != self._own_number and os.fstat(segment.file.fileno()).st_size > segment.end:
                self._read(number, segment)

    def spent(self) -> tuple[int, int]:
        """(prompt tokens, tokens written) of all completions, those of earlier runs included."""
        read, written = 0, 0
        for segment in self._segments:
            segment.file.seek(0)
            for _, line in _whole_lines(segment.file):
                if counts := COUNTS.search(line):
                    read, written = read + int(counts[1]), written + int(counts[2])
        return read, written

    def close(self) -> None:
        if self._own is not None:
            self._sync()
            self._own.close()
            self._own = None
        self._claims.close()
        for segment in self._segments:
            segment.file.close()
        self._segments = []

    def _read(self, number: int, segment: _Segment) -> None:
        start = segment.end
        segment.file.seek(start)
        for offset, line in _whole_lines(segment.file):
            if TO_BE_ASKED_AGAIN not in line:
                # The first answer counts, in every process and at every restart.
                self._at.setdefault(line[KEY], number << OFFSET_BITS | start + offset)
            segment.end = start + offset + len(line)

    def _open_own(self) -> BinaryIO:
        """Its name sorts by time and is nobody else's."""
        path = self.folder / f"{time.time_ns():020d}-{uuid.uuid4().hex[:12]}.jsonl"
        self._own = path.open("xb", buffering=0)
        self._own_number = len(self._segments)
        self._known.add(path.name)
        self._segments.append(_Segment(path.open("rb")))
        return self._own

    def _write(self, own: BinaryIO, data: bytes) -> None:
        """All of it or, on a full disk, none: half a line would hide the one that a later process might put behind it."""
        try:
            while data:
                data = data[own.write(data) :]
        except OSError:
            own.truncate(self._end)
            raise

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
