"""Show whether it helped, by how much and how surely: report.json and one self-contained report.html."""

from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Annotated, Any, Literal

from teacherlm.errors import UserError
from teacherlm.log import say
from teacherlm.reporting import history, verdict
from teacherlm.reporting.groups import Groups, Measurement, group, read_measurements, row_of
from teacherlm.reporting.measured import Result, choose_checkpoints, read_results
from teacherlm.reporting.scores import CARDS, Score, is_share
from teacherlm.stage import Input, Outcome, Positional, Stage, StageConfig
from teacherlm.store.files import write_json, writing
from teacherlm.store.manifest import require_finished


class ReportConfig(StageConfig):
    input: Annotated[list[Input], Positional()]
    """Folders written by `evaluate`."""
    title: str = "Did it help?"
    """Heading of the page."""
    baseline: str = "text"
    """What the students that the others are compared with were trained on; `text` is the label alone."""
    checkpoint: Literal["last", "best_held_out"] = "last"
    """The checkpoint of each student that is compared; never the best on the test."""
    metric: str = "acc"
    """The metric that is compared, from 0 to 1 per question; all of them stand in report.json."""
    examples: int = 10
    """Questions shown side by side."""


def report(config: ReportConfig) -> Outcome:
    from teacherlm.reporting.page import build_page, render
    from teacherlm.reporting.student_cards import write_cards

    for folder in config.input:
        require_finished(folder)
    results = read_results(config.input)
    chosen = choose_checkpoints(results, config.checkpoint)
    groups = group(read_measurements(results, chosen, config.metric), config.baseline)
    jobs = history.read_jobs(config.input)
    found = find_out(config, results, groups, jobs)
    write_json(config.output / "report.json", found)
    with writing(config.output / "report.html") as file:
        file.write(render(build_page(found, groups, results, jobs, config.examples)).encode())
    write_cards(config.output / CARDS, cards_of(results))
    say(f"{found['answer']} ({config.output / 'report.html'})")
    return Outcome(counts={"in": len(results), "out": len(results)}, facts={"answer": found["answer"]})


def cards_of(results: Sequence[Result]) -> dict[Path, list[Score]]:
    """Of every trained student what its last checkpoint scored; the checkpoint that is compared may be another."""
    last = choose_checkpoints(results, "last")
    found: dict[Path, list[Score]] = {}
    for result in results:
        if result.student.run and result.checkpoint == last[result.student]:
            found.setdefault(Path(result.student.run), []).append(_score(result))
    return found


def _score(result: Result) -> Score:
    from teacherlm.evaluation.statistics import wilson_interval

    low, high = wilson_interval(result.value * result.n, result.n) if is_share(result) else (None, None)
    return Score(result.task, result.metric, result.value, low, high, result.n)


def find_out(config: ReportConfig, results: Sequence[Result], groups: Groups, jobs: Sequence[history.Job]) -> dict[str, Any]:
    """What `report.json` holds."""
    comparisons = compare_all(groups, config.baseline)
    measurements = {
        "rows": [row_of(result) for result in results],
        "students": [describe(label, task, members) for (label, task), found in groups.items() for members in found.values()],
        "comparisons": comparisons,
        "baselines": majorities(groups),
        "overlaps": history.overlaps(jobs),
    }
    return {
        "title": config.title,
        "answer": verdict.answer(comparisons, config.baseline),
        "cautions": verdict.cautions(measurements, config.baseline),
        **measurements,
        "funnel": history.funnels(jobs),
        "timings": history.timings(jobs),
        "settings": config.model_dump(mode="json", exclude={"output", "input"}),
        "versions": history.versions(jobs),
        "commands": history.commands(jobs),
    }


def compare_all(groups: Groups, baseline: str) -> list[dict[str, Any]]:
    """Every student against the baseline of its label and task, on the same questions; p-values also adjusted after Holm."""
    from teacherlm.evaluation.statistics import holm

    pairs = [
        (label, task, found[baseline], members)
        for (label, task), found in groups.items()
        for name, members in found.items()
        if baseline in found and name != baseline
    ]
    rows = [compare_pair(*pair) for pair in pairs]
    return [{**row, "p_adjusted": p} for row, p in zip(rows, holm([row["p_value"] for row in rows]), strict=True)]


def compare_pair(label: str, task: str, before: Sequence[Measurement], after: Sequence[Measurement]) -> dict[str, Any]:
    """Raises: UserError when the two sides have no question in common."""
    from teacherlm.evaluation.statistics import align, compare

    try:
        aligned = align([m.answers.scores for m in before], [m.answers.scores for m in after])
    except ValueError as error:
        raise UserError(f"{after[0].answers.path}: cannot be compared with {before[0].answers.path}: {error}.") from None
    return {
        "student": label,
        "task": task,
        "metric": before[0].answers.metric,
        "baseline": before[0].trained_on,
        "candidate": after[0].trained_on,
        **asdict(compare(aligned)),
        "unmatched": aligned.unmatched,
        "baseline_seeds": [m.result.student.seed for m in before],
        "candidate_seeds": [m.result.student.seed for m in after],
        "task_hashes": sorted({m.result.task_hash for m in [*before, *after]}),
    }


def describe(label: str, task: str, members: Sequence[Measurement]) -> dict[str, Any]:
    """One line of the table of students: the mean over seeds with their spread, and what the training cost."""
    from teacherlm.evaluation.statistics import mean_of, spread_of, wilson_interval

    values = [m.result.value for m in members]
    costs = [history.cost(m.result.student, m.result.checkpoint, m.result.step, history.read_training(m.result.student)) for m in members]
    n = min(len(m.answers.rows) for m in members)
    low, high = wilson_interval(sum(values) / len(values) * n, n)
    return {
        "student": label,
        "task": task,
        "trained_on": members[0].trained_on,
        "seeds": [m.result.student.seed for m in members],
        "template": members[0].result.template,
        "checkpoints": [m.result.checkpoint for m in members],
        "values": values,
        "mean": mean_of(values),
        "spread": spread_of(values),
        "ci_low": low,
        "ci_high": high,
        "n": n,
        "answer_tokens": mean_of([row.tokens for m in members for row in m.answers.rows if row.tokens is not None]),
        "trained_tokens": mean_of([c["trained_tokens"] for c in costs if c["trained_tokens"] is not None]),
        "train_loss": mean_of([c["train_loss"] for c in costs if c["train_loss"] is not None]),
    }


def majorities(groups: Groups) -> list[dict[str, Any]]:
    """Per task with choices, what always giving its most frequent gold answer would score."""
    from teacherlm.evaluation.statistics import majority

    found = {}
    for (_, task), members in groups.items():
        rows = next(iter(members.values()))[0].answers.rows
        if all(row.choices or (len(row.gold) == 1 and row.gold.isalpha()) for row in rows):
            gold, share = majority(row.gold for row in rows)
            found[task] = {"task": task, "name": "majority answer", "answer": gold, "value": share, "n": len(rows)}
    return list(found.values())


STAGE = Stage(report, ReportConfig, version=2)
