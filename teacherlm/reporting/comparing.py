"""Students against each other on the same questions."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict
from typing import Any

import numpy as np

from teacherlm.errors import UserError
from teacherlm.reporting.groups import Groups, Measurement
from teacherlm.reporting.measured import is_reference
from teacherlm.reporting.metrics import more_is_better
from teacherlm.reporting.statistics import Aligned, align, compare, holm

Row = dict[str, Any]
Pair = tuple[str, Sequence[Measurement], Sequence[Measurement]]
"""Label, the seeds of the baseline, the seeds of the candidate."""


def pair_students(groups: Groups, baseline: str) -> list[Pair]:
    """Every student with the baseline of its label and task."""
    return [
        (label, found[baseline], members)
        for (label, _), found in groups.items()
        for name, members in found.items()
        if baseline in found and name != baseline
    ]


def pair_runs(measurements: Iterable[Measurement]) -> list[Pair]:
    """Students that are alike but for the run that made them, each run with the first."""
    alike: dict[tuple[str, ...], dict[str, list[Measurement]]] = {}
    for one in measurements:
        student = one.result.student
        if student.of_run and not is_reference(student.trained_on):
            key = (student.label, student.subsample, student.trained_on, one.result.task)
            alike.setdefault(key, {}).setdefault(student.of_run, []).append(one)
    pairs: list[Pair] = []
    for (label, *_), by_run in alike.items():
        first, *others = by_run.values()
        pairs += [(label, first, other) for other in others]
    return pairs


def compare_students(pairs: Iterable[Pair], scales: Mapping[str, int]) -> list[Row]:
    """P-values also adjusted after Holm. Left out are pairs without a score for each question, metrics of which less is better, and
    pairs of other questions.
    """
    rows = [{**(row := compare_pair(*pair)), "scale": scales[row["task"]]} for pair in pairs if _in_pairs(pair) and not _are_unlike(pair)]
    return [{**row, "p_adjusted": p} for row, p in zip(rows, holm([row["p_value"] for row in rows]), strict=True)]


def compare_runs(pairs: Iterable[Pair], scales: Mapping[str, int]) -> list[Row]:
    """As `compare_students`; both sides bear their run's name."""
    return [
        {
            **row,
            "trained_on": row["candidate"],
            "baseline": _with_run(row["baseline"], row["baseline_run"]),
            "candidate": _with_run(row["candidate"], row["candidate_run"]),
        }
        for row in compare_students(pairs, scales)
    ]


def find_unlike(pairs: Iterable[Pair]) -> list[Row]:
    """{student, task, baseline, candidate} of what cannot be compared because other questions bear the same names."""
    return [
        {"student": label, "task": before[0].result.task, "baseline": _side(before[0]), "candidate": _side(after[0])}
        for label, before, after in pairs
        if _are_unlike((label, before, after))
    ]


def _side(one: Measurement) -> str:
    return _with_run(one.trained_on, one.result.student.of_run)


def _with_run(trained_on: str, run: str) -> str:
    return f"{trained_on} ({run})" if run else trained_on


def _in_pairs(pair: Pair) -> bool:
    members = [*pair[1], *pair[2]]
    return all(one.by_question for one in members) and more_is_better(members[0].result)


def _are_unlike(pair: Pair) -> bool:
    """Whether a question of one side is another of the other side: the task's contents are others, and right answers are as well."""
    before, after = pair[1][0], pair[2][0]
    if before.result.task_hash == after.result.task_hash:
        return False
    known = dict(zip(before.answers.items, before.answers.golds, strict=True))
    golds = [(known[item], gold) for item, gold in zip(after.answers.items, after.answers.golds, strict=True) if item in known]
    return any(one != other for one, other in golds) and not _are_renamed(golds)


def _are_renamed(golds: Sequence[tuple[str, str]]) -> bool:
    """A few labels that bear other words on the other side, such as `yes` and `no`: the questions are the same."""
    labels, ours, theirs = set(golds), {one for one, _ in golds}, {other for _, other in golds}
    return len(labels) == len(ours) == len(theirs) <= len(golds) / 2


def compare_pair(label: str, before: Sequence[Measurement], after: Sequence[Measurement]) -> Row:
    """Raises: UserError when the two sides have no question in common."""
    aligned = align_measurements(before, after)
    first, other = before[0].result, after[0].result
    return {
        "student": label,
        "task": first.task,
        "metric": first.metric,
        "baseline": first.student.trained_on,
        "candidate": other.student.trained_on,
        "baseline_run": first.student.of_run,
        "candidate_run": other.student.of_run,
        **asdict(compare(aligned)),
        "unmatched": aligned.unmatched,
        "baseline_seeds": [m.result.student.seed for m in before],
        "candidate_seeds": [m.result.student.seed for m in after],
        "encodings": sorted({m.result.encoding for m in [*before, *after]}),
        "task_hashes": sorted({m.result.task_hash for m in [*before, *after]}),
    }


def align_measurements(before: Sequence[Measurement], after: Sequence[Measurement]) -> Aligned:
    """Files that hold the same questions in the same order are laid side by side as they are."""
    items = before[0].answers.items
    if all(one.answers.items == items for one in [*before, *after]):
        return Aligned(items, np.array([one.scores for one in before]), np.array([one.scores for one in after]), 0)
    try:
        return align(*([dict(zip(one.answers.items, one.scores.tolist(), strict=True)) for one in side] for side in (before, after)))
    except ValueError as error:
        raise UserError(f"{after[0].answers.path}: cannot be compared with {before[0].answers.path}: {error}.") from None


def scales_of(measurements: Iterable[Measurement]) -> dict[str, int]:
    """Task -> 100 where all values of all students lie from 0 to 1 and are shown as percent; 1 where they are plain numbers."""
    by_task: dict[str, list[Measurement]] = {}
    for one in measurements:
        by_task.setdefault(one.result.task, []).append(one)
    return {task: _scale_of(members) for task, members in by_task.items()}


def _scale_of(members: Sequence[Measurement]) -> int:
    inside = all(0 <= one.result.value <= 1 and (not one.by_question or _within(one)) for one in members)
    return 100 if inside and any(one.by_question for one in members) else 1


def _within(one: Measurement) -> bool:
    return bool(one.scores.min() >= 0 and one.scores.max() <= 1)
