"""Overlap of texts with evaluation questions: sequences of words (n-grams) that stand in both.

An index holds 8 bytes for each different sequence of the evaluation questions, and five times that while it is built: 100,000
questions of 60 words are 38 MB, 195 MB for the 12 seconds of building. What is looked up streams through. Words are compared
without case and punctuation.
"""

import hashlib
import re
from array import array
from collections import defaultdict
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache
from itertools import takewhile
from typing import Any

from teacherlm.errors import UserError
from teacherlm.store.sources import Table, open_source

COLUMNS = ("prompt", "question")
"""Where a row of an evaluation split has its question; the first that is there."""

Texts = Callable[[], Iterable[str]]
"""May be called again: the texts are read twice."""

MULTIPLIER = 0x9E3779B97F4A7C15
"""Odd: the numbers of the words, themselves digests, are weighed by its powers modulo 2^64."""


def words_of(text: str) -> list[str]:
    """`Don't walk 1,000 miles!` -> dont walk 1000 miles"""
    return re.findall(r"\w+", re.sub(r"(?<=\w)['’,](?=\w)", "", text.casefold()))


@lru_cache(maxsize=1 << 16)
def _number(word: str) -> int:
    return int.from_bytes(hashlib.blake2b(word.encode(), digest_size=8).digest(), "big")


def _digests(words: Sequence[str], n: int) -> Any:
    """One uint64 for each sequence of n words, in order; none for a shorter text."""
    import numpy as np

    numbers = np.array([_number(word) for word in words], dtype=np.uint64)
    count = len(numbers) - n + 1
    if count <= 0:
        return np.empty(0, dtype=np.uint64)
    sums = np.zeros(count, dtype=np.uint64)
    for place in range(n):
        sums += numbers[place : place + count] * np.uint64(pow(MULTIPLIER, place + 1, 1 << 64))
    return sums


@dataclass(frozen=True)
class OverlapIndex:
    """Sequences of evaluation questions by their length: n words, or all words of a question that has fewer."""

    by_length: dict[int, Any]
    """Length -> sorted uint64 digests."""
    texts: int

    def shares_sequence(self, text: str) -> bool:
        """Whether a sequence of the index stands in the text."""
        import numpy as np

        words = words_of(text)
        for length, known in self.by_length.items():
            digests = _digests(words, length)
            places = np.searchsorted(known, digests)
            if len(known) and bool(np.any(known[np.minimum(places, len(known) - 1)] == digests)):
                return True
        return False

    def sequences_in(self, text: str) -> set[int]:
        """Those of the index that stand in the text."""
        import numpy as np

        words = words_of(text)
        found: set[int] = set()
        for length, known in self.by_length.items():
            digests = _digests(words, length)
            found.update(digests[np.isin(digests, known)].tolist())
        return found

    def is_among(self, words: Sequence[str], numbers: set[int]) -> bool:
        """Whether one of these sequences is the indexed question's with these own words."""
        length = min(max(self.by_length, default=0), len(words))
        return length in self.by_length and not numbers.isdisjoint(_digests(words, length).tolist())

    @property
    def sequences(self) -> int:
        return sum(len(known) for known in self.by_length.values())


def build_index(sources: Iterable[Texts], n: int, shortest: int, common: int) -> OverlapIndex:
    """Sequences of the texts.

    What all texts of a source begin or end with (`Determine the correctness of ...`, `(A) True (B) False`) is left out, and so is a
    sequence that more than `common` texts hold: those are the dataset's own words. Texts of fewer than `shortest` words say nothing.
    """
    import numpy as np

    found: dict[int, array[int]] = defaultdict(lambda: array("Q"))
    count = 0
    for texts in sources:
        for own in own_words(texts):
            count += 1
            if len(own) >= shortest:
                length = min(n, len(own))
                found[length].frombytes(np.unique(_digests(own, length)).tobytes())
    return OverlapIndex({length: _rare(numbers, common) for length, numbers in sorted(found.items())}, count)


def _rare(numbers: "array[int]", common: int) -> Any:
    import numpy as np

    values, counts = np.unique(np.frombuffer(numbers, dtype=np.uint64), return_counts=True)
    return values[counts <= common]


def own_words(texts: Texts) -> Iterator[list[str]]:
    """The words of each text without those that all of them begin or end with. Reads the texts twice."""
    opening, ending = _frame(map(words_of, texts()))
    for words in map(words_of, texts()):
        yield words[opening : len(words) - ending]


def _frame(texts: Iterator[list[str]]) -> tuple[int, int]:
    """How many words all texts begin with and end with; none where there are too few texts to tell."""
    first = next(texts, [])
    opening, ending, count = first, first[::-1], 1
    for words in texts:
        count += 1
        opening = _shared(opening, words)
        ending = _shared(ending, words[::-1])
    return (len(opening), len(ending)) if count > 2 else (0, 0)


def _shared(one: list[str], other: list[str]) -> list[str]:
    """What both begin with."""
    if one == other[: len(one)]:
        return one
    return [word for word, _ in takewhile(lambda pair: pair[0] == pair[1], zip(one, other, strict=False))]


def evaluation_tables(source: str, splits: Sequence[str]) -> Iterator[Table]:
    """The tables of a folder or file that hold evaluation questions: the splits named, by default all but train.

    Raises: UserError where there are none.
    """
    tables = open_source(source)
    if len(tables) == 1 and not splits and source.endswith((".jsonl", ".json")):
        yield from tables.values()
        return
    chosen = [name for name in tables if (name in splits if splits else name != "train")]
    if not chosen:
        wanted = f"none of the splits {', '.join(splits)}" if splits else "no split but train, which is what is being checked"
        raise UserError(f"{source}: holds {wanted} (found: {', '.join(tables)}).")
    yield from (tables[name] for name in chosen)


def question_texts(table: Table) -> Texts:
    """The questions of its rows. Raises: UserError, while they are read, for a row without one."""
    return lambda: (_question(row, where) for where, row in table.rows())


def _question(row: Mapping[str, Any], where: str) -> str:
    for column in COLUMNS:
        if isinstance(row.get(column), str):
            return str(row[column])
    raise UserError(f"{where}: there is no question (column {' or '.join(COLUMNS)}; found: {', '.join(row)}).")
