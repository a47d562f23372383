"""Tasks of Super-NaturalInstructions for lm-eval: every test task's first instances, in Tk-Instruct's encoding, and what copying scores.

lm_eval --include_path <this folder> --tasks natural_instructions --metadata '{"data": "path/to/natural-instructions"}'
"""

from collections.abc import Iterator, Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import Any

from datasets import Dataset
from lm_eval.api.task import ConfigurableTask

from teacherlm.answers.thinking import spoken
from teacherlm.answers.whole import STATED
from teacherlm.dataset import BadRow
from teacherlm.datasets._ni_encoding import task_questions
from teacherlm.datasets._ni_layout import TaskFiles, find_tasks
from teacherlm.datasets._ni_tasks import read_task
from teacherlm.datasets.natural_instructions import NaturalInstructionsSettings
from teacherlm.errors import UserError
from teacherlm.evaluation.tasks._published import ByName, Columns, as_docs, as_rows, given_for, read_splits
from teacherlm.evaluation.tasks._questions import is_prepared, read_prepared
from teacherlm.evaluation.tasks._rouge import METRIC_OF_CATEGORY, InPercent, best_scores, build_scorer, group_name
from teacherlm.parsing import parse_config
from teacherlm.records import Question


def _raw(name: str, question: Question) -> str:
    return str(question.raw.get(name) or "")


XLINGUAL = "xlingual"
"""The track whose texts are in many languages."""
COPIED = {"copy_input": "input", "copy_demonstration": "demonstration"}
"""Baselines of the paper, and the column that each gives as its answer: the instance's input, the output of the first example."""
COLUMNS: Columns = {name: partial(_raw, name) for name in ("task", "category", "input", "demonstration")}
EXPLAINED_FIRST = ("_head", "_think")
"""Columns whose students state the answer behind a rationale."""


def dataset(data: ByName = None, split: ByName = None, template: str = "tk_instruct", **told: Any) -> dict[str, Dataset]:
    """The split `test` with the columns of `questions`, and `task`, `category`, `input`, `demonstration`, `tokens` (words or gpt2).

    `data`: a folder with `tasks` and `splits`, a folder of task files or one of them (then all are measured), or a folder written by
    `prepare`; without it the hub is asked. Of each task the first 100 instances. `told` may hold any setting of the dataset
    natural_instructions (track, tasks, num_pos_examples, ...), and `gpt2`, the folder of its tokenizer for the track xlingual.
    Raises: ValueError naming what is missing.
    """
    data, split = given_for("natural_instructions", data), given_for("natural_instructions", split)
    settings = parse_config(NaturalInstructionsSettings, {k: v for k, v in told.items() if k in NaturalInstructionsSettings.model_fields})
    _check_scorer(settings.track, told.get("gpt2"))
    try:
        test = _measured(data, split, settings, str(told.get("taught_by") or template))
    except UserError as error:
        raise ValueError(str(error)) from None
    return {"test": test.add_column("tokens", ["gpt2" if told.get("gpt2") else "words"] * len(test))}


def _measured(data: str | None, split: str | None, settings: NaturalInstructionsSettings, words: str) -> Dataset:
    if data and is_prepared(data):
        return read_prepared(data, split, list(COLUMNS))["test"]
    files = _task_files(data, settings)
    if files is None:
        splits = read_splits("natural_instructions", data, **settings.model_dump(exclude={"name"}))
        return as_docs(splits, split, words, data or "the hub", COLUMNS)["test"]
    wanted = split or (next(iter(files)) if len(files) == 1 else "test")
    if wanted not in files:
        raise ValueError(f"{data}: has no split '{wanted}' (found: {', '.join(files)}).")
    return as_rows(_first_instances(files[wanted], settings), words, str(data), COLUMNS)


def _task_files(data: str | None, settings: NaturalInstructionsSettings) -> TaskFiles | None:
    if data is None or not Path(data).exists():
        return None
    return find_tasks(Path(data), settings.track, settings.task_dir or "", settings.tasks)


def _first_instances(files: Mapping[str, Path], settings: NaturalInstructionsSettings) -> Iterator[Question | BadRow]:
    """As of a test task: the first ones, whatever list the task is in."""
    for name, path in files.items():
        task = read_task(name, path)
        shown = next((one.output for one in task.demonstrations if one.positive), "")
        for one in task_questions(task, "test", settings, seed=0):
            yield one._replace(raw={**one.raw, "demonstration": shown}) if isinstance(one, Question) else one


def _check_scorer(track: str, gpt2: Any) -> None:
    """Raises: ValueError where texts of many languages would be cut into words of English."""
    if track == XLINGUAL and not gpt2:
        raise ValueError(f"`gpt2` is missing: the track {XLINGUAL} is compared by GPT-2's tokens; give the folder of its tokenizer.")
    if gpt2:
        build_scorer(str(gpt2))


class NaturalInstructions(ConfigurableTask):  # type: ignore[misc]
    """Every metric of all questions, of each category and of each task, and what the two baselines score."""

    def __init__(self, config: dict[str, Any]) -> None:
        own = {key: value for key, value in config.items() if key != "class"}
        super().__init__(config={**own, "process_results": type(self).process_results})  # else it looks for the metrics on the hub

    def aggregation(self) -> InPercent:
        return InPercent()

    def process_results(self, doc: Mapping[str, Any], results: Sequence[str]) -> dict[str, float]:
        told = self.config.metadata or {}
        references, gpt2 = tuple(doc["references"]), told.get("gpt2")
        said = spoken(results[0])
        if str(told.get("train_on", "")).endswith(EXPLAINED_FIRST):
            said = said.partition(STATED)[2] or said
        found = best_scores(said, references, gpt2)
        measures = {**found, **_by_category(doc, found)}
        for group in filter(None, (group_name(doc.get("category") or ""), doc.get("task"))):
            measures |= {f"{metric}_for_{group}": value for metric, value in found.items()}
        for baseline, column in COPIED.items():
            if doc.get(column):
                copied = best_scores(doc[column], references, gpt2)
                measures |= {f"{metric}_of_{baseline}": value for metric, value in copied.items()}
        return measures


def _by_category(doc: Mapping[str, Any], found: Mapping[str, float]) -> dict[str, float]:
    """By the metric of its category; nothing for a category that the paper has none for."""
    metric = METRIC_OF_CATEGORY.get(group_name(doc.get("category") or ""))
    return {"by_category": found[metric]} if metric else {}
