"""A part of the questions to train on, for curves of score against data: the smaller part lies within the larger."""

import random
import re
from dataclasses import replace
from typing import TYPE_CHECKING, Any

from teacherlm.errors import UserError
from teacherlm.mixing import parse_size

if TYPE_CHECKING:
    from teacherlm.training.texts import Table

EVERYTHING = "all"
SHARE = re.compile(r"0?\.\d+")


def as_size(value: Any) -> Any:
    """0.25, as some write it, is `25%`; 1000 is so many questions."""
    if isinstance(value, bool) or not isinstance(value, (int, float, str)):
        return value
    return f"{float(value) * 100:g}%" if SHARE.fullmatch(str(value)) else str(value)


def subsampled(table: "Table", size: str, seed: int) -> "Table":
    """The rows of the questions drawn, in the table's order. Rows with one id are one question: its attempts stay together.

    Raises: UserError for a size of nothing, or of more questions than there are.
    """
    from teacherlm.training.texts import values

    if size == EVERYTHING:
        return table
    names = list(values(table, "id")) if "id" in table.columns else list(range(len(table.rows)))
    questions = list(dict.fromkeys(names))
    try:
        wanted = parse_size(size, len(questions))
    except UserError as error:
        raise UserError(f"subsample: {error}") from None
    if not 0 < wanted <= len(questions):
        raise UserError(f"subsample: {size} of {len(questions)} questions is {wanted}; expected 1 to {len(questions)}.")
    random.Random(f"subsample/{seed}").shuffle(questions)
    drawn = set(questions[:wanted])
    kept = [i for i, name in enumerate(names) if name in drawn]
    if isinstance(table.rows, list):
        return replace(table, rows=[table.rows[i] for i in kept], lines=[table.lines[i] for i in kept] if table.lines else ())
    return replace(table, rows=table.rows.select(kept), numbers=kept)  # type: ignore[attr-defined]
