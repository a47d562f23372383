"""Which metric a task is compared by, and how its values are written."""

from collections.abc import Sequence

from teacherlm.errors import UserError
from teacherlm.reporting.measured import Result

DEFAULT = "acc"
LOWER_IS_BETTER = frozenset(
    {"rmse", "mse", "mae", "loss", "perplexity", "word_perplexity", "byte_perplexity", "bits_per_byte", "ter", "wer", "cer"}
    | {"brier_score", "calibration_error", "ece", "spearman_p", "optimal_threshold", "acc_spread"}
)
"""Metrics that no student is praised for a high value of, whatever a task says, and also where it says nothing."""


def choose_metrics(results: Sequence[Result], wanted: str = DEFAULT) -> dict[str, str]:
    """Task -> its metric: the wanted one, or the first of the task of which more is better.

    Raises: UserError when another than the default is wanted and no task has it.
    """
    known: dict[str, dict[str, Result]] = {}
    for result in results:
        known.setdefault(result.task, {}).setdefault(result.metric, result)
    if wanted != DEFAULT and not any(wanted in names for names in known.values()):
        names = ", ".join(sorted({name for found in known.values() for name in found}))
        raise UserError(f"report: no task was measured with metric '{wanted}' (found: {names}); choose one with `metric:`.")
    return {task: wanted if wanted in found else main_metric(list(found.values())) for task, found in known.items()}


def main_metric(results: Sequence[Result]) -> str:
    """The first of which more is better; the first of all where there is none."""
    return next((result for result in results if more_is_better(result)), results[0]).metric


def more_is_better(result: Result) -> bool:
    return result.metric.split(",")[0] not in LOWER_IS_BETTER and result.higher_is_better is not False


def shown(value: float, scale: int) -> str:
    """As percent where every question scores from 0 to 1 (scale 100), else as a number: 62.3%, 0.412, 27.4."""
    if scale == 100:
        return f"{100 * value:.1f}%"
    return f"{value:.1f}" if abs(value) >= 10 else f"{value:.3f}"


def difference(value: float, scale: int) -> str:
    """With its sign, in points where the scale is 100: +12.3, −0.041."""
    digits = 1 if scale == 100 or abs(value) >= 10 else 3
    return f"{scale * value:+.{digits}f}".replace("-", "−")


def ends(low: float | None, high: float | None, scale: int) -> str:
    """Of an interval: whole points where nothing is lost by it, else with decimals (0.3 is not 0)."""
    if low is None or high is None:
        return "–"
    if scale != 100:
        digits = 1 if max(abs(low), abs(high)) >= 10 else 3
        return f"{low:.{digits}f} to {high:.{digits}f}".replace("-", "−")
    digits = 0 if min(abs(low), abs(high)) >= 0.1 else 1
    return f"{100 * low:.{digits}f} to {100 * high:.{digits}f}".replace("-", "−")
