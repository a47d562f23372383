"""Everything a report knows, as `report.json` holds it."""

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from teacherlm.reporting import ablation, baselines, cautions, costs, history, verdict
from teacherlm.reporting.comparing import compare_runs, compare_students, find_unlike, pair_runs, pair_students, scales_of
from teacherlm.reporting.every_metric import copied, every_metric
from teacherlm.reporting.groups import Groups, Measurement, row_of
from teacherlm.reporting.history import Job
from teacherlm.reporting.measured import Result, is_reference
from teacherlm.reporting.metrics import more_is_better
from teacherlm.reporting.option_order import option_order

Row = dict[str, Any]


def find_out(settings: Mapping[str, Any], results: Sequence[Result], again: Sequence[Row], groups: Groups, jobs: Sequence[Job]) -> Row:
    """`settings` are those of the report; `again` is what was left out because it was measured more than once."""
    baseline, distinct = settings["baseline"], _distinct(groups)
    scales = scales_of(distinct)
    pairs, run_pairs = pair_students(groups, baseline), pair_runs(distinct)
    comparisons, runs = compare_students(pairs, scales), compare_runs(run_pairs, scales)
    students = _students(groups, jobs, scales)
    metrics = {task: next(iter(found.values()))[0].result.metric for (_, task), found in groups.items()}
    measurements: Row = {
        "rows": [row_of(result) for result in results],
        "students": students,
        "comparisons": comparisons,
        "runs": runs,
        "baselines": [{**row, "scale": scales[row["task"]]} for row in _baselines(groups, jobs, results, metrics)],
        "overlaps": history.overlaps(jobs),
        "left_out": list(again),
        "unlike": find_unlike([*pairs, *run_pairs]),
        "metrics": metrics,
    }
    return {
        "title": settings["title"],
        "answer": verdict.answer(comparisons or runs, baseline, _sides(students)),
        "cautions": cautions.find_cautions(measurements, baseline),
        **measurements,
        "every_metric": every_metric(groups, results),
        "option_order": option_order(groups, results),
        "ablation": ablation.table(students, comparisons, baseline),
        "teachers": costs.teacher_costs(jobs),
        "funnel": history.funnels(jobs),
        "timings": history.timings(jobs),
        "settings": dict(settings),
        "versions": history.versions(jobs),
        "commands": history.commands(jobs),
    }


def _sides(students: Sequence[Row]) -> list[str]:
    return list(dict.fromkeys(row["trained_on"] for row in students if not is_reference(row["trained_on"])))


def _distinct(groups: Groups) -> list[Measurement]:
    return list({id(one): one for found in groups.values() for members in found.values() for one in members}.values())


def _baselines(groups: Groups, jobs: Sequence[Job], results: Sequence[Result], metrics: Mapping[str, str]) -> list[Row]:
    """What copying scores may stand beside every answer, among the task's values, or in both places."""
    found = baselines.find_baselines(groups, jobs)
    known = {(row["task"], row["name"]) for row in found}
    return [*found, *(row for one in metrics.items() for row in copied(results, *one) if (row["task"], row["name"]) not in known)]


def _students(groups: Groups, jobs: Sequence[Job], scales: Mapping[str, int]) -> list[Row]:
    by_path = {str(job.path): job for job in jobs}
    trainings = {m.result.student.run: history.read_training(m.result.student) for m in _distinct(groups)}
    return [
        {**(row := describe(name, task, members, scales[task])), **costs.cost_of(members, by_path, row["mean"] * row["scale"], trainings)}
        for (name, task), found in groups.items()
        for members in found.values()
    ]


def describe(name: str, task: str, members: Sequence[Measurement], scale: int) -> Row:
    """One line of the table of students: the mean over seeds with their spread, its standard error and interval."""
    from teacherlm.reporting.statistics import mean_of, spread_of

    values, first = [m.result.value for m in members], members[0].result
    mean = sum(values) / len(values)
    stderr, low, high = _uncertainty(members, mean)
    return {
        "student": name,
        "task": task,
        "metric": first.metric,
        "scale": scale,
        "by_question": all(m.by_question for m in members),
        "more_is_better": more_is_better(first),
        "trained_on": members[0].trained_on,
        "family": first.student.family,
        "subsample": first.student.subsample,
        "rows": first.student.rows,
        "seeds": [m.result.student.seed for m in members],
        "template": first.template,
        "encoding": first.encoding,
        "checkpoints": [m.result.checkpoint for m in members],
        "values": values,
        "mean": mean_of(values),
        "spread": spread_of(values),
        "stderr": stderr,
        "ci_low": low,
        "ci_high": high,
        "n": min(len(m.answers.items) for m in members),
    }


def _uncertainty(members: Sequence[Measurement], mean: float) -> tuple[float | None, float | None, float | None]:
    """Standard error and 95% interval over questions: Wilson's for rights and wrongs, else the mean plus or minus 1.96 standard errors.

    A value that stands over all questions at once has the standard error that lm-eval gave it, or none.
    """
    from teacherlm.reporting.statistics import Z, wilson_interval

    if not all(m.by_question for m in members):
        known = [m.result.stderr for m in members]
        stderr = None if None in known else float(np.mean(np.array(known, dtype=float)))
        return (None, None, None) if stderr is None else (stderr, mean - Z * stderr, mean + Z * stderr)
    sizes = {m.answers.items for m in members}
    scores = np.mean([m.scores for m in members], axis=0) if len(sizes) == 1 else members[0].scores
    stderr = float(scores.std(ddof=1) / scores.size**0.5) if scores.size > 1 else None
    if all(np.isin(m.scores, (0.0, 1.0)).all() for m in members):
        n = min(len(m.answers.items) for m in members)
        return stderr, *wilson_interval(mean * n, n)
    return (stderr, None, None) if stderr is None else (stderr, mean - Z * stderr, mean + Z * stderr)
