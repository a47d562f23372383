"""Show whether it helped, by how much and how surely: report.html, report.md, report.json and results.csv."""

import re
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal

from pydantic import field_validator, model_validator

from teacherlm.log import say
from teacherlm.reporting.measured import Result, choose_checkpoints, read_results
from teacherlm.reporting.metrics import DEFAULT, choose_metrics
from teacherlm.reporting.runs import all_evaluations
from teacherlm.reporting.scores import CARDS, Score
from teacherlm.stage import Input, Outcome, Positional, Stage, StageConfig
from teacherlm.store.files import write_json, writing
from teacherlm.store.manifest import require_finished

if TYPE_CHECKING:
    from teacherlm.reporting.predictions import Shelf


class ReportConfig(StageConfig):
    input: Annotated[list[Input], Positional()]
    """Folders written by `evaluate`, or whole runs, which are compared with each other."""
    title: str = "Did it help?"
    """Heading of the page."""
    baseline: str = "text"
    """What the students that the others are compared with were trained on; `text` is the label alone."""
    checkpoint: Literal["last", "best_held_out"] = "last"
    """The checkpoint of each student that is compared; never the best on the test."""
    metric: str = DEFAULT
    """The metric that is compared; a task without it is shown by its first metric of which more is better. All stand in report.json."""
    examples: int = 10
    """Questions shown side by side."""
    disagreements: int = 20
    """Most questions listed that the best student gained, and as many that it lost, on each task."""

    @model_validator(mode="before")
    @classmethod
    def _named_after_its_inputs(cls, values: Any) -> Any:
        if not isinstance(values, Mapping) or values.get("output") or not values.get("input"):
            return values
        given = values["input"] if isinstance(values["input"], list) else [values["input"]]
        name = "-".join(Path(str(one)).absolute().name for one in given)
        return {**values, "output": Path("reports", re.sub(r"[^\w.+-]+", "_", name)[:120])}

    @field_validator("input")
    @classmethod
    def _evaluations(cls, folders: list[Path]) -> list[Path]:
        return all_evaluations(folders)


def report(config: ReportConfig) -> Outcome:
    from teacherlm.reporting import history
    from teacherlm.reporting.baselines import teachers_of
    from teacherlm.reporting.findings import find_out
    from teacherlm.reporting.groups import group, leave_out_twins, name_teachers, read_measurements
    from teacherlm.reporting.predictions import Shelf
    from teacherlm.reporting.sheet import write_sheet
    from teacherlm.reporting.student_cards import write_cards

    for folder in config.input:
        require_finished(folder)
    shelf, jobs = Shelf(), history.read_jobs(config.input)
    results, again = leave_out_twins(name_teachers(read_results(config.input), teachers_of(jobs)))
    metrics = choose_metrics(results, config.metric)
    measurements = read_measurements(results, choose_checkpoints(results, config.checkpoint), metrics, shelf)
    groups = group(measurements, config.baseline)
    found = find_out(config.model_dump(mode="json", exclude={"output", "input"}), results, again, groups, jobs)
    _write(config, found, groups, results, jobs)
    write_sheet(config.output / "results.csv", results, jobs, frozenset(one.result for one in measurements))
    write_cards(config.output / CARDS, cards_of(results, shelf))
    say(f"{found['answer']} ({config.output / 'report.html'})")
    return Outcome(counts={"in": len(results), "out": len(results)}, facts={"answer": found["answer"]})


def _write(config: ReportConfig, found: dict[str, Any], groups: Any, results: Sequence[Result], jobs: Any) -> None:
    from teacherlm.reporting.disagreements import find_disagreements
    from teacherlm.reporting.markdown import render_markdown
    from teacherlm.reporting.page import build_page, render

    found["disagreements"] = find_disagreements(found, groups, config.disagreements)
    write_json(config.output / "report.json", found)
    with writing(config.output / "report.html") as file:
        file.write(render(build_page(found, groups, results, jobs, config.examples)).encode())
    with writing(config.output / "report.md") as file:
        file.write(render_markdown(found).encode())


def cards_of(results: Sequence[Result], shelf: "Shelf") -> dict[Path, list[Score]]:
    """Of every trained student what its last checkpoint scored; the checkpoint that is compared may be another."""
    last = choose_checkpoints(results, "last")
    found: dict[Path, list[Score]] = {}
    for result in results:
        if result.student.run and result.checkpoint == last[result.student]:
            found.setdefault(Path(result.student.run), []).append(_score(result, shelf))
    return found


def _score(result: Result, shelf: "Shelf") -> Score:
    from teacherlm.reporting.statistics import wilson_interval

    answers = shelf.take(result.predictions)
    share = answers.is_share(result.metric) and answers.is_mean(result.metric, result.value, result.n)
    low, high = wilson_interval(result.value * result.n, result.n) if share else (None, None)
    return Score(result.task, result.metric, result.value, low, high, result.n)


STAGE = Stage(report, ReportConfig, version=2)
