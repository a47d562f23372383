"""The page: one file that opens anywhere without a network, where text written by models is data and never markup."""

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from jinja2 import Environment, FileSystemLoader, StrictUndefined

from teacherlm.reporting import curves, examples, metrics, verdict
from teacherlm.reporting.charts import SERIES, short_number
from teacherlm.reporting.curves import Chart
from teacherlm.reporting.examples import Example, Taught
from teacherlm.reporting.groups import Group, Groups
from teacherlm.reporting.history import Job
from teacherlm.reporting.measured import Result, is_reference

HERE = Path(__file__).parent
TAUGHT = 3
Row = Mapping[str, Any]


@dataclass(frozen=True)
class Page:
    report: Row
    """What stands in `report.json`."""
    headline: Row | None
    colours: Mapping[str, int]
    """trained_on -> number of its colour; the same everywhere on the page."""
    forests: Sequence[Chart]
    """One per task."""
    run_forests: Sequence[Chart]
    curves: Sequence[Chart]
    sizes: Sequence[Chart]
    """Score over the size of the training set."""
    marks: Sequence[Chart]
    """Score over the tokens of an answer."""
    outcomes: Mapping[str, int]
    """How many questions the headline's candidate gained, lost, ... beside the baseline (first seeds)."""
    examples: Sequence[Example]
    kept: Sequence[Taught]
    rejected: Sequence[Taught]


def build_page(report: Row, groups: Groups, results: Sequence[Result], jobs: Sequence[Job], count: int) -> Page:
    """Everything on the page besides the report's own numbers: charts, and `count` examples side by side."""
    names = list(dict.fromkeys(name for found in groups.values() for name in found))
    colours = {name: SERIES - 1 if is_reference(name) else place for place, name in enumerate(names)}
    headline = verdict.headline(report["comparisons"])
    shown = groups[(headline["student"], headline["task"])] if headline else next(iter(groups.values()))
    outcomes = _outcomes(shown, headline)
    drawn = examples.draw_items(outcomes, count)
    rationales = examples.find_rationales(jobs, [item for _, item in drawn])
    kept, rejected = examples.read_taught(jobs, [name for name in names if name != "all"], TAUGHT)
    students = report["students"]
    scales = {row["task"]: row["scale"] for row in students}
    return Page(
        report=report,
        headline=headline,
        colours=colours,
        forests=list(curves.forests(report["comparisons"], colours)),
        run_forests=list(curves.forests(report["runs"], colours)),
        curves=[*curves.loss_curves(results, colours), *curves.score_curves(results, report["metrics"], scales, colours)],
        sizes=list(curves.size_curves(students, colours)),
        marks=list(curves.token_marks(students, colours)),
        outcomes={outcome: len(items) for outcome, items in outcomes.items()},
        examples=examples.build_examples(drawn, {name: members[0] for name, members in shown.items()}, rationales),
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
        score=metrics.shown,
        signed=metrics.difference,
        ends=lambda row: metrics.ends(row["ci_low"], row["ci_high"], row["scale"]),
        short=short_number,
        whole=lambda number: f"{number:,}",
        p_value=lambda p: "< 0.001" if p < 0.001 else f"{p:.3f}",
        duration=duration,
        colour=lambda name: f"var(--s{page.colours.get(name, 0) % SERIES})",
        flat=flatten,
        one_line=one_line,
        ending=ending,
        unique=lambda values: list(dict.fromkeys(values)),
    )
    values = {"page": page, "report": page.report, "is_shown": verdict.is_shown, "stages": by_stage(page.report)}
    return environment.get_template("page.html").render(values)


def one_line(text: str) -> str:
    return re.sub(r"\s+", " ", text).strip()


def ending(prompt: str, length: int) -> str:
    """In one line, the end where it is too long: the question stands behind its shots."""
    line = one_line(prompt)
    return line if len(line) <= length else f"... {line[-length:].lstrip()}"


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
    """Without an answer, or a score for each question, nothing is gained or lost: the first student stands for itself."""
    sides = [shown[headline[side]][0] for side in ("baseline", "candidate")] if headline else [next(iter(shown.values()))[0]] * 2
    if not all(one.by_question for one in sides):
        return {examples.OUTCOMES[-1]: sides[0].answers.items}
    return examples.count_outcomes(*sides)
