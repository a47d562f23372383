"""Alpaca: instructions written and followed by text-davinci-003 (CC BY-NC 4.0; Taori et al. 2023).

    {"instruction": "Categorize the following fruit as either a citrus or a non-citrus fruit.", "input": "Banana",
     "output": "Non-citrus fruit."}

Published as alpaca_data.json, one JSON list, and as seed_tasks.jsonl: tasks that people wrote, each with its instances.

    {"id": "seed_task_35", "name": "solving_equation", "instruction": "Solving the equation and find the value of X. Show your steps.",
     "instances": [{"input": "10X + 5 = 10", "output": "10X = 5\\nX = 0.5"}], "is_classification": false}

Many inputs only say that there is none (`<noinput>`, `N/A`) and count as none; one that was never filled in (`<image attached>`) stays.
An empty output is no answer; a few outputs are such signs too (`<nooutput>`) and stay as published.
"""

import re
from collections.abc import Iterator, Mapping
from typing import Any, Literal

from teacherlm.catalog import ChosenSettings
from teacherlm.dataset import Dataset, Splits, read_questions
from teacherlm.datasets._texts import as_text
from teacherlm.errors import UserError
from teacherlm.records import Question
from teacherlm.store.readers_text import Found
from teacherlm.store.sources import Origin, Table, require

FILES = {
    **dict.fromkeys(("alpaca_data.json", "alpaca_data_cleaned.json", "alpaca_gpt4_data.json", "alpaca_5000.json"), "train"),
    "seed_tasks.jsonl": "seed_tasks",
}
SIGNS = " \t\r\n<>()[]{}\\\"'`.*_-:"
"""Around what says that there is no input."""
NO_INPUT = re.compile(
    r"no ?input(?: (?:is )?(?:needed|required|necessary|provided|given|available))?"
    r"|noput|ninput|none|n ?/ ?a|not (?:applicable|needed|required|provided|available)",
    re.IGNORECASE,
)


class AlpacaSettings(ChosenSettings):
    name: Literal["alpaca"] = "alpaca"


def read(settings: AlpacaSettings, origin: Origin | None, seed: int) -> Splits:
    """Where there is only one file it is `train`; beside the other, the seed tasks are a split of their own."""
    assert origin is not None
    tables = origin.tables(FILES)
    if len(tables) == 1:
        tables = {"train": next(iter(tables.values()))}
    return {split: read_questions(_instances(table), _question) for split, table in tables.items()}


def _instances(table: Table) -> Table:
    """A row for each instance of a task; other rows as they are."""

    def rows() -> Found:
        for where, row in table.rows_or_errors():
            if isinstance(row, UserError) or "instances" not in row:
                yield where, row
            else:
                yield from ((where, instance) for instance in _of_task(row, where))

    return Table(table.place, rows)


def _of_task(row: Mapping[str, Any], where: str) -> Iterator[dict[str, Any] | UserError]:
    """The task's columns with those of each instance in the place of `instances`."""
    instances = row["instances"]
    if not isinstance(instances, list) or not all(isinstance(instance, dict) for instance in instances):
        yield UserError(f"{where}: instances must be a list of {{input, output}}, found {instances!r}.")
    elif not instances:
        yield UserError(f"{where}: the task has no instances.")
    else:
        task = {name: value for name, value in row.items() if name != "instances"}
        yield from ({**task, **instance} for instance in instances)


def _question(row: Mapping[str, Any], where: str) -> Question:
    instruction = as_text(require(row, "instruction", where))
    given = as_input(row.get("input"))
    response = as_text(require(row, "output", where))
    if not instruction.strip():
        raise UserError(f"{where}: the instruction is empty.")
    if not response.strip():
        raise UserError(f"{where}: the output is empty.")
    return Question(
        question=f"{instruction}\n{given}" if given else instruction,
        answer=response,
        answer_rule="text",
        source_id=as_text(row.get("id")),
        raw=row,
        where=where,
        blocks=(("INSTRUCTION", instruction), *((("INPUT", given),) if given else ())),
        response=(("RESPONSE", response),),
    )


def as_input(value: Any) -> str:
    """The input as written; "" where it only says that there is none."""
    text = as_text(value)
    return "" if not text.strip() or NO_INPUT.fullmatch(text.strip(SIGNS)) else text


DATASET = Dataset(AlpacaSettings, read, title="Alpaca", hub="tatsu-lab/alpaca", template="blocks", licence="cc-by-nc-4.0")
