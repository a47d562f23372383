"""Benchmarks whose options are weighed by their texts, asked word for word as lm-eval's own tasks of these names, of local files too."""

from typing import Any

from datasets import Dataset

from teacherlm.evaluation.tasks import _choices
from teacherlm.evaluation.tasks._published import ByName, given_for
from teacherlm.evaluation.tasks._questions import is_prepared
from teacherlm.prompts import LETTERS

COLUMNS = ("id", "question", "choices", "answer")
GAP = "_"
"""Where WinoGrande leaves out a name."""


def dataset(dataset: str, measured: str, data: ByName = None, split: ByName = None, **told: Any) -> dict[str, Dataset]:
    """As `_choices.dataset`, of published files alone: the splits `test` and `train` with the columns above."""
    place = given_for(dataset, data)
    if place is not None and is_prepared(place):
        raise ValueError(f"{place}: was written by `prepare`; measure it with `questions_letters`, or give the published files.")
    found = _choices.dataset(dataset, measured, data=data, split=split, **told)
    return {name: rows.select_columns(list(COLUMNS)) for name, rows in found.items()}


def gold(doc: dict[str, Any]) -> int:
    """Index of the right option."""
    return LETTERS.index(doc["answer"])


def beginnings(doc: dict[str, Any]) -> list[str]:
    """The sentence up to its gap, filled with each name."""
    before, _, _ = _parted(doc)
    return [before + name for name in doc["choices"]]


def end(doc: dict[str, Any]) -> str:
    """The sentence behind its gap."""
    return _parted(doc)[2].strip()


def _parted(doc: dict[str, Any]) -> tuple[str, str, str]:
    before, gap, after = doc["question"].partition(GAP)
    if not gap:
        raise ValueError(f"question '{doc['id']}' has no gap '{GAP}' to fill: {doc['question']!r:.80}")
    return before, gap, after
