"""Each task by all its metrics: what is compared is one of them, and some say something else (categories, ROUGE, correlations)."""

from collections.abc import Sequence
from typing import Any

from teacherlm.reporting.groups import Groups
from teacherlm.reporting.measured import Result
from teacherlm.reporting.option_order import METRICS as ROTATED

COPIED = "_of_"
"""`rougeL_of_copy_input`: what an answer that needs no model would score."""


def every_metric(groups: Groups, results: Sequence[Result]) -> list[dict[str, Any]]:
    """Per task with more than one: {task, columns: [{student, trained_on}], rows: [{metric, values}]}, means over the seeds."""
    tables = []
    for task in dict.fromkeys(task for _, task in groups):
        sides = [
            (name, trained_on, members) for (name, other), found in groups.items() if other == task for trained_on, members in found.items()
        ]
        of_side = [{(m.result.student, m.result.checkpoint) for m in members} for *_, members in sides]
        measured = [result for result in results if result.task == task and result.metric not in ROTATED]
        names = [name for name in dict.fromkeys(result.metric for result in measured) if COPIED not in name]
        if len(names) > 1:
            rows = [{"metric": name, "values": [_mean(measured, name, side) for side in of_side]} for name in names]
            columns = [{"student": name, "trained_on": trained_on} for name, trained_on, _ in sides]
            tables.append({"task": task, "columns": columns, "rows": rows})
    return tables


def copied(results: Sequence[Result], task: str, metric: str) -> list[dict[str, Any]]:
    """What copying scores by this metric, where the task says so."""
    found = {r.metric: r for r in results if r.task == task and r.metric.startswith(f"{metric}{COPIED}")}
    return [{"task": task, "name": name.partition(COPIED)[2].replace("_", " "), "value": r.value, "n": r.n} for name, r in found.items()]


def _mean(results: Sequence[Result], metric: str, side: set[Any]) -> float | None:
    values = [r.value for r in results if r.metric == metric and (r.student, r.checkpoint) in side]
    return sum(values) / len(values) if values else None
