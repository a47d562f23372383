"""What is measured: one cell for each student and task, named by the contents of both."""

from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from teacherlm.evaluation.measured import Measured, measured
from teacherlm.evaluation.permuting import differ_in_options
from teacherlm.evaluation.students import Protocol, Student

if TYPE_CHECKING:
    from teacherlm.evaluation.loading import LoadedTask
    from teacherlm.prompts import Chat


@dataclass(frozen=True)
class Cell:
    """One student on one task."""

    student: Student
    task: "LoadedTask"
    chat: "Chat | None"
    """How it is asked in turns; None where the text just goes on."""
    measured: Measured


@dataclass(frozen=True)
class Manner:
    """What decides an answer beside the student and the question."""

    dtype: str
    seed: int
    version: int
    """Of the stage."""
    protocol: Protocol = "lm_eval"
    engine: str = "transformers"
    """What writes the answers; of vLLM with the settings that change them."""


def build_cell(student: Student, task: "LoadedTask", manner: Manner, output: Path) -> Cell:
    """Raises: UserError for a student and a task that do not go together."""
    from teacherlm.evaluation.loading import require_generation, require_writing
    from teacherlm.evaluation.turns import chat_of

    if student.api:
        require_generation(task, student.name)
    elif manner.engine != "transformers":
        require_writing(task, student)
    chat = None if student.api else chat_of(student, task)  # there the server puts the turns
    settings: dict[str, Any] = {**_manner(manner, student, task), **({"chat": asdict(chat)} if chat else {})}
    if student.is_encoder_decoder:
        settings["letters_begin_in"] = "decoder"
    if student.prefix:
        settings["prefix"] = student.prefix
    if task.shots:
        settings["shots"] = "whole"
        if task.only_writes and not (student.api or student.is_encoder_decoder):
            settings["room"] = "half the context at most"
    if differ_in_options(task):
        settings["acc_spread"] = "by number of options"
    return Cell(student, task, chat, measured(output, student.content, task.content, settings))


def _manner(manner: Manner, student: Student, task: "LoadedTask") -> dict[str, Any]:
    """The protocol decides nothing where a student only writes, the engine where it is a server."""
    told = asdict(manner)
    if student.api or manner.engine == "transformers":
        del told["engine"]
    if manner.protocol == "lm_eval" or task.only_writes:
        del told["protocol"]
    return told


def result_rows(cell: Cell, output: Path) -> Iterator[dict[str, Any]]:
    """Rows of results.jsonl; none of what could not be measured. `template` is null where the task or the student declares none."""
    found = cell.measured.read()
    if found is None:
        return
    student, task = cell.student, cell.task
    for metric in found.metrics:
        yield {
            "checkpoint": student.name,
            "step": student.step,
            "epoch": student.epoch,
            "task": task.name,
            "metric": metric.name,
            "value": metric.value,
            "stderr": metric.stderr,
            "n": metric.n,
            **({"scale": metric.scale} if metric.scale != 1 else {}),
            **({"higher_is_better": metric.higher_is_better} if metric.higher_is_better is not None else {}),
            "shots": task.shots,
            **({"shots_shown": found.shots_shown} if found.shots_shown is not None else {}),
            "template": task.template if student.template and task.template else None,
            "task_template": task.template,
            "student_template": student.template,
            "task_hash": task.content,
            "predictions": str(cell.measured.predictions.relative_to(output)),
            "tokens": found.tokens,
            "seconds": found.seconds,
            **({"begun": found.begun} if found.begun else {}),
            **({"encoding": found.encoding} if found.encoding else {}),
        }


def tasks_of(cells: Sequence[Cell]) -> "list[LoadedTask]":
    """Each once, in their order."""
    return list({id(cell.task): cell.task for cell in cells}.values())


def metrics_of(cells: Sequence[Cell]) -> dict[str, float]:
    """{checkpoint.task.metric: value}; of a task asked with several numbers of shots `task@5`."""
    names = Counter(task.name for task in tasks_of(cells) if not task.turns)
    found: dict[str, float] = {}
    for cell in cells:
        name = cell.task.name if names[cell.task.name] == 1 else f"{cell.task.name}@{cell.task.shots}"
        result = cell.measured.read()
        found |= {f"{cell.student.name}.{name}.{metric.name}": metric.value for metric in result.metrics} if result else {}
    return found
