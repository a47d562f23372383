"""What was measured, and on whom: the rows of `evaluate` outputs joined with the jobs that made the students."""

import os
from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from itertools import combinations
from pathlib import Path
from typing import Any, Literal

from teacherlm.errors import UserError
from teacherlm.reporting.runs import name_runs, run_of
from teacherlm.shots import with_shots
from teacherlm.store.files import read_json, read_jsonl
from teacherlm.store.manifest import Manifest, read_manifest

UNTRAINED = "untrained"
TEACHER = "teacher"
LABELLED = ("student", "train_on", "seed", "round", "subsample")
"""Axes of a matrix that have a place of their own; every other one is a part of the label."""
CheckpointChoice = Literal["last", "best_held_out"]


def is_reference(trained_on: str) -> bool:
    """Untrained models and teachers stand beside the students and are never the answer."""
    return trained_on in (UNTRAINED, TEACHER) or trained_on.startswith(f"{TEACHER} ")


@dataclass(frozen=True)
class Student:
    """One model as it was made: several checkpoints of a run are one student, several seeds are several."""

    label: str
    """The matrix label `student`, with the labels of any other axis; else the name of the model it started from."""
    trained_on: str
    """The column; in rounds with the round: `cot_head, round 2`."""
    seed: int | None
    model: str
    """What it started from; "" when it was trained from scratch."""
    run: str = ""
    """Its `finetune` output; "" when untrained."""
    subsample: str = ""
    """The share or number of rows it was trained on, as the matrix labels it; "" for all."""
    rows: int | None = None
    """Rows it was trained on."""
    of_run: str = ""
    """The run that made it, where its label alone would be that of another run's student as well."""

    teaches_itself: bool = False
    """Made in a round of a pipeline: it may have taught the next one, and is a student all the same."""

    @property
    def name(self) -> str:
        """Its label, with the size of its training set and its run where students differ by them."""
        size = f" · {self.subsample}" if self.subsample else ""
        return f"{self.label}{size}" + (f" · {self.of_run}" if self.of_run else "")

    @property
    def place(self) -> str:
        """Which model it is, however its folder is spelled."""
        return os.path.abspath(self.run) if self.run else self.model

    @property
    def family(self) -> str:
        """Its name whatever the size of its training set."""
        return replace(self, subsample="").name


@dataclass(frozen=True)
class Result:
    """One value: a student's checkpoint on one metric of one task."""

    student: Student
    checkpoint: str
    step: int
    epoch: float
    task: str
    """With the number of shots where there are any: the same task with and without them is two measurements."""
    metric: str
    value: float
    """A fraction, also of a metric that is measured in percent."""
    stderr: float | None
    n: int
    task_hash: str
    template: str
    predictions: Path
    tokens: int | None = None
    """Tokens written for all questions; 0 where letters were weighed."""
    seconds: float | None = None
    higher_is_better: bool | None = None
    """As the task says; None where it does not."""
    encoding: str = ""
    """How questions and the answers weighed behind them became tokens; "" where nobody noted it, or none were weighed."""


def read_results(folders: Sequence[Path]) -> list[Result]:
    """Every row of `results.jsonl` of these `evaluate` outputs. Students of several runs that would be one bear their run's name, those
    of one run that of their training.

    Raises: UserError for a row that lacks a key.
    """
    students = _runs_told_apart(_trainings_told_apart(_models_told_apart({folder: find_student(folder) for folder in folders})))
    return [row for folder, student in students.items() for row in _read_rows(folder, student)]


def _models_told_apart(students: Mapping[Path, Student]) -> dict[Path, Student]:
    """Untrained models of one name are called by as much of their path as tells them apart."""
    named: dict[str, list[Path]] = {}
    for student in students.values():
        if student.trained_on == UNTRAINED:
            named.setdefault(student.label, []).append(Path(student.model))
    names = {str(path): name for paths in named.values() if len(set(paths)) > 1 for path, name in name_runs(paths).items()}
    return {
        folder: replace(student, label=names.get(student.model, student.label)) if student.trained_on == UNTRAINED else student
        for folder, student in students.items()
    }


def _trainings_told_apart(students: Mapping[Path, Student]) -> dict[Path, Student]:
    """Where trainings of one run would be the same student and seed, `trained_on` says whose step or output each is."""
    same: dict[tuple[Path, str, str, int | None], list[Student]] = {}
    for folder, student in students.items():
        if student.run:
            same.setdefault((run_of(folder), *_identity(student), student.seed), []).append(student)
    clashing = {key[:3]: several for key, several in same.items() if len({one.place for one in several}) > 1}
    by_step = {key: len({_step_of(one) for one in several}) == len({one.place for one in several}) for key, several in clashing.items()}
    places = {
        folder: _step_of(student) if by_step[key] else Path(student.place)
        for folder, student in students.items()
        if (key := (run_of(folder), *_identity(student))) in clashing
    }
    names = name_runs(list(places.values()))
    return {
        folder: replace(student, trained_on=f"{student.trained_on} ({names[places[folder]]})") if folder in places else student
        for folder, student in students.items()
    }


def _step_of(student: Student) -> Path:
    """The training's output; that of its step where a matrix made several."""
    manifest, run = read_manifest(Path(student.run)), Path(student.place)
    return run.parent if manifest is not None and manifest.entry else run


