"""The twelve datasets of Fine-tune-CoT for lm-eval: the published test rows, and the four measures of each completion.

lm_eval --include_path <this folder> --tasks ft_cot_coin_flip --metadata '{"data": "path/to/reasoning_teacher"}'
"""

from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path
from typing import Any

from datasets import Dataset

from teacherlm.answers.cleansing import PREFIXES, STATED_AS
from teacherlm.answers.scores import score_completion
from teacherlm.dataset import BadRow, Splits
from teacherlm.errors import UserError
from teacherlm.evaluation.tasks._published import ByName, as_docs, given_for, read_splits, source_of
from teacherlm.evaluation.tasks._questions import is_prepared, read_prepared
from teacherlm.prompts import template as template_of
from teacherlm.records import Question
from teacherlm.splitting import RANDOM, Cut, cut

READERS = {"strategy_qa": "strategyqa"}
"""A dataset whose reader has another name: it asks by letters what is a yes or a no here."""
YES_NO = {"A": "yes", "B": "no"}
PUBLISHED_APART = ("gsm8k", "aqua", "commonsense_qa")
"""Datasets with a test set of their own; the others are cut by the paper's recipe: 70% of a permutation drawn by seed 0 are train."""
LISTS_IN = ("split", "splits", ".", "../split", "../splits")
"""Where lists of rows may lie, seen from the data's folder."""


def dataset(
    dataset: str,
    data: ByName = None,
    split: ByName = None,
    lists: str = "default",
    template: str = "ft_cot_token",
    taught_by: str | None = None,
    **told: Any,
) -> dict[str, Dataset]:
    """The splits `test` (what is measured) and `train` (for shots; empty when there is none), with the columns of `questions`.

    `data`: the original's folder (dataset/<key>.json, and its lists in split/<key>__<lists>.json), a file or folder that the dataset's
    reader reads, or a folder written by `prepare`; without it the hub is asked. `lists`: default, or template. Rows are worded by
    `taught_by`, which `evaluate` gives, else by `template`.
    Raises: ValueError naming what is missing and what was found.
    """
    data, split = given_for(dataset, data), given_for(dataset, split)
    if data is not None and is_prepared(data):
        return {name: part.map(_with_rule, fn_kwargs={"key": dataset}) for name, part in read_prepared(data, split).items()}
    place, words = _folder(data), taught_by or template
    try:
        splits = {name: _asked(dataset, found, words) for name, found in _cut(dataset, place, lists).items()}
        return as_docs(splits, split, words, place or source_of(READERS.get(dataset, dataset)), shots=told.get("shots_wanted", True))
    except UserError as error:
        raise ValueError(str(error)) from None


def _folder(data: str | None) -> str | None:
    """The folder with `dataset`, where the whole repository was given."""
    inside = Path(data or "", "data")
    return str(inside) if data and (inside / "dataset").is_dir() else data


def _cut(key: str, place: str | None, lists: str) -> Splits:
    def read() -> Splits:
        return read_splits(READERS.get(key, key), place)

    splits = read()
    if set(splits) != {"train"}:
        return splits
    file = _lists(key, place, lists)
    if file is not None:
        return cut(read, Cut(str(file)))
    if lists != "default" or key in PUBLISHED_APART:
        raise ValueError(f"{place}: has no test rows, and no list {key}__{lists}.json that says which of its rows they are.")
    return cut(read, Cut(RANDOM))


def _lists(key: str, place: str | None, lists: str) -> Path | None:
    if place is None or not Path(place).exists():
        return None
    folder = Path(place) if Path(place).is_dir() else Path(place).parent
    return next((file for part in LISTS_IN if (file := folder / part / f"{key}__{lists}.json").is_file()), None)


def _asked(key: str, found: Iterable[Question | BadRow], words: str) -> Iterator[Question | BadRow]:
    """Fine-tune-CoT asks StrategyQA without choices, for yes or no."""
    for one in found:
        if not isinstance(one, Question):
            yield one
            continue
        if key in READERS and one.choices:
            one = one._replace(answer=YES_NO[one.answer], choices=(), answer_rule="yes_no")
        yield one._replace(answer_rule=_rule(key, words, one.answer_rule))


def _with_rule(row: dict[str, Any], key: str) -> dict[str, Any]:
    return {"answer_rule": _rule(key, row["template"], row["answer_rule"])}


def _rule(key: str, words: str, stated: str) -> str:
    """The paper's own way to cut an answer out, in the words of its templates; else a stated answer is looked for."""
    return key if words.partition("{")[0] in PREFIXES else stated


def score(doc: dict[str, Any], results: Sequence[str]) -> dict[str, float]:
    """The paper's measures of a completion; `complete` only where it is known how the text ended, which plain lm-eval does not tell."""
    prefix = template_of(doc["template"]).answer_prefixes
    found = score_completion(
        results[0],
        doc["answer"],
        doc["answer_rule"],
        prefix=prefix,
        choices=doc["choices"],
        finish_reason=getattr(results[0], "finish", None),
    )
    measures = {
        "acc": found.correct,
        "contains_answer": found.contains_answer,
        "correct_format": found.correct_format if doc["answer_rule"] in STATED_AS else found.found is not None,
        **({} if found.complete is None else {"complete": found.complete}),
    }
    return {name: float(value) for name, value in measures.items()}
