"""GSM8K for lm-eval: the published files or the hub, and the number that a text ends in."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from datasets import Dataset

from teacherlm.answers import find_candidates, same
from teacherlm.answers.numbers import HASHES
from teacherlm.errors import UserError
from teacherlm.evaluation.tasks._published import ByName, as_docs, given_for, read_splits
from teacherlm.evaluation.tasks._questions import is_prepared, read_prepared
from teacherlm.prompts import said_answer


def dataset(
    data: ByName = None, split: ByName = None, template: str = "teacherlm", taught_by: str | None = None, **told: Any
) -> dict[str, Dataset]:
    """The splits `test` (what is measured) and `train` (for shots; empty when there is none), with the columns of `questions`.

    `data`: a folder with test.jsonl and train.jsonl, one such file, or a folder written by `prepare`; without it the hub is asked.
    Rows are worded by `taught_by`, which `evaluate` gives, else by `template`. Raises: ValueError naming what is missing.
    """
    data, split = given_for("gsm8k", data), given_for("gsm8k", split)
    if data is not None and is_prepared(data):
        return read_prepared(data, split)
    try:
        splits = read_splits("gsm8k", data)
        only = next(iter(splits)) if data is not None and Path(data).is_file() else None
        return as_docs(splits, split or only, taught_by or template, data or "the hub", shots=told.get("shots_wanted", True))
    except UserError as error:
        raise ValueError(str(error)) from None


def score(doc: dict[str, Any], results: Sequence[str]) -> dict[str, float]:
    """acc: the number is right; parsed: there is one. It is the last one behind `####`, else the stated one, else the last of all."""
    marked = find_candidates(results[0], "hashes").all if HASHES in results[0] else ()
    stated = marked[-1] if marked else said_answer(results[0], doc["template"], "number")
    right = stated is not None and same(stated, doc["answer"], "number")
    return {"acc": float(right), "parsed": float(stated is not None)}
