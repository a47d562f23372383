"""Lookup tables too large for memory: a temporary SQLite file without a name, which vanishes with the process."""

import hashlib
import sqlite3
from collections.abc import Iterator
from contextlib import contextmanager

CACHE_KIB = 4096


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


class Occurrences:
    """Makes names unique: the second `x` becomes `x-2`."""

    def __init__(self, database: sqlite3.Connection) -> None:
        self._counts = Counts(database, "names")

    def unique(self, name: str) -> str:
        """`name`, or `name-<n>` with the smallest n not given out yet."""
        given = name
        while not self._counts.is_first(given):
            given = f"{name}-{self._counts.next(name) + 1}"
        return given
