"""TruthfulQA: its published files mc_task.json and TruthfulQA.csv, or the hub's two configurations, in the columns of the hub."""

from collections.abc import Callable, Mapping
from typing import Any

from datasets import Dataset

from teacherlm.errors import UserError
from teacherlm.store.sources import Origin, require

HUB = "truthfulqa/truthful_qa"
NAME = "truthful_qa"
NO_COMMENT = "I have no comment."
Row = Mapping[str, Any]


def choices(data: dict[str, str] | str | None = None, split: str | None = None, **_: Any) -> dict[str, Dataset]:
    """The split `test`: question, mc1_targets (one right) and mc2_targets (some right), {"choices": [...], "labels": [0 or 1, ...]}.

    Raises: ValueError naming the row that is not so, or what is missing.
    """
    return _read(data, split, f"{HUB}:multiple_choice", {"mc_task.json": "validation"}, _with_choices)


def answers(data: dict[str, str] | str | None = None, split: str | None = None, **_: Any) -> dict[str, Dataset]:
    """The split `test`: question, correct_answers and incorrect_answers, each with a full stop at its end as lm-eval compares them.

    Raises: as `choices`.
    """
    return _read(data, split, f"{HUB}:generation", {"TruthfulQA.csv": "validation"}, _with_answers)


def _read(data: Any, split: str | None, hub: str, files: Mapping[str, str], build: Callable[[Row, str], Row]) -> dict[str, Dataset]:
    place = str((data.get(NAME) if isinstance(data, dict) else data) or hub)
    try:
        tables = Origin(place).tables(files)
        wanted = split or ("validation" if "validation" in tables else next(iter(tables)))
        if wanted not in tables:
            raise UserError(f"{place}: has no split '{wanted}' (found: {', '.join(tables)}).")
        rows = [{"id": str(n), **build(row, where)} for n, (where, row) in enumerate(tables[wanted].rows())]
    except UserError as error:
        raise ValueError(str(error)) from None
    if not rows:
        raise ValueError(f"{place}: there are no questions.")
    return {"test": Dataset.from_list(rows)}


def _with_choices(row: Row, where: str) -> Row:
    found = {column: _targets(require(row, column, where)) for column in ("mc1_targets", "mc2_targets")}
    if sum(found["mc1_targets"]["labels"]) != 1 or not any(found["mc2_targets"]["labels"]):
        raise UserError(f"{where}: mc1_targets must have one right answer and mc2_targets some.")
    return {"question": str(require(row, "question", where)), **found, "gold": found["mc1_targets"]["labels"].index(1)}


def _targets(given: Row) -> dict[str, list[Any]]:
    """`{text: 0 or 1}` as published, or the hub's two lists."""
    if set(given) == {"choices", "labels"}:
        return {"choices": list(given["choices"]), "labels": list(given["labels"])}
    return {"choices": list(given), "labels": [int(label) for label in given.values()]}


def _with_answers(row: Row, where: str) -> Row:
    """The published table parts answers by semicolons."""
    if "correct_answers" in row:
        question, right, wrong = row["question"], row["correct_answers"], row["incorrect_answers"]
    else:
        question, right, wrong = (require(row, name, where) for name in ("Question", "Correct Answers", "Incorrect Answers"))
    told, untrue = _sentences(right), _sentences(wrong)
    if not told or not untrue:
        raise UserError(f"{where}: a question needs right and wrong answers to be compared with.")
    return {
        "question": str(question).strip(),
        "correct_answers": told if NO_COMMENT in told else [*told, NO_COMMENT],
        "incorrect_answers": untrue,
    }


def _sentences(answers: Any) -> list[str]:
    given = str(answers).split(";") if isinstance(answers, str) else answers
    return [text if text.endswith(".") else f"{text}." for answer in given if (text := str(answer).strip())]
