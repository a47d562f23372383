"""What a student scored, as its card shows it."""

from dataclasses import dataclass

from teacherlm.errors import UserError
from teacherlm.reporting.measured import Result
from teacherlm.store.files import read_jsonl

CARDS = "cards"
"""Folder of a report with the cards of the students that it has read."""


@dataclass(frozen=True)
class Score:
    """What a student scored on a task; the interval is Wilson's, None where a metric is no share of right answers."""

    task: str
    metric: str
    value: float
    low: float | None
    high: float | None
    n: int


def is_share(result: Result) -> bool:
    """Whether the value is a share of right answers: every question scored 0 or 1."""
    try:
        scores = {row["correct"].get(result.metric) for _, row in read_jsonl(result.predictions)}
    except (UserError, KeyError):
        return False
    return scores <= {0, 1}
