"""Datasets of ours as rows for lm-eval: read by the reader that `prepare` has, and worded by a template, so that a student is asked
as it was taught.
"""

from collections.abc import Callable, Iterable, Mapping
from typing import Any

import pyarrow as pa
from datasets import Dataset, Features, List, Value

from teacherlm.catalog import find
from teacherlm.dataset import BadRow, Splits
from teacherlm.errors import UserError
from teacherlm.evaluation.tasks._questions import COLUMNS, worded
from teacherlm.parsing import parse_config
from teacherlm.records import Question
from teacherlm.rows import RowLayout
from teacherlm.store.sources import Origin

FEATURES = Features({**{name: Value("string") for name in COLUMNS}, "choices": List(Value("string")), "references": List(Value("string"))})
EXPECTED = ("test", "validation")
"""Which split is measured where nothing else is said: the first of these that is there."""
ByName = dict[str, str] | str | None
"""One for all, or by the dataset's name where plain lm-eval measures several at once."""
Docs = dict[str, Dataset]
Columns = Mapping[str, Callable[[Question], str]]
"""Further columns of text, and how each is read off a question."""


def given_for(name: str, given: ByName) -> str | None:
    return given.get(name) if isinstance(given, dict) else given


def read_splits(name: str, data: str | None, seed: int = 0, **settings: Any) -> Splits:
    """The splits of the dataset `name` as its source has them; `data` is a file or folder of it, without it the hub is asked."""
    dataset = find("datasets", name)
    splits: Splits = dataset.read(parse_config(dataset.settings, {"name": name, **settings}), Origin(data or source_of(name)), seed)
    return splits


def source_of(name: str) -> str:
    """The dataset's name on the hub."""
    hub: str | None = find("datasets", name).hub
    if hub is None:
        raise ValueError(f"`data` is missing: {name} is on no hub; give the file or folder of its data.")
    return hub


def as_docs(splits: Splits, wanted: str | None, template: str, place: str, more: Columns | None = None, shots: bool = True) -> Docs:
    """The splits `test` (the one that is wanted, else the first of EXPECTED) and `train` (for shots; empty when there is none).

    `shots`: whether any are asked for; else `train` is not read. Raises: ValueError where there is no such split, and for a row that is
    no question.
    """
    names = (wanted,) if wanted else EXPECTED
    measured = next((name for name in names if name in splits), None)
    if measured is None:
        raise ValueError(f"{place}: has no split {' or '.join(map(repr, names))} (found: {', '.join(splits)}).")
    test = as_rows(splits[measured], template, place, more)
    if measured == "train":
        return {"test": test, "train": test}
    return {"test": test, "train": as_rows(splits["train"], template, place, more) if shots and "train" in splits else test.select([])}


def as_rows(found: Iterable[Question | BadRow], template: str, place: str, more: Columns | None = None) -> Dataset:
    """What lm-eval asks: the columns of `_questions.dataset`, and `more`.

    Raises: ValueError naming a row that is no question, and where there is none.
    """
    layout, rows = RowLayout(template), []
    try:
        for one in found:
            if isinstance(one, Question):
                rows.append(_row(layout, one, more or {}))
            elif not one.on_purpose:
                raise ValueError(one.reason)
    except UserError as error:
        raise ValueError(str(error)) from None
    if not rows:
        raise ValueError(f"{place}: there are no questions.")
    columns = Features({**FEATURES, **dict.fromkeys(more or {}, Value("string"))})
    return worded(Dataset(pa.Table.from_pylist(rows, schema=columns.arrow_schema)))  # `from_list` looks at every value once more


def _row(layout: RowLayout, question: Question, more: Columns) -> dict[str, Any]:
    row = layout.row(question)
    references = list(question.references) or [question.answer]
    return {
        **{name: row[name] for name in COLUMNS},
        "references": references,
        **{name: column(question) for name, column in more.items()},
    }
