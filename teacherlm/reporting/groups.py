"""What stands side by side: the answers of students that differ only in what they were trained on."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

from teacherlm.errors import UserError
from teacherlm.reporting.measured import REFERENCES, TEACHER, UNTRAINED, Result, Student
from teacherlm.reporting.predictions import Floats, Predictions, Shelf


@dataclass(frozen=True)
class Measurement:
    """One student's checkpoint on one task, with its answers."""

    result: Result
    answers: Predictions

    @property
    def trained_on(self) -> str:
        return self.result.student.trained_on

    @property
    def by_question(self) -> bool:
        """Whether each question has a score, which a comparison in pairs needs; a correlation has none."""
        return self.answers.has(self.result.metric)

    @property
    def scores(self) -> Floats:
        return self.answers.scores(self.result.metric)


Group = Mapping[str, Sequence[Measurement]]
"""trained_on -> one measurement per seed; of one student label on one task."""
Groups = Mapping[tuple[str, str], Group]
"""(student label, task) -> its group."""


def read_measurements(
    results: Sequence[Result], chosen: Mapping[Student, str], metrics: Mapping[str, str], shelf: Shelf
) -> list[Measurement]:
    """The answers of every student's chosen checkpoint, each task by its metric.

    Raises: UserError when a task lacks a student's chosen checkpoint.
    """
    of_metric = [result for result in results if result.metric == metrics[result.task]]
    compared = [result for result in of_metric if chosen[result.student] == result.checkpoint]
    for student, task in sorted({(r.student, r.task) for r in of_metric} - {(r.student, r.task) for r in compared}, key=str):
        raise UserError(f"report: {chosen[student]} of {student.run} was not evaluated on '{task}'; run evaluate again.")
    return [Measurement(result, shelf.take(result.predictions)) for result in compared]


def name_teachers(results: Iterable[Result], teachers: Iterable[str]) -> list[Result]:
    """Evaluations of a model that wrote the rationales bear its role; not where the students began as that very model, nor where a
    student taught itself.
    """
    results, known = list(results), {place for place in teachers if place}
    bases = {result.student.model for result in results if result.student.run and result.student.run not in known}
    known -= bases | {result.student.run for result in results if result.student.teaches_itself}

    def named(student: Student) -> Student:
        return replace(student, trained_on=TEACHER, seed=None) if student.run in known or student.model in known else student

    return [replace(result, student=named(result.student)) for result in results]


def group(measurements: Sequence[Measurement], baseline: str) -> dict[tuple[str, str], Group]:
    """(student, task) -> what stands side by side, the baseline first; an untrained model joins those made from it, a teacher all."""
    models = {(m.result.student.name, m.result.student.model) for m in measurements if m.trained_on not in REFERENCES}
    groups: dict[tuple[str, str], dict[str, list[Measurement]]] = {}
    for one in sorted(measurements, key=lambda m: (m.trained_on != baseline, m.trained_on in REFERENCES, m.trained_on == TEACHER)):
        student = one.result.student
        for name in _heirs(student, models) or [student.name]:
            same = groups.setdefault((name, one.result.task), {}).setdefault(one.trained_on, [])
            if not any(_is_same(one, other) for other in same):
                same.append(one)
    return dict(groups)


def _heirs(student: Student, models: Iterable[tuple[str, str]]) -> list[str]:
    if student.trained_on == TEACHER:
        return sorted({name for name, _ in models})
    return [name for name, model in sorted(models) if student.trained_on == UNTRAINED and model == student.model]


def _is_same(one: Measurement, other: Measurement) -> bool:
    """Of two runs that both measured the model they began with, one is enough."""
    sides = [(m.result.student.run or m.result.student.model, m.result.checkpoint) for m in (one, other)]
    return sides[0] == sides[1]


def row_of(result: Result) -> dict[str, Any]:
    student = result.student
    return {
        "student": student.name,
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
        "answer_tokens": result.tokens,
        "answer_seconds": result.seconds,
        "encoding": result.encoding,
    }
