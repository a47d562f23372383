"""Rows that begin alike (the kinds of one question, the samples of one prompt, few-shot prompts) have their common beginning read once."""

from collections.abc import Sequence
from dataclasses import dataclass

SHARED_AT_LEAST = 8
"""A beginning shorter than one in so many tokens of a row is not worth a reading of its own."""


@dataclass(frozen=True)
class Group:
    """Rows whose first `shared` tokens are the same."""

    rows: tuple[int, ...]
    shared: int


def common_prefix(one: Sequence[int], other: Sequence[int]) -> int:
    """How many tokens are the same at the beginning; by halves, because slices compare quickly."""
    low, high = 0, min(len(one), len(other))
    while low < high:
        middle = (low + high + 1) // 2
        if one[low:middle] == other[low:middle]:
            low = middle
        else:
            high = middle - 1
    return low


def find_groups(lines: Sequence[list[int]], shareable: Sequence[int] | None = None) -> list[Group]:
    """Every row in one group, alone where it shares too little.

    shareable: how much of each row may be shared; by default all but its last token, whose scores are needed.
    """
    most = [len(line) - 1 for line in lines] if shareable is None else shareable
    groups: list[Group] = []
    rows: list[int] = []
    shared = 0
    for index in sorted(range(len(lines)), key=lines.__getitem__):
        with_it = min(common_prefix(lines[rows[-1]], lines[index]), most[index], shared) if rows else 0
        # One prefix for all saves rows x length; a longer one for fewer rows may save more.
        if rows and with_it * SHARED_AT_LEAST >= len(lines[index]) and with_it * len(rows) >= shared * (len(rows) - 1):
            rows, shared = [*rows, index], with_it
        else:
            groups += [_group(rows, shared)] if rows else []
            rows, shared = [index], most[index]
    return [*groups, _group(rows, shared)] if rows else groups


def _group(rows: list[int], shared: int) -> Group:
    return Group(tuple(rows), shared if len(rows) > 1 else 0)


def pays_off(lines: Sequence[list[int]], groups: Sequence[Group]) -> bool:
    """Whether fewer tokens are read with the groups' beginnings apart, padding counted."""
    rest = max(len(lines[row]) - group.shared for group in groups for row in group.rows)
    apart = len(lines) * rest + len(groups) * max(group.shared for group in groups)
    return apart < 0.9 * len(lines) * max(map(len, lines))
