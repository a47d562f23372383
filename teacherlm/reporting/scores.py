"""What a student scored, as its card shows it."""

from dataclasses import dataclass

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
