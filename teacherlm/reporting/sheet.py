"""`results.csv`: a row for each student, checkpoint, task and metric, as a spreadsheet or a data frame reads it."""

import csv
import io
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

from teacherlm.reporting import history
from teacherlm.reporting.groups import row_of
from teacherlm.reporting.measured import Result
from teacherlm.reporting.predictions import SHARES
from teacherlm.reporting.statistics import Z, wilson_interval
from teacherlm.store.files import writing

FORMULAS = ("=", "+", "-", "@", "\t", "\r")
"""What a spreadsheet takes for the beginning of a formula."""


def write_sheet(path: Path, results: Sequence[Result], jobs: Sequence[history.Job], compared: frozenset[Result]) -> None:
    """`compared`: the results that the page stands on (its checkpoint and metric of each student)."""
    rows = list(_rows(results, jobs, compared))
    text = io.StringIO(newline="")
    sheet = csv.DictWriter(text, list(rows[0]), lineterminator="\n")
    sheet.writeheader()
    sheet.writerows({name: _safe(value) for name, value in row.items()} for row in rows)
    with writing(path) as file:
        file.write(text.getvalue().encode())


def _rows(results: Sequence[Result], jobs: Sequence[history.Job], compared: frozenset[Result]) -> Iterator[dict[str, Any]]:
    seconds = {str(job.path): job.manifest.seconds for job in jobs}
    trainings = {run: history.read_training(student) for run, student in {r.student.run: r.student for r in results}.items()}
    for result in results:
        low, high = interval_of(result)
        student = result.student
        cost = history.cost(student, result.checkpoint, result.step, trainings[student.run])
        yield {
            **row_of(result),
            "ci_low": low,
            "ci_high": high,
            "compared": result in compared,
            "rows_trained_on": student.rows,
            "train_seconds": seconds.get(student.run),
            **cost,
        }


def interval_of(result: Result) -> tuple[float | None, float | None]:
    """Wilson's of a share of right answers; else the value plus or minus 1.96 standard errors, where there is one."""
    if result.metric.split(",")[0] in SHARES and 0 <= result.value <= 1 and result.n:
        return wilson_interval(result.value * result.n, result.n)
    if result.stderr is None:
        return None, None
    return result.value - Z * result.stderr, result.value + Z * result.stderr


def _safe(value: Any) -> Any:
    return f"'{value}" if isinstance(value, str) and value.startswith(FORMULAS) else value
