"""Datasets read as `prepare` reads them, and files in their published schemas, for tests."""

import json
from pathlib import Path
from typing import Any

from teacherlm.catalog import find
from teacherlm.dataset import BadRow, Dataset
from teacherlm.prompts import template
from teacherlm.records import Question
from teacherlm.stages.prepare import PrepareConfig, prepare
from teacherlm.store.sources import Origin


def found(name: str, place: Path, encoding: str = "utf-8", **settings: Any) -> dict[str, list[Question | BadRow]]:
    """Split -> what the dataset makes of each row."""
    dataset: Dataset = find("datasets", name)
    return {split: list(rows) for split, rows in dataset.read(dataset.settings(**settings), Origin(str(place), encoding), 0).items()}


def questions(name: str, place: Path, **settings: Any) -> dict[str, list[Question]]:
    """Split -> its questions, every row of which has to be one."""
    read = found(name, place, **settings)
    assert not [row for rows in read.values() for row in rows if isinstance(row, BadRow)]
    return {split: [row for row in rows if isinstance(row, Question)] for split, rows in read.items()}


def reason(name: str, place: Path, **settings: Any) -> str:
    """Why the only row of the only split is no question."""
    ((row,),) = found(name, place, **settings).values()
    assert isinstance(row, BadRow)
    return row.reason


def put(question: Question, spec: str) -> tuple[str, str]:
    """Prompt and completion."""
    chosen = template(spec)
    return chosen.prompt(question), chosen.label(question)


def prepared(output: Path, **values: Any) -> dict[str, list[dict[str, Any]]]:
    """Split -> rows as `prepare` wrote them."""
    from datasets import load_from_disk

    prepare(PrepareConfig.model_validate({"output": output, **values}))
    return {split: rows.to_list() for split, rows in load_from_disk(str(output)).items()}


def write(path: Path, value: Any, **dumping: Any) -> Path:
    """One JSON value; a list into a .jsonl as lines."""
    if path.suffix == ".jsonl":
        path.write_text("".join(f"{json.dumps(row)}\n" for row in value), encoding="utf-8")
    else:
        path.write_text(json.dumps(value, **dumping), encoding="utf-8")
    return path
