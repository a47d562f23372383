"""Texts and a number between 0 and 1 for each, such as how likely it is that the answer is yes: JSON of lists by split, or lines.

    {"train": [{"input": "The room was spotless and the staff were kind.", "target": 0.95}], "eval": [{"input": "...", "target": 0.1}]}
    {"input": "The room was spotless and the staff were kind.", "target": 0.95}

`eval` becomes the split `validation`. The column `target` is a number in every row; it is what a regression learns, and as text it is
the answer. Every other key is kept. Licence: that of your data.
"""

import math
from collections.abc import Mapping
from typing import Any, Literal

from teacherlm.catalog import ChosenSettings
from teacherlm.dataset import Dataset, Splits, read_questions
from teacherlm.datasets._documents import by_split
from teacherlm.datasets._texts import as_text
from teacherlm.errors import UserError
from teacherlm.records import Question
from teacherlm.store.sources import Origin, require


class RegressionSettings(ChosenSettings):
    name: Literal["regression"] = "regression"
    data_name: str = ""
    """Of several files in a folder, the one called `{data_name}.json`."""
    leave_out: list[str] = []
    """Columns of the file not to keep, such as one whose values share no type."""


def read(settings: RegressionSettings, origin: Origin | None, seed: int) -> Splits:
    assert origin is not None
    tables = by_split(origin, "input", settings.data_name)
    return {split: read_questions(table, lambda row, where: _question(row, settings, where)) for split, table in tables.items()}


def _question(row: Mapping[str, Any], settings: RegressionSettings, where: str) -> Question:
    text = require(row, "input", where)
    if not isinstance(text, str):
        raise UserError(f"{where}: column 'input' must be text, found {text!r:.80}.")
    if not text.strip():
        raise UserError(f"{where}: the input is empty.")
    target = _target(require(row, "target", where), where)
    kept = {name: value for name, value in row.items() if name not in settings.leave_out}
    return Question(
        question=text,
        answer=as_text(target),
        answer_rule="number",
        source_id=as_text(row.get("id")),
        raw={**kept, "target": target},
        where=where,
    )


def _target(value: Any, where: str) -> float:
    """A number, or one written as text (a CSV file knows no other); true and false are 1 and 0."""
    try:
        number = float(value)
    except (TypeError, ValueError):
        raise UserError(f"{where}: target {value!r:.80} is not a number (expected one from 0 to 1).") from None
    if math.isnan(number) or not 0.0 <= number <= 1.0:
        raise UserError(f"{where}: target {value!r} is outside 0 to 1; rescale the targets.")
    return number


DATASET = Dataset(RegressionSettings, read, template="verbatim")
