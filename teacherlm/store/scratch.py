"""Lookup tables of very many keys: a temporary SQLite file without a name, which vanishes with the process; sorted arrays of hashes."""

import gc
import hashlib
import sqlite3
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Any

CACHE_KIB = 4096
COLLECT_AFTER = 100_000


@contextmanager
def scratch_database() -> Iterator[sqlite3.Connection]:
    """An empty database in the system's folder for temporary files; holds at most a few MB of memory."""
    connection = sqlite3.connect("", isolation_level=None)
    try:
        connection.execute(f"PRAGMA cache_size=-{CACHE_KIB}")
        connection.execute("PRAGMA journal_mode=OFF")
        connection.execute("PRAGMA synchronous=OFF")
        connection.execute("BEGIN")
        yield connection
    finally:
        connection.close()


@contextmanager
def few_collections() -> Iterator[None]:
    """Rows hold no cycles: looking for some after every few hundred objects is a tenth of the work on a million rows."""
    before = gc.get_threshold()
    gc.set_threshold(COLLECT_AFTER, *before[1:])
    try:
        yield
    finally:
        gc.set_threshold(*before)


def number_of(key: str) -> int:
    """63 bits that stand for a key: SQLite looks whole numbers up fastest."""
    return int.from_bytes(hashlib.blake2b(key.encode(), digest_size=8).digest(), "big") >> 1


class Counts:
    """How often a key came, on disk."""

    def __init__(self, database: sqlite3.Connection, name: str) -> None:
        self._database, self._name = database, name
        database.execute(f"CREATE TABLE {name} (key INTEGER PRIMARY KEY, count INTEGER)")

    def is_first(self, key: str) -> bool:
        """Counts a key that never came; leaves any other as it is."""
        return self._database.execute(f"INSERT OR IGNORE INTO {self._name} VALUES (?, 1)", (number_of(key),)).rowcount == 1

    def next(self, key: str) -> int:
        """0 the first time, then 1, ..."""
        if self.is_first(key):
            return 0
        place = number_of(key)
        (count,) = self._database.execute(f"SELECT count FROM {self._name} WHERE key = ?", (place,)).fetchone()
        self._database.execute(f"UPDATE {self._name} SET count = ? WHERE key = ?", (count + 1, place))
        return int(count)


class Seen:
    """Which numbers (hashes of keys) came before: eight bytes each, in sorted arrays each of which is longer than all behind it."""

    def __init__(self) -> None:
        self._runs: list[Any] = []

    def add(self, numbers: Any) -> None:
        """`numbers`: an array, all different, none of which came before."""
        import numpy as np

        added = np.sort(numbers)
        while self._runs and len(self._runs[-1]) <= 2 * len(added):
            added = np.sort(np.concatenate((self._runs.pop(), added)), kind="stable")  # stable: two sorted parts are merged
        self._runs.append(added)

    def holds(self, numbers: Any) -> Any:
        """Whether each of them came before, as an array."""
        import numpy as np

        found = np.zeros(len(numbers), dtype=bool)
        for run in self._runs:
            places = np.minimum(np.searchsorted(run, numbers), len(run) - 1)
            found |= run[places] == numbers
        return found


class Occurrences:
    """Makes names unique: the second `x` becomes `x-2`."""

    def __init__(self, database: sqlite3.Connection) -> None:
        self._seen = Seen()
        self._repeats = Counts(database, "repeats")

    def unique(self, names: Sequence[str]) -> list[str]:
        """For each, one after the other, its own name, or `name-<n>` with the smallest n not given out yet."""
        import numpy as np

        numbers = np.fromiter(map(hash, names), np.int64, len(names))
        in_order = np.sort(numbers)  # neighbours are found in the same part of a long array, which is in the cache by then
        if (in_order[1:] == in_order[:-1]).any() or self._seen.holds(in_order).any():
            return self._one_by_one(names, numbers.tolist(), self._seen.holds(numbers).tolist())
        self._seen.add(in_order)
        return list(names)

    def _one_by_one(self, names: Sequence[str], numbers: Sequence[int], known: Sequence[bool]) -> list[str]:
        import numpy as np

        given, new = [], set[int]()
        for name, number, came_before in zip(names, numbers, known, strict=True):
            found = name
            while came_before or number in new:
                found = f"{name}-{self._repeats.next(name) + 2}"
                number = hash(found)
                came_before = bool(self._seen.holds(np.array([number]))[0])
            new.add(number)
            given.append(found)
        self._seen.add(np.fromiter(new, np.int64, len(new)))
        return given
