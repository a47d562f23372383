"""The page: one file that opens anywhere without a network, where text written by models is data and never markup."""

import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from jinja2 import Environment, FileSystemLoader, StrictUndefined
from markupsafe import Markup

from teacherlm.reporting import examples, verdict
from teacherlm.reporting.charts import SERIES, Curve, Interval, draw_curves, draw_forest, short_number
from teacherlm.reporting.examples import Example, Taught
from teacherlm.reporting.groups import Group, Groups
from teacherlm.reporting.history import Job, read_training
from teacherlm.reporting.measured import UNTRAINED, Result, Student

HERE = Path(__file__).parent
TAUGHT = 3
Row = Mapping[str, Any]


@dataclass(frozen=True)
class Chart:
    title: str
    names: tuple[str, ...]
    """Series of its legend."""
    svg: Markup


@dataclass(frozen=True)
class Page:
    report: Row
    """What stands in `report.json`."""
    headline: Row | None
    colours: Mapping[str, int]
    """trained_on -> number of its colour; the same everywhere on the page."""
    forests: Sequence[Chart]
    """One per task."""
    curves: Sequence[Chart]
    outcomes: Mapping[str, int]
    """How many questions the headline's candidate gained, lost, ... beside the baseline (first seeds)."""
    examples: Sequence[Example]
    kept: Sequence[Taught]
    rejected: Sequence[Taught]


def build_page(report: Row, groups: Groups, results: Sequence[Result], jobs: Sequence[Job], count: int) -> Page:
    """Everything on the page besides the report's own numbers: charts, and `count` examples side by side."""
    names = list(dict.fromkeys(name for found in groups.values() for name in found))
    colours = {name: SERIES - 1 if name == UNTRAINED else place for place, name in enumerate(names)}
    headline = verdict.headline(report["comparisons"])
    shown = groups[(headline["student"], headline["task"])] if headline else next(iter(groups.values()))
    outcomes = _outcomes(shown, headline)
    drawn = examples.draw_items(outcomes, count)
    rationales = examples.find_rationales(jobs, [item for _, item in drawn])
    answers = {name: members[0].answers for name, members in shown.items()}
    kept, rejected = examples.read_taught(jobs, [name for name in names if name != "all"], TAUGHT)
    return Page(
        report=report,
        headline=headline,
        colours=colours,
        forests=list(_forests(report["comparisons"], colours)),
        curves=[*_loss_curves(results, colours), *_score_curves(results, report["settings"]["metric"], colours)],
        outcomes={outcome: len(items) for outcome, items in outcomes.items()},
        examples=examples.build_examples(drawn, answers, rationales),
        kept=kept,
        rejected=rejected,
    )


def render(page: Page) -> str:
    """The whole file. Jinja escapes every value; only our own drawings are let through."""
    environment = Environment(
        loader=FileSystemLoader(HERE), autoescape=True, undefined=StrictUndefined, trim_blocks=True, lstrip_blocks=True
    )
    environment.filters.update(
        points=lambda share: f"{100 * share:.1f}",
        signed=lambda share: f"{100 * share:+.1f}".replace("-", "−"),
        ends=lambda row: " to ".join(verdict.interval(row["ci_low"], row["ci_high"])).replace("-", "−"),
        short=short_number,
        whole=lambda number: f"{number:,}",
        p_value=lambda p: "< 0.001" if p < 0.001 else f"{p:.3f}",
        duration=duration,
        colour=lambda name: f"var(--s{page.colours.get(name, 0) % SERIES})",
        flat=flatten,
        one_line=lambda text: re.sub(r"\s+", " ", text).strip(),
        unique=lambda values: list(dict.fromkeys(values)),
    )
    values = {"page": page, "report": page.report, "is_shown": verdict.is_shown, "stages": by_stage(page.report)}
    return environment.get_template("page.html").render(values)


def duration(seconds: float) -> str:
    """8.4 -> 8.4 s, 75 -> 1 min 15 s, 7300 -> 2 h 2 min."""
    if seconds < 60:
        return f"{seconds:.1f} s"
    minutes, rest = divmod(round(seconds), 60)
    hours, left = divmod(minutes, 60)
    return f"{hours} h {left} min" if hours else f"{minutes} min {rest} s"


