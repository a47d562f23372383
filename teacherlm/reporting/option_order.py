"""Does a student choose an option, or a place in the list? What `evaluate --permute-options` measured, beside the plain accuracy."""

from collections.abc import Sequence
from typing import Any

from teacherlm.reporting.groups import Groups, Measurement
from teacherlm.reporting.measured import Result, Student

METRICS = ("acc_permuted", "acc_spread", "consistent")
"""Share of right answers over all rotations of the options, best rotation less worst, share of questions answered alike under all."""


def option_order(groups: Groups, results: Sequence[Result]) -> list[dict[str, Any]]:
    """Means over the seeds of each student and task that was asked so; fractions."""
    values: dict[tuple[Student, str, str, str], float] = {
        (result.student, result.checkpoint, result.task, result.metric): result.value for result in results if result.metric in METRICS
    }
    rows = []
    for (name, task), found in groups.items():
        for trained_on, members in found.items():
            measured = {metric: mean for metric in METRICS if (mean := _mean(members, metric, values)) is not None}
            if measured:
                acc = sum(one.result.value for one in members) / len(members)
                metric = members[0].result.metric
                rows.append({"student": name, "task": task, "trained_on": trained_on, "metric": metric, "as_asked": acc, **measured})
    return rows


def _mean(members: Sequence[Measurement], metric: str, values: dict[tuple[Student, str, str, str], float]) -> float | None:
    keys = [(one.result.student, one.result.checkpoint, one.result.task, metric) for one in members]
    known = [values[key] for key in keys if key in values]
    return sum(known) / len(known) if known else None
