"""Questions with choices for lm-eval in TeacherLM's words, read as `prepare` reads them: local files or the hub, one row each."""

from pathlib import Path
from typing import Any

from datasets import Dataset

from teacherlm.catalog import find
from teacherlm.errors import UserError
from teacherlm.evaluation.tasks._published import ByName, as_docs, given_for, read_splits, source_of
from teacherlm.evaluation.tasks._questions import is_prepared, read_prepared

TEMPLATE = "teacherlm"
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
            return read_prepared(data, split or measured)
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


def subject(subject: str, data: ByName = None, split: ByName = None, **_: Any) -> dict[str, Dataset]:
    """One subject of MMLU as TeacherLM asked it; shots are its five of `dev`."""
    return dataset("mmlu", "validation", "dev", data, split, intro=True, subjects=[subject])
