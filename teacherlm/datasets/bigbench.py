"""BIG-bench: any task of it that is a task.json with examples. (Apache-2.0; Srivastava et al. 2022)

    {"name": "date_understanding", "description": "Infer the date from context", "task_prefix": "", "examples": [
      {"input": "Yesterday was April 30, 2021. What is the date today in MM/DD/YYYY?",
       "target_scores": {"05/01/2021": 1, "02/23/2021": 0, "03/11/2021": 0, "05/09/2021": 0, "06/12/2021": 0, "04/29/2021": 0}}]}

`target_scores` become choices in an order drawn by the seed, the best score is right; `target` is a right answer, or a list of them.
BIG-bench asks not to train on it (its canary): what is trained on a task must not be measured by it.
"""

from collections.abc import Mapping
from functools import cache
from pathlib import Path
from typing import Any, Literal

from teacherlm.catalog import ChosenSettings
from teacherlm.dataset import Dataset, Splits, read_questions
from teacherlm.datasets._bigbench import task_question
from teacherlm.datasets._unified import Build, document_of, numbered
from teacherlm.records import Question
from teacherlm.store.sources import Origin, Table


class BigbenchSettings(ChosenSettings):
    name: Literal["bigbench"] = "bigbench"


def read(settings: BigbenchSettings, origin: Origin | None, seed: int) -> Splits:
    """`origin`: a task.json, or its folder."""
    assert origin is not None
    tables = origin.tables({"task.json": "train"})
    return {split: read_questions(numbered(table, "", origin.encoding), _builder(table, origin, seed)) for split, table in tables.items()}


def _builder(table: Table, origin: Origin, seed: int) -> Build:
    @cache
    def opening() -> str:
        task = document_of(Path(table.place), origin.encoding) or {}
        return str(task.get("task_prefix") or "")

    def build(row: Mapping[str, Any], where: str) -> Question:
        return task_question(row, where, seed, opening())

    return build


DATASET = Dataset(BigbenchSettings, read, title="BIGBENCH", licence="apache-2.0")
