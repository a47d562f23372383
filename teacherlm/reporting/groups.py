"""What stands side by side: the answers of students that differ only in what they were trained on."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from teacherlm.errors import UserError
from teacherlm.reporting.measured import UNTRAINED, Predictions, Result, Student, read_predictions


@dataclass(frozen=True)
class Measurement:
    """One student's checkpoint on one task, with its answers."""

    result: Result
    answers: Predictions

    @property
    def trained_on(self) -> str:
        return self.result.student.trained_on


Group = Mapping[str, Sequence[Measurement]]
"""trained_on -> one measurement per seed; of one student label on one task."""
Groups = Mapping[tuple[str, str], Group]
"""(student label, task) -> its group."""


def read_measurements(results: Sequence[Result], chosen: Mapping[Student, str], metric: str) -> list[Measurement]:
    """The answers of every student's chosen checkpoint.

    Raises: UserError when nothing was measured with this metric, or a task lacks a student's chosen checkpoint.
    """
    of_metric = [result for result in results if result.metric == metric]
    if not of_metric:
        known = ", ".join(sorted({result.metric for result in results}))
        raise UserError(f"report: no task was measured with metric '{metric}' (found: {known}); choose one with `metric:`.")
    compared = [result for result in of_metric if chosen[result.student] == result.checkpoint]
    for student, task in sorted({(r.student, r.task) for r in of_metric} - {(r.student, r.task) for r in compared}, key=str):
        raise UserError(f"report: {chosen[student]} of {student.run} was not evaluated on '{task}'; run evaluate again.")
    return [Measurement(result, read_predictions(result.predictions, metric)) for result in compared]


def group(measurements: Sequence[Measurement], baseline: str) -> dict[tuple[str, str], Group]:
    """(student label, task) -> what stands side by side, the baseline first; an untrained model joins those made from it."""
    models = {(m.result.student.label, m.result.student.model) for m in measurements if m.trained_on != UNTRAINED}
    groups: dict[tuple[str, str], dict[str, list[Measurement]]] = {}
    for one in sorted(measurements, key=lambda m: (m.trained_on != baseline, m.trained_on == UNTRAINED)):
        student = one.result.student
        heirs = [label for label, model in sorted(models) if one.trained_on == UNTRAINED and model == student.model]
        for label in heirs or [student.label]:
            groups.setdefault((label, one.result.task), {}).setdefault(one.trained_on, []).append(one)
    return dict(groups)


def row_of(result: Result) -> dict[str, Any]:
    student = result.student
    return {
        "student": student.label,
        "trained_on": student.trained_on,
        "seed": student.seed,
        "checkpoint": result.checkpoint,
        "step": result.step,
        "epoch": result.epoch,
        "task": result.task,
        "metric": result.metric,
        "value": result.value,
        "stderr": result.stderr,
        "n": result.n,
        "template": result.template,
        "task_hash": result.task_hash,
    }
