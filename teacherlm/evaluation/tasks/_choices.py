"""Questions with choices for lm-eval in TeacherLM's words, read as `prepare` reads them: local files or the hub, one row each."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from datasets import Dataset

from teacherlm.catalog import find
from teacherlm.errors import UserError
from teacherlm.evaluation.tasks._published import ByName, as_docs, given_for, read_splits, source_of
from teacherlm.evaluation.tasks._questions import is_prepared, read_prepared

TEMPLATE = "teacherlm"
SUBJECT = "subject"
"""The column of MMLU that says what a question is about."""
OF_HUB = {"ecqa": {"answer_key": "tau/commonsense_qa"}}
"""Settings for data of the hub: ECQA's answers are texts, which leave open what is meant where two options have the same."""


def dataset(
    dataset: str, measured: str, shots: str = "train", data: ByName = None, split: ByName = None, **told: Any
) -> dict[str, Dataset]:
    """The splits `test` (what is measured) and `train` (for shots; empty when there is none): the columns of `questions`, and `question`.

    `dataset` and what is `told` beside it: a dataset of teacherlm and its settings. `data` (lm-eval: `--metadata '{"data": path}'`): its
    published files, one of them, a `save_to_disk` folder, or a folder written by `prepare`; without it the hub is asked. `split` names
    what is measured; without it, it is `measured`, or of a file that holds one split that. Both may be {dataset: ...}.
    Raises: ValueError for a split that is not there, and for a row that is no question with its answer.
    """
    data, split = given_for(dataset, data), given_for(dataset, split)
    settings = {name: told[name] for name in find("datasets", dataset).settings.model_fields if name in told and name != "name"}
    try:
        if data is not None and is_prepared(data):
            subjects = settings.get("subjects", ())
            rows = read_prepared(data, split or measured, [SUBJECT] if subjects else [])
            return _about(subjects, rows, data) if subjects else rows
        splits = dict(read_splits(dataset, data, **{**({} if data else OF_HUB.get(dataset, {})), **settings}))
        place = data or source_of(dataset)
        wanted = split or (next(iter(splits)) if len(splits) == 1 and Path(place).is_file() else measured)
        if wanted not in splits:
            about = f" about {', '.join(settings['subjects'])}" if settings.get("subjects") else ""
            raise ValueError(
                f"{place}: has no split '{wanted}'{about} (found: {', '.join(splits)}); `split` says which of them is measured."
            )
        kept = {name: splits[key] for name, key in ((wanted, wanted), ("train", shots)) if key in splits}
        return as_docs(kept, wanted, TEMPLATE, place, {"question": lambda one: one.question}, told.get("shots_wanted", True))
    except UserError as error:
        raise ValueError(str(error)) from None


def _about(subjects: Sequence[str], splits: dict[str, Dataset], data: str) -> dict[str, Dataset]:
    """The rows of these subjects. Raises: ValueError where none is measured, and where the rows do not say what they are about."""
    if SUBJECT not in splits["test"].column_names:
        raise ValueError(f"{data}: its rows have no column '{SUBJECT}'; measure all of them with `questions_letters`.")
    about = {name: rows.select_columns([SUBJECT]).to_dict()[SUBJECT] for name, rows in splits.items()}
    wanted = {name: [number for number, one in enumerate(found) if one in subjects] for name, found in about.items()}
    if not wanted["test"]:
        raise ValueError(f"{data}: has no rows about {', '.join(subjects)} (found: {', '.join(sorted(set(map(str, about['test']))))}).")
    return {name: rows.select(wanted[name]).remove_columns(SUBJECT) for name, rows in splits.items()}


def subject(subject: str, data: ByName = None, split: ByName = None, **_: Any) -> dict[str, Dataset]:
    """One subject of MMLU as TeacherLM asked it; shots are its five of `dev`."""
    return dataset("mmlu", "validation", "dev", data, split, intro=True, subjects=[subject])
