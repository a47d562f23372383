"""Which columns a row's examples come from: one, several (`cot_tail+error_tail`), or one for each kind of rationale."""

from collections.abc import Sequence
from pathlib import Path

from teacherlm.errors import UserError
from teacherlm.prompts import KINDS

ALL_KINDS = {"all_kinds": "tail", "all_kinds_head": "head", "all_kinds_think": "think"}
"""What `train_on` may say for `<kind>_tail`, ... of every kind that the dataset has."""


def columns_of(train_on: str, there: Sequence[str], path: Path) -> list[str]:
    """The columns that `train_on` names, in the order of a row's examples. A name without a column is left to who reads it.

    Raises: UserError where all kinds are asked for and there is none.
    """
    if train_on in there:
        return [train_on]
    if train_on not in ALL_KINDS:
        return train_on.split("+")
    layout = ALL_KINDS[train_on]
    found = [column for kind in KINDS if (column := f"{kind}_{layout}") in there]
    if not found:
        raise UserError(f"{path}: train_on {train_on}: there is no column {' or '.join(f'{kind}_{layout}' for kind in KINDS)}.")
    return found
