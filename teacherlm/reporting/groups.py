"""What stands side by side: the answers of students that differ only in what they were trained on."""

from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from pathlib import Path
from typing import Any

from teacherlm.errors import UserError
from teacherlm.reporting.measured import TEACHER, UNTRAINED, Result, Student, is_reference
from teacherlm.reporting.predictions import Floats, Predictions, Shelf
from teacherlm.reporting.runs import name_runs


@dataclass(frozen=True)
class Measurement:
    """One student's checkpoint on one task, with its answers."""

    result: Result
    answers: Predictions

    @property
    def trained_on(self) -> str:
        return self.result.student.trained_on

    @cached_property
    def by_question(self) -> bool:
        """Whether each question has a score and the value is their mean, as a comparison in pairs needs it; a correlation has none."""
        return self.answers.has(self.result.metric) and self.answers.is_mean(self.result.metric, self.result.value, self.result.n)

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
    made = {student: place for student in {r.student for r in results} if (place := _written_by(student, known))}
    names = name_runs([Path(place) for place in made.values()])
    roles = {place: TEACHER if len(names) == 1 else f"{TEACHER} {names[Path(place)]}" for place in made.values()}

    def named(student: Student) -> Student:
        return replace(student, trained_on=roles[made[student]], seed=None) if student in made else student

    return [replace(result, student=named(result.student)) for result in results]


def _written_by(student: Student, known: Collection[str]) -> str:
    """The model that wrote, as the configs spell it; "" where this is none."""
    return next((place for place in (student.run, student.model) if place in known), "")


def leave_out_twins(results: Iterable[Result]) -> tuple[list[Result], list[dict[str, Any]]]:
    """Each checkpoint on each task once, and what was left out: of several evaluations the one with most questions, then the first.

    What was measured twice with the same values is no news; what is left out otherwise is {student, trained_on, task, kept, left_out}.
    """
    measured: dict[tuple[Any, ...], dict[Path, list[Result]]] = {}
    for result in results:
        student = result.student
        key = (student.place, student.of_run, result.checkpoint, result.task, result.metric)
        measured.setdefault(key, {}).setdefault(result.predictions, []).append(result)
    kept, again = list[Result](), list[dict[str, Any]]()
    for twins in measured.values():
        shown = max(twins, key=lambda path: max(result.n for result in twins[path]))
        kept += twins[shown]
        values = {path: {(result.metric, result.value, result.task_hash) for result in rows} for path, rows in twins.items()}
        others = [str(path) for path in twins if values[path] != values[shown]]
        if others:
            first = twins[shown][0]
            who = {"student": first.student.name, "trained_on": first.student.trained_on, "task": first.task}
            row = {**who, "kept": str(shown), "left_out": others}
            again += [row] if row not in again else []  # once for all its metrics
    return kept, again


def group(measurements: Sequence[Measurement], baseline: str) -> dict[tuple[str, str], Group]:
    """(student, task) -> what stands side by side, the baseline first; an untrained model joins those made from it, a teacher all; of
    several runs those of its own, where there are any.
    """
    groups: dict[tuple[str, str], dict[str, list[Measurement]]] = {}
    for one in sorted(measurements, key=lambda m: (m.trained_on != baseline, is_reference(m.trained_on), m.trained_on != UNTRAINED)):
        student = one.result.student
        for name in _heirs(one, measurements) or [student.name]:
            groups.setdefault((name, one.result.task), {}).setdefault(one.trained_on, []).append(one)
    return dict(groups)


def _heirs(one: Measurement, measurements: Sequence[Measurement]) -> list[str]:
    """Students that a reference stands beside: those of its run, and of runs that have none of the kind those that it comes first for."""
    if not is_reference(one.trained_on):
        return []
    own = one.result.student
    trained = {m.result.student for m in measurements if not is_reference(m.trained_on)}
    heirs = [student for student in trained if one.trained_on != UNTRAINED or student.model == own.model]
    alike = [m.result.student for m in measurements if (m.trained_on, m.result.task) == (one.trained_on, one.result.task)]
    alike = [student for student in alike if one.trained_on != UNTRAINED or student.model == own.model]
    served = {student.of_run for student in alike}
    return sorted({heir.name for heir in heirs if heir.of_run == own.of_run or (heir.of_run not in served and own == alike[0])})


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