def _runs_told_apart(students: Mapping[Path, Student]) -> dict[Path, Student]:
    """Where labels clash between runs, all students of these runs get the run's name: each is compared within its run."""
    made: dict[tuple[str, str], dict[Path, set[Student]]] = {}
    sides: dict[tuple[Path, str], set[str]] = {}
    for folder, student in students.items():
        if student.run:
            made.setdefault(_identity(student), {}).setdefault(run_of(folder), set()).add(student)
            sides.setdefault((run_of(folder), student.name), set()).add(student.trained_on)
    clashing = set[Path]()
    for (name, _), by_run in made.items():
        for one, other in combinations(by_run, 2):
            both_compare = len(sides[one, name]) > 1 and len(sides[other, name]) > 1
            if _are_others(by_run[one], by_run[other], both_compare):
                clashing |= {one, other}
    names = name_runs([run for run in map(run_of, students) if run in clashing])
    return {
        folder: replace(student, of_run=names[run]) if (run := run_of(folder)) in clashing else student
        for folder, student in students.items()
    }


def _are_others(one: Collection[Student], other: Collection[Student], both_compare: bool) -> bool:
    """Students of two runs that bear one name. With other seeds they are seeds of one, unless each run has something to compare."""
    if {student.place for student in one} & {student.place for student in other}:
        return False
    return both_compare or bool({student.seed for student in one} & {student.seed for student in other})


def _identity(student: Student) -> tuple[str, str]:
    return student.name, student.trained_on


def find_student(folder: Path) -> Student:
    """The student behind an `evaluate` output.

    Raises: UserError when the folder is no `evaluate` output.
    """
    manifest = read_manifest(folder)
    if manifest is None or not (folder / "results.jsonl").is_file():
        raise UserError(f"{folder}: not an output of evaluate (it needs manifest.json and results.jsonl).")
    source = str(manifest.config.get("input") or next(iter(manifest.inputs), ""))
    for path in (Path(source), Path(source).parent):  # evaluate may have been given one checkpoint of a run
        trained = read_manifest(path)
        if trained is not None and trained.stage == "finetune":
            return _trained(path, trained)
    return Student(manifest.entry.get("student") or _short(source), UNTRAINED, None, source)


def _trained(run: Path, manifest: Manifest) -> Student:
    config, entry = manifest.config, manifest.entry
    model = str(config.get("model") or "")
    others = [label for axis, label in entry.items() if axis not in LABELLED]
    label = " ".join([entry["student"], *others] if "student" in entry else others) or _short(model)
    trained_on = entry.get("train_on") or str(config.get("train_on"))
    if "round" in entry:  # the rounds of a pipeline stand side by side, each a column beside what the student began as
        trained_on += f", round {entry['round']}"
    subsample = entry.get("subsample") or _part(config.get("subsample"))
    rows = manifest.counts.get("trained") or manifest.counts.get("out")
    return Student(label, trained_on, config.get("seed"), model, str(run), subsample, rows, teaches_itself="round" in entry)


def _part(subsample: Any) -> str:
    """As the config has it; "" where it takes all rows."""
    return "" if subsample in (None, "", "all", "100%") else str(subsample)


def _short(model: str) -> str:
    return Path(model).name if model else "from scratch"


def _read_rows(folder: Path, student: Student) -> Iterator[Result]:
    path = folder / "results.jsonl"
    for number, row in read_jsonl(path):
        try:
            result = _result(folder, student, row)
        except KeyError as missing:
            raise UserError(f"{path}:{number}: key {missing} is missing (found: {', '.join(row)}).") from None
        if student.trained_on == UNTRAINED and result.checkpoint.startswith("checkpoint-"):
            raise UserError(f"{path}:{number}: the run behind {result.checkpoint} is not at {student.model}; start the report where it is.")
        yield result


def _result(folder: Path, student: Student, row: Mapping[str, Any]) -> Result:
    scale = float(row.get("scale", 1))  # 100 for what a task gives in percent; here all shares are fractions
    return Result(
        student=student,
        checkpoint=Path(str(row["checkpoint"])).name,
        step=int(row.get("step") or 0),
        epoch=float(row.get("epoch") or 0.0),
        task=with_shots(str(row["task"]), row.get("shots")),
        metric=str(row["metric"]),
        value=float(row["value"]) / scale,
        stderr=None if row.get("stderr") is None else float(row["stderr"]) / scale,
        n=int(row["n"]),
        task_hash=str(row.get("task_hash") or ""),
        template=str(row.get("template") or ""),
        predictions=folder / str(row["predictions"]),
        tokens=row.get("tokens"),
        seconds=row.get("seconds"),
        higher_is_better=row.get("higher_is_better"),
        encoding=str(row.get("encoding") or ""),
    )


def choose_checkpoints(results: Iterable[Result], how: CheckpointChoice) -> dict[Student, str]:
    """The checkpoint each student is compared by: its last one, or the one with the lowest loss on held-out training rows.

    Never the best on the test. Raises: UserError when `best_held_out` is asked of a run that held nothing out.
    """
    steps: dict[Student, dict[str, int]] = {}
    for result in results:
        steps.setdefault(result.student, {})[result.checkpoint] = result.step
    if how == "last":
        return {student: max(found, key=lambda name: found[name]) for student, found in steps.items()}
    return {student: min(found, key=lambda name: (_held_out_loss(student, name), found[name])) for student, found in steps.items()}


def _held_out_loss(student: Student, checkpoint: str) -> float:
    if not student.run:
        return 0.0
    loss = checkpoint_facts(student, checkpoint).get("held_out_loss")
    if loss is None:
        where = Path(student.run) / checkpoint
        raise UserError(f"{where}: has no held_out_loss; hold rows out in finetune, or compare with `checkpoint: last`.")
    return float(loss)


def checkpoint_facts(student: Student, checkpoint: str) -> Mapping[str, Any]:
    """What finetune sealed into the checkpoint; nothing where its folder was removed after the evaluation."""
    seal = Path(student.run) / checkpoint / "complete.json"
    facts: Mapping[str, Any] = read_json(seal)["facts"] if student.run and seal.is_file() else {}
    return facts
