"""Who is asking what, among processes that share a ledger: a request taken by a living process is left to it.

Each process writes the keys it takes into a file of its own and holds a lock on that file as long as it lives; the kernel lets go of
the lock when the process is gone, however it ended. What a dead process had taken is free again.
"""

import fcntl
import json
import os
import socket
import time
import uuid
from collections.abc import Collection, Iterable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import BinaryIO

FOLDER = "claims"
TURN = "turn.lock"
KEY_BYTES = 32


@dataclass(eq=False)
class _Other:
    """Another process' file, as far as it was read."""

    file: BinaryIO
    who: str
    keys: set[str] = field(default_factory=set)


class Claims:
    def __init__(self, folder: Path) -> None:
        self.folder = folder / FOLDER
        self._own: BinaryIO | None = None
        self._own_path: Path | None = None
        self._others: dict[Path, _Other] = {}

    @contextmanager
    def turn(self) -> Iterator[None]:
        """Inside, no other process takes anything."""
        self.folder.mkdir(parents=True, exist_ok=True)
        with (self.folder / TURN).open("ab") as lock:
            fcntl.flock(lock, fcntl.LOCK_EX)
            yield

    def taken(self, keys: Collection[str]) -> dict[str, str]:
        """Key -> who has it, of those keys that another living process has. Only inside a turn."""
        self._look_around()
        return {key: other.who for other in self._others.values() for key in keys if key in other.keys}

    def take(self, keys: Iterable[str]) -> None:
        """Only inside a turn."""
        own = self._own or self._open_own()
        own.write("".join(f"{key}\n" for key in keys).encode())

    def close(self) -> None:
        if self._own is not None and self._own_path is not None:
            self._own_path.unlink(missing_ok=True)
            self._own.close()
            self._own = None
        for other in self._others.values():
            other.file.close()
        self._others = {}

    def _look_around(self) -> None:
        """Meets new processes, reads on what the known ones have taken, forgets the dead."""
        for path in self.folder.glob("*.claims"):
            if path != self._own_path and path not in self._others:
                self._meet(path)
        for path, other in list(self._others.items()):
            if _lives(other.file):
                other.keys.update(_whole_keys(other.file))
            else:
                other.file.close()
                path.unlink(missing_ok=True)
                del self._others[path]

    def _open_own(self) -> BinaryIO:
        path = self.folder / f"{time.time_ns():020d}-{uuid.uuid4().hex[:12]}.claims"
        own = path.open("xb", buffering=0)
        fcntl.flock(own, fcntl.LOCK_EX)
        own.write(json.dumps({"host": socket.gethostname(), "pid": os.getpid()}).encode() + b"\n")
        self._own, self._own_path = own, path
        return own

    def _meet(self, path: Path) -> None:
        with suppress(FileNotFoundError):  # it has just ended
            file = path.open("rb")
            about = json.loads(file.readline() or b"{}")
            self._others[path] = _Other(file, f"process {about.get('pid')} on {about.get('host')}")


def _lives(file: BinaryIO) -> bool:
    try:
        fcntl.flock(file, fcntl.LOCK_SH | fcntl.LOCK_NB)
    except BlockingIOError:
        return True
    fcntl.flock(file, fcntl.LOCK_UN)
    return False


def _whole_keys(file: BinaryIO) -> list[str]:
    """What was added since the last look, but for a line that is not complete yet."""
    found = []
    while len(line := file.readline()) == KEY_BYTES + 1:
        found.append(line[:KEY_BYTES].decode())
    file.seek(-len(line), os.SEEK_CUR)
    return found
