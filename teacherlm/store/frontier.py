"""How far from its start a source is answered without a gap, so that a restart need not look at a million finished rows again.

Only a hint for where to begin asking: whoever writes the rows still finds out for itself whether an answer is missing.
"""

import time
from collections.abc import Iterator
from dataclasses import asdict, dataclass
from pathlib import Path

from teacherlm.store.files import read_json, write_json

EVERY_SECONDS = 2.0


@dataclass(frozen=True)
class Place:
    """A point between two rows of a .jsonl file."""

    rows: int = 0
    """Rows before it, blank lines not counted."""
    line: int = 0
    """Number of the line that ends there."""
    offset: int = 0
    """Bytes before it."""


class Frontier:
    """Rows are opened in their order and closed in any; everything before `place` is closed."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self.place = Place(**read_json(path)) if path.is_file() else Place()
        self._open: dict[int, Place] = {}
        """Row -> where it ends; in the order of the rows."""
        self._closed: set[int] = set()
        self._saved = time.monotonic()

    def open(self, row: int, end: Place) -> None:
        self._open[row] = end

    def close(self, row: int) -> None:
        self._closed.add(row)
        for first in self._leading():
            self.place = self._open.pop(first)
            self._closed.remove(first)
        if time.monotonic() - self._saved > EVERY_SECONDS:
            self.save()

    def save(self) -> None:
        write_json(self.path, asdict(self.place))
        self._saved = time.monotonic()

    def _leading(self) -> Iterator[int]:
        while self._open and (first := next(iter(self._open))) in self._closed:
            yield first
