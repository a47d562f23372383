"""Files of datasets written by hand, and what is read of them."""

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from teacherlm.catalog import find
from teacherlm.dataset import BadRow
from teacherlm.errors import UserError
from teacherlm.parsing import parse_config
from teacherlm.prompts import template
from teacherlm.records import Question
from teacherlm.stages.prepare import PrepareConfig, prepare
from teacherlm.store.sources import Origin

Row = dict[str, Any]


def write_lines(path: Path, rows: list[Row]) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text("".join(f"{json.dumps(row)}\n" for row in rows), encoding="utf-8")
    return path


def write_text(path: Path, text: str) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(text.encode())
    return path


def rows_of(dataset: str, place: Path | str, **settings: Any) -> dict[str, list[Question | BadRow]]:
    declared = find("datasets", dataset)
    chosen = parse_config(declared.settings, {"name": dataset, **settings})
    return {split: list(questions) for split, questions in declared.read(chosen, Origin(str(place)), 0).items()}


def read(dataset: str, place: Path | str, **settings: Any) -> dict[str, list[Question]]:
    return {split: [checked(question) for question in found] for split, found in rows_of(dataset, place, **settings).items()}


def checked(found: Question | BadRow) -> Question:
    if isinstance(found, BadRow):
        raise UserError(found.reason)
    return found


def one(dataset: str, place: Path, row: Mapping[str, Any], **settings: Any) -> Question:
    """The question of a file that holds this row alone."""
    ((question,),) = read(dataset, write_lines(place, [dict(row)]), **settings).values()
    return question


def prompt(question: Question) -> str:
    return template("teacherlm").prompt(question)


def prepared(output: Path, dataset: str | Row, source: Path, **values: Any) -> list[Row]:
    """The rows of the .jsonl that `prepare` writes."""
    done = prepare(PrepareConfig.model_validate({"dataset": dataset, "source": str(source), "output": output, **values}))
    return lines(output / str(done.facts["jsonl"]))


def lines(path: Path) -> list[Row]:
    """Not by splitlines: texts hold other characters that it takes for line ends."""
    return [json.loads(line) for line in path.read_bytes().splitlines()]
