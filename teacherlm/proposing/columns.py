"""What the columns of a file hold, seen in its first rows."""

from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from itertools import islice
from typing import Any

import orjson

from teacherlm.errors import UserError
from teacherlm.store.sources import Origin

LOOKED_AT = 2000
DELIMITERS = (";", "\t", "|")
"""Tried where a CSV file cannot be read by commas."""


@dataclass(frozen=True)
class Column:
    name: str
    kind: str
    """text, number, true/false, list, mapping, or several of them."""
    empty: float
    """Share of the rows in which it is missing or holds nothing."""
    distinct: int
    """Different values."""
    rows: int
    """Rows looked at."""
    length: float
    """Mean of its texts, in characters."""
    example: str
    is_options: bool = False
    """Its values could be the choices of a question."""

    @property
    def is_unique(self) -> bool:
        return self.distinct == self.rows


@dataclass(frozen=True)
class Look:
    place: str
    splits: tuple[str, ...]
    rows: int
    columns: tuple[Column, ...]
    delimiter: str = ""
    """Of a CSV file that has not the usual one."""

    @property
    def names(self) -> list[str]:
        return [column.name for column in self.columns]


def look_at(source: str) -> Look:
    """At the first split of a source. Raises: UserError where nothing can be read."""
    try:
        return _look_at(source, "")
    except UserError:
        for delimiter in DELIMITERS if "csv" in source.lower() else ():
            with suppress(UserError):
                return _look_at(source, delimiter)
        raise


def _look_at(source: str, delimiter: str) -> Look:
    tables = Origin(source, delimiter=delimiter).tables()
    split, table = next(iter(tables.items()))
    rows: list[Mapping[str, Any]] = []
    problem = None
    for _, row in islice(table.rows_or_errors(), LOOKED_AT):
        if isinstance(row, UserError):
            problem = problem or row
        else:
            rows.append(row)
    if not rows:
        raise problem or UserError(f"{source}: split '{split}' has no rows.")
    names = dict.fromkeys(name for row in rows for name in row)
    return Look(source, tuple(tables), len(rows), tuple(_column(name, [row.get(name) for row in rows]) for name in names), delimiter)


def _column(name: str, values: Sequence[Any]) -> Column:
    held = [value for value in values if not _is_empty(value)]
    texts = [value for value in held if isinstance(value, str)]
    return Column(
        name=name,
        kind="/".join(sorted({_kind(value) for value in held})) or "nothing",
        empty=1 - len(held) / len(values),
        distinct=len({_said(value) for value in held}),
        rows=len(values),
        length=sum(map(len, texts)) / len(texts) if texts else 0.0,
        example=_said(held[0]) if held else "",
        is_options=bool(held) and all(map(_could_be_options, held)),
    )


def _is_empty(value: Any) -> bool:
    return (
        value is None
        or value != value
        or (isinstance(value, (str, list, dict)) and not (value.strip() if isinstance(value, str) else value))
    )


def _kind(value: Any) -> str:
    if isinstance(value, bool):
        return "true/false"
    if isinstance(value, (int, float)):
        return "number"
    return "text" if isinstance(value, str) else "list" if isinstance(value, list) else "mapping"


def _said(value: Any) -> str:
    return value if isinstance(value, str) else orjson.dumps(value, default=str).decode()


def _could_be_options(value: Any) -> bool:
    if isinstance(value, str) and value.lstrip()[:1] in ("[", "{"):
        try:
            value = orjson.loads(value)
        except orjson.JSONDecodeError:
            return False
    return isinstance(value, (list, Mapping)) and len(value) > 1
