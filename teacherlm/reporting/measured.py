"""What was measured, and on whom: the rows of `evaluate` outputs joined with the jobs that made the students."""

import math
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import Any, Literal

from teacherlm.errors import UserError
from teacherlm.store.files import read_json, read_jsonl
from teacherlm.store.manifest import Manifest, read_manifest

UNTRAINED = "untrained"
CheckpointChoice = Literal["last", "best_held_out"]


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


@dataclass(frozen=True)
class Prediction:
    """One question as one checkpoint answered it."""

    item: str
    prompt: str
    gold: str
    answer: str
    """What was understood as its answer; "" when nothing was."""
    output: str
    correct: Mapping[str, float]
    """Metric -> score, from 0 to 1."""
    tokens: int | None = None
    choices: tuple[str, ...] = ()


@dataclass(frozen=True)
class Predictions:
    """The answers of one checkpoint on one task, each file read once."""

    path: Path
    metric: str
    rows: tuple[Prediction, ...] = field(repr=False)

    @cached_property
    def scores(self) -> dict[str, float]:
        """Question -> score of the metric."""
        return {row.item: row.correct[self.metric] for row in self.rows}

    @cached_property
    def by_item(self) -> dict[str, Prediction]:
        return {row.item: row for row in self.rows}


def read_results(folders: Iterable[Path]) -> list[Result]:
    """Every row of `results.jsonl` of these `evaluate` outputs.

    Raises: UserError for a row that lacks a key, and for two different runs that would be the same student and seed.
    """
    found: list[Result] = []
    runs: dict[tuple[str, str, int | None], tuple[str, Path]] = {}
    for folder in folders:
        student = find_student(folder)
        name = (student.label, student.trained_on, student.seed)
        other, where = runs.setdefault(name, (student.run or student.model, folder))
        if other != (student.run or student.model):
            who = f"student '{student.label}' trained on '{student.trained_on}' with seed {student.seed}"
            raise UserError(f"{where} and {folder} are both {who}; label them apart with an axis `student` in the pipeline's matrix.")
        found += _read_rows(folder, student)
    return found


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
    return Student(_short(source), UNTRAINED, None, source)


def _trained(run: Path, manifest: Manifest) -> Student:
    config, entry = manifest.config, manifest.entry
    model = str(config.get("model") or "")
    others = [label for axis, label in entry.items() if axis not in ("student", "train_on", "seed", "round")]
    label = " ".join([entry["student"], *others] if "student" in entry else others) or _short(model)
    trained_on = entry.get("train_on") or str(config.get("train_on"))
    if "round" in entry:  # the rounds of a pipeline stand side by side, each a column beside what the student began as
        trained_on += f", round {entry['round']}"
    return Student(label, trained_on, config.get("seed"), model, str(run))


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
    shots = f" ({row['shots']}-shot)" if row.get("shots") else ""
    scale = float(row.get("scale", 1))
    return Result(
        student=student,
        checkpoint=Path(str(row["checkpoint"])).name,
        step=int(row.get("step") or 0),
        epoch=float(row.get("epoch") or 0.0),
        task=f"{row['task']}{shots}",
        metric=str(row["metric"]),
        value=float(row["value"]) / scale,
        stderr=None if row.get("stderr") is None else float(row["stderr"]) / scale,
        n=int(row["n"]),
        task_hash=str(row.get("task_hash") or ""),
        template=str(row.get("template") or ""),
        predictions=folder / str(row["predictions"]),
    )


def read_predictions(path: Path, metric: str) -> Predictions:
    """Raises: UserError naming file and line for a row without item, gold or a score, or an item that comes twice."""
    rows, seen = [], set()
    for number, row in read_jsonl(path):
        try:
            prediction = _prediction(row)
            score = prediction.correct[metric]
        except KeyError as missing:
            raise UserError(f"{path}:{number}: key {missing} is missing (found: {', '.join(row)}).") from None
        if not 0 <= score <= 1:
            raise UserError(f"{path}:{number}: the score '{metric}' of item '{prediction.item}' is {score}; it must be from 0 to 1.")
        if prediction.item in seen:
            raise UserError(f"{path}:{number}: item '{prediction.item}' comes twice; items must be unique to be compared.")
        seen.add(prediction.item)
        rows.append(prediction)
    return Predictions(path, metric, tuple(rows))


def _prediction(row: Mapping[str, Any]) -> Prediction:
    return Prediction(
        item=str(row["item"]),
        prompt=str(row["prompt"]),
        gold=str(row["gold"]),
        answer="" if row.get("answer") is None else str(row["answer"]),
        output=_shown(row.get("output")),
        correct={metric: math.nan if score is None else float(score) for metric, score in row["correct"].items()},
        tokens=row.get("tokens"),
        choices=tuple(row.get("choices") or ()),
    )


def _shown(output: Any) -> str:
    """What a model wrote, or the log-likelihoods it gave to the choices, as one text."""
    if isinstance(output, list) and output and all(isinstance(value, float) for value in output):
        return "log-likelihood of each choice: " + ", ".join(f"{value:.2f}" for value in output)
    return "\n".join(map(str, output)) if isinstance(output, list) else str(output or "")


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
