"""Was nearly the same said before: about the same question by another sample or teacher, or word for word anywhere? The first is kept."""

import hashlib
import sqlite3
from contextlib import ExitStack
from typing import Annotated, Literal

from pydantic import Field

from teacherlm.catalog import ChosenSettings
from teacherlm.overlap import words_of
from teacherlm.stage import Plugin
from teacherlm.store.scratch import number_of, scratch_database
from teacherlm.verify import JudgingGate, Rationale

VERDICTS = ("duplicate", "repeated", "new")
DIGEST = 4
"""Bytes of a sequence's digest. Only sequences of one question are compared: two of 500 collide once in 10,000 questions."""

Sequences = frozenset[bytes]


class NearDuplicateSettings(ChosenSettings):
    name: Literal["near_duplicate"] = "near_duplicate"
    n: Annotated[int, Field(ge=1)] = 3
    """Words in a sequence."""
    similarity: Annotated[float, Field(gt=0, le=1)] = 0.8
    """Two rationales of a question with at least this similarity are duplicates; 1: only the same words."""
    by: Literal["jaccard", "containment"] = "jaccard"
    """Shared sequences over all of both, or over those of the shorter one (which a longer one may hold entirely)."""
    anywhere: bool = True
    """Also what stood word for word about another question: a boilerplate text that fits everything explains nothing."""
    drops: list[Literal["duplicate", "repeated", "new"]] = ["duplicate", "repeated"]
    """Verdicts that drop a row; duplicate: of the same question; repeated: of another one."""


class Told:
    """Digests of the rationales kept so far, in a temporary file: memory stays flat."""

    def __init__(self, n: int) -> None:
        self.n = n
        self._opened = ExitStack()
        self._database: sqlite3.Connection | None = None

    def begin(self) -> None:
        self.close()
        self._database = self._opened.enter_context(scratch_database())
        self._database.execute("CREATE TABLE told (question INTEGER, sequences BLOB)")
        self._database.execute("CREATE INDEX of_question ON told (question)")
        self._database.execute("CREATE TABLE texts (key INTEGER PRIMARY KEY)")

    def keep(self, rationale: Rationale) -> None:
        assert self._database is not None
        words = words_of(rationale.own_text)
        blob = b"".join(sorted(sequences_of(words, self.n)))
        self._database.execute("INSERT INTO told VALUES (?, ?)", (_question(rationale), blob))
        self._database.execute("INSERT OR IGNORE INTO texts VALUES (?)", (_text(rationale, words),))

    def close(self) -> None:
        self._opened.close()
        self._database = None

    def of_question(self, rationale: Rationale) -> list[Sequences]:
        assert self._database is not None
        found = self._database.execute("SELECT sequences FROM told WHERE question = ?", (_question(rationale),))
        return [frozenset(blob[at : at + DIGEST] for at in range(0, len(blob), DIGEST)) for (blob,) in found]

    def has_text(self, rationale: Rationale, words: list[str]) -> bool:
        assert self._database is not None
        return self._database.execute("SELECT 1 FROM texts WHERE key = ?", (_text(rationale, words),)).fetchone() is not None


def _question(rationale: Rationale) -> int:
    return number_of(f"{rationale.kind}\0{rationale.id}")


def _text(rationale: Rationale, words: list[str]) -> int:
    return number_of(f"{rationale.kind}\0{' '.join(words)}")


def sequences_of(words: list[str], n: int) -> Sequences:
    """Digests of all n-word sequences; a shorter text is one sequence."""
    starts = range(max(1, len(words) - n + 1))
    return frozenset(hashlib.blake2b(" ".join(words[at : at + n]).encode(), digest_size=DIGEST).digest() for at in starts)


def similarity(one: Sequences, other: Sequences, by: str) -> float:
    """From 0 to 1."""
    shared = len(one & other)
    return shared / (len(one | other) if by == "jaccard" else min(len(one), len(other)))


def build(settings: NearDuplicateSettings) -> JudgingGate:
    told = Told(settings.n)

    def judge(rationale: Rationale) -> str:
        words = words_of(rationale.own_text)
        mine = sequences_of(words, settings.n)
        if any(similarity(mine, other, settings.by) >= settings.similarity for other in told.of_question(rationale)):
            return "duplicate"
        return "repeated" if settings.anywhere and told.has_text(rationale, words) else "new"

    return JudgingGate(
        name=settings.name, judge=judge, verdicts=VERDICTS, drops=frozenset(settings.drops), column="near_duplicate", memory=told
    )


GATE = Plugin(NearDuplicateSettings, build)
