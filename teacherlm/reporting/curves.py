"""The charts of a page: differences, loss and score while training, score over the size of the training set, score over words written."""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from markupsafe import Markup

from teacherlm.reporting.charts import Curve, Interval, Mark, draw_curves, draw_forest, draw_marks
from teacherlm.reporting.history import Training, cost, read_training
from teacherlm.reporting.measured import Result, Student, is_reference

Row = Mapping[str, Any]
Lines = dict[str, list[list[tuple[float, float]]]]
"""trained_on -> a line for each seed."""


@dataclass(frozen=True)
class Chart:
    title: str
    names: tuple[str, ...]
    """Series of its legend."""
    svg: Markup


def forests(comparisons: Sequence[Row], colours: Mapping[str, int]) -> Iterator[Chart]:
    """Trained candidates only: an untrained model far behind would squeeze what matters into a corner."""
    trained = [row for row in comparisons if not is_reference(row["candidate"])]
    several = len({row["student"] for row in trained}) > 1
    for task in dict.fromkeys(row["task"] for row in trained):
        rows = [row for row in trained if row["task"] == task]
        intervals = [
            Interval(
                f"{row['candidate']} − {row['baseline']}" + (f", {row['student']}" if several else ""),
                colours.get(row.get("trained_on", row["candidate"]), place),
                row["difference"] * row["scale"],
                row["ci_low"] * row["scale"],
                row["ci_high"] * row["scale"],
            )
            for place, row in enumerate(rows, start=1)
        ]
        title = f"Difference on {task}, with 95% intervals"
        yield Chart(title, (), Markup(draw_forest(intervals, title, "points" if rows[0]["scale"] == 100 else rows[0]["metric"])))


def loss_curves(results: Sequence[Result], colours: Mapping[str, int]) -> Iterator[Chart]:
    for name, students in _by_name(results, colours).items():
        lines: Lines = {}
        runs = [(student, training) for student in students if (training := read_training(student)) and training.losses]
        by_tokens = all(training.tokens[-1] for _, training in runs)
        for student, training in runs:
            xs = training.tokens if by_tokens else training.steps
            lines.setdefault(student.trained_on, []).append(list(zip(map(float, xs), training.losses, strict=True)))
        yield from _chart(f"Training loss, {name}", "tokens trained on" if by_tokens else "step", "loss", lines, colours, False)


def score_curves(
    results: Sequence[Result], metrics: Mapping[str, str], scales: Mapping[str, int], colours: Mapping[str, int]
) -> Iterator[Chart]:
    """Only where several checkpoints of a student were evaluated."""
    trainings = {result.student: read_training(result.student) for result in results if result.student.run}
    for task, metric in metrics.items():
        measured = [result for result in results if (result.task, result.metric) == (task, metric)]
        for name, students in _by_name(measured, colours).items():
            axis, places = _progress([result for result in measured if result.student in students], trainings)
            lines: Lines = {}
            for student in students:
                points = sorted((places[result], result.value) for result in measured if result.student == student)
                if len(points) > 1:
                    lines.setdefault(student.trained_on, []).append(points)
            yield from _chart(f"{metric} on {task}, {name}", axis, metric, lines, colours, scales[task] == 100)


def _progress(results: Sequence[Result], trainings: Mapping[Student, Training | None]) -> tuple[str, dict[Result, float]]:
    """How far each checkpoint is: in epochs where all students have as many, else in tokens where those are known, else in steps."""
    last: dict[Student, float] = {}
    for result in results:
        last[result.student] = max(last.get(result.student, 0.0), result.epoch)
    if len(ends := {round(epoch, 1) for epoch in last.values()}) == 1 and ends != {0.0}:
        return "epoch", {result: result.epoch for result in results}
    tokens = {r: cost(r.student, r.checkpoint, r.step, trainings.get(r.student))["trained_tokens"] for r in results}
    if all(tokens.values()):
        return "tokens trained on", {result: float(count or 0) for result, count in tokens.items()}
    return "step", {result: float(result.step) for result in results}


def size_curves(students: Sequence[Row], colours: Mapping[str, int]) -> Iterator[Chart]:
    """Sample efficiency: only where students of one kind were trained on sets of several sizes."""
    trained = [row for row in students if row["rows"] and not is_reference(row["trained_on"])]
    for task in dict.fromkeys(row["task"] for row in trained):
        for family in dict.fromkeys(row["family"] for row in trained if row["task"] == task):
            rows = [row for row in trained if (row["task"], row["family"]) == (task, family)]
            lines: Lines = {}
            for row in sorted(rows, key=lambda one: float(one["rows"])):
                for seed, value in enumerate(row["values"]):
                    of_seed = lines.setdefault(row["trained_on"], [])
                    of_seed += [[] for _ in range(seed + 1 - len(of_seed))]
                    of_seed[seed].append((float(row["rows"]), value))
            lines = {name: seeds for name, seeds in lines.items() if len({x for seed in seeds for x, _ in seed}) > 1}
            title, metric, percent = (
                f"{rows[0]['metric']} on {task} by size of the training set, {family}",
                rows[0]["metric"],
                rows[0]["scale"] == 100,
            )
            yield from _chart(title, "rows trained on", metric, lines, colours, percent)


def token_marks(students: Sequence[Row], colours: Mapping[str, int]) -> Iterator[Chart]:
    """What an answer costs and what it is worth: only where students write answers of different lengths."""
    for task in dict.fromkeys(row["task"] for row in students):
        rows = [row for row in students if row["task"] == task and row["answer_tokens"]]
        if len({row["trained_on"] for row in rows}) > 1:
            marks = [Mark(colours.get(row["trained_on"], 0), row["answer_tokens"], row["mean"]) for row in rows]
            title = f"{rows[0]['metric']} on {task} over tokens written"
            svg = draw_marks(marks, title, "tokens per answer", rows[0]["metric"], rows[0]["scale"] == 100)
            yield Chart(title, tuple(dict.fromkeys(row["trained_on"] for row in rows)), Markup(svg))


def _chart(
    title: str, x: str, y: str, lines: Mapping[str, Sequence[Sequence[tuple[float, float]]]], colours: Mapping[str, int], percent: bool
) -> Iterator[Chart]:
    if lines:
        curves = [Curve(name, colours[name], seeds) for name, seeds in lines.items()]
        mean = y != "loss"
        yield Chart(title, tuple(lines), Markup(draw_curves(curves, title, x, y, percent, mean)))


def _by_name(results: Iterable[Result], colours: Mapping[str, int]) -> dict[str, list[Student]]:
    """Trained students by name, in the order of their colours."""
    students = dict.fromkeys(result.student for result in results if result.student.run and result.student.trained_on in colours)
    found: dict[str, list[Student]] = {}
    for student in sorted(students, key=lambda one: colours[one.trained_on]):
        if not is_reference(student.trained_on):
            found.setdefault(student.name, []).append(student)
    return found