def flatten(funnel: Mapping[str, Any]) -> list[tuple[str, int, bool]]:
    """(name, rows, is it a part of the step above) of a funnel, in its order."""
    lines: list[tuple[str, int, bool]] = []
    for name, value in funnel.items():
        if isinstance(value, Mapping):
            lines += [(f"{name}: {part}", count, True) for part, count in value.items()]
        else:
            lines.append((name, value, False))
    return lines


def by_stage(report: Row) -> list[dict[str, Any]]:
    """Jobs and seconds of each stage, in the order of the chain."""
    found: dict[str, dict[str, Any]] = {}
    for row in report["timings"]:
        stage = found.setdefault(row["stage"], {"stage": row["stage"], "jobs": 0, "seconds": 0.0})
        stage["jobs"] += 1
        stage["seconds"] += row["seconds"]
    return list(found.values())


def _outcomes(shown: Group, headline: Row | None) -> Mapping[str, Sequence[str]]:
    if headline is None:
        first = next(iter(shown.values()))[0].answers
        return examples.count_outcomes(first, first)
    return examples.count_outcomes(shown[headline["baseline"]][0].answers, shown[headline["candidate"]][0].answers)


def _forests(comparisons: Sequence[Row], colours: Mapping[str, int]) -> Iterator[Chart]:
    """Trained candidates only: an untrained model far behind would squeeze what matters into a corner."""
    trained = [row for row in comparisons if row["candidate"] != UNTRAINED]
    several = len({row["student"] for row in trained}) > 1
    for task in dict.fromkeys(row["task"] for row in trained):
        intervals = [
            Interval(
                f"{row['candidate']} − {row['baseline']}" + (f", {row['student']}" if several else ""),
                colours[row["candidate"]],
                row["difference"],
                row["ci_low"],
                row["ci_high"],
            )
            for row in trained
            if row["task"] == task
        ]
        title = f"Difference on {task}, with 95% intervals"
        yield Chart(title, (), Markup(draw_forest(intervals, title, "points")))


def _loss_curves(results: Sequence[Result], colours: Mapping[str, int]) -> Iterator[Chart]:
    for label, students in _by_label(results, colours).items():
        lines: dict[str, list[list[tuple[float, float]]]] = {}
        runs = [(student, training) for student in students if (training := read_training(student)) and training.losses]
        by_tokens = all(training.tokens[-1] for _, training in runs)
        for student, training in runs:
            xs = training.tokens if by_tokens else training.steps
            lines.setdefault(student.trained_on, []).append(list(zip(map(float, xs), training.losses, strict=True)))
        yield from _chart(f"Training loss, {label}", "tokens trained on" if by_tokens else "step", "loss", lines, colours, False)


def _score_curves(results: Sequence[Result], metric: str, colours: Mapping[str, int]) -> Iterator[Chart]:
    """Only where several checkpoints of a student were evaluated."""
    of_metric = [result for result in results if result.metric == metric]
    for task in dict.fromkeys(result.task for result in of_metric):
        for label, students in _by_label(of_metric, colours).items():
            lines: dict[str, list[list[tuple[float, float]]]] = {}
            for student in students:
                points = sorted((float(r.step), r.value) for r in of_metric if (r.student, r.task) == (student, task))
                if len(points) > 1:
                    lines.setdefault(student.trained_on, []).append(points)
            yield from _chart(f"{metric} on {task}, {label}", "step", metric, lines, colours, True)


def _chart(
    title: str, x: str, y: str, lines: Mapping[str, Sequence[Sequence[tuple[float, float]]]], colours: Mapping[str, int], percent: bool
) -> Iterator[Chart]:
    if lines:
        curves = [Curve(name, colours[name], seeds) for name, seeds in lines.items()]
        yield Chart(title, tuple(lines), Markup(draw_curves(curves, title, x, y, percent)))


def _by_label(results: Iterable[Result], colours: Mapping[str, int]) -> dict[str, list[Student]]:
    """Trained students by label, in the order of their colours."""
    students = dict.fromkeys(result.student for result in results if result.student.run and result.student.trained_on in colours)
    found: dict[str, list[Student]] = {}
    for student in sorted(students, key=lambda one: colours[one.trained_on]):
        found.setdefault(student.label, []).append(student)
    return found
