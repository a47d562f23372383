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


class Occurrences:
    """Makes names unique: the second `x` becomes `x-2`."""

    def __init__(self, database: sqlite3.Connection) -> None:
        self._database = database
        database.execute("CREATE TABLE names (key INTEGER PRIMARY KEY, count INTEGER)")

    def unique(self, name: str) -> str:
        """`name`, or `name-<n>` with the smallest n not given out yet."""
        if self._claim(name):
            return name
        key = number_of(name)
        (count,) = self._database.execute("SELECT count FROM names WHERE key = ?", (key,)).fetchone()
        count += 1
        while not self._claim(f"{name}-{count}"):
            count += 1
        self._database.execute("UPDATE names SET count = ? WHERE key = ?", (count, key))
        return f"{name}-{count}"

    def _claim(self, name: str) -> bool:
        return self._database.execute("INSERT OR IGNORE INTO names VALUES (?, 1)", (number_of(name),)).rowcount == 1
