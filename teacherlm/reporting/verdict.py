"""What was found, as one sentence, and which comparison it is about."""

from collections.abc import Mapping, Sequence
from typing import Any

from teacherlm.reporting import metrics
from teacherlm.reporting.measured import is_reference

Row = Mapping[str, Any]


def answer(comparisons: Sequence[Row], baseline: str, sides: Sequence[str] = ()) -> str:
    """One sentence: the candidate that gains most over the baseline, by how much, how sure. `sides`: what there is to compare."""
    best = headline(comparisons)
    if best is None and len(sides) > 1 and baseline not in sides:
        return f"Nothing to compare: no student was trained on '{baseline}' (found: {', '.join(sides)}); choose one with --baseline"
    if best is None:
        return f"Nothing to compare: no student was measured beside one trained on '{baseline}' on the same questions"
    same = [row for row in comparisons if (row["student"], row["candidate"]) == (best["student"], best["candidate"])]
    who = best["candidate"] + (f" ({best['student']})" if len({row["student"] for row in comparisons}) > 1 else "")
    sentence = _sentence(best, who, f" of {best['task']}" if len({row["task"] for row in comparisons}) > 1 else "")
    if len(same) == 1:
        return sentence
    won = sum(is_shown(row) and row["difference"] > 0 for row in same)
    lost = sum(is_shown(row) and row["difference"] < 0 for row in same)
    rest = f" and is behind on {lost}" if lost else ""
    if not won and not lost:
        return f"{who} is not shown to differ from {baseline} on any of {len(same)} tasks; where it does best, {sentence}"
    return f"{who} beats {baseline} on {won} of {len(same)} tasks{rest}; where it does best, {sentence}"


def _sentence(row: Row, who: str, of_task: str) -> str:
    on = f"on {row['n']:,} questions{of_task}"
    scale = row.get("scale", 100)
    unit = "points" if scale == 100 else row["metric"]
    said = f"95% interval {metrics.ends(row['ci_low'], row['ci_high'], scale).replace('−', '-')}, {on}"
    if not is_shown(row):
        gain = metrics.difference(row["difference"], scale).replace("−", "-")
        return f"no difference shown between {who} and {row['baseline']}: {gain} {unit}, {said}"
    gain = metrics.difference(abs(row["difference"]), scale).removeprefix("+")
    if row["difference"] > 0:
        return f"{who} beats {row['baseline']} by {gain} {unit}, {said}"
    said = f"95% interval {metrics.ends(-row['ci_high'], -row['ci_low'], scale).replace('−', '-')}, {on}"
    return f"{who} is behind {row['baseline']} by {gain} {unit}, {said}"


def is_shown(row: Row) -> bool:
    """A difference counts as shown when the interval excludes 0 and the p-value, adjusted for all comparisons made, is below 5%."""
    return bool((row["ci_low"] > 0 or row["ci_high"] < 0) and row["p_adjusted"] < 0.05)


def headline(comparisons: Sequence[Row]) -> Row | None:
    """The comparison the answer is about: the trained candidate with the largest mean gain over its tasks, its best task.

    Points and plain numbers have no mean: where some tasks are measured in points, these alone choose. A gain that is shown goes before
    a larger one that is not.
    """
    trained = [row for row in comparisons if not is_reference(row["candidate"])]
    weighed = [row for row in trained if row.get("scale", 100) == 100] or trained
    if not weighed:
        return None
    gains: dict[tuple[str, str], list[float]] = {}
    for row in weighed:
        gains.setdefault((row["student"], row["candidate"]), []).append(row["difference"])
    who = max(gains, key=lambda name: sum(gains[name]) / len(gains[name]))
    own = [row for row in weighed if (row["student"], row["candidate"]) == who]
    return max(own, key=lambda row: (is_shown(row) and row["difference"] > 0, row["difference"]))
