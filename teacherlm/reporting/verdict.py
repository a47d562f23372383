"""What was found, in plain sentences: the answer first, then what to keep in mind when believing it."""

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from teacherlm.reporting import metrics
from teacherlm.reporting.measured import is_reference

FEW_QUESTIONS = 100
Row = Mapping[str, Any]


def answer(comparisons: Sequence[Row], baseline: str) -> str:
    """One sentence: the candidate that gains most over the baseline, by how much, how sure."""
    best = headline(comparisons)
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


def cautions(report: Row, baseline: str) -> list[str]:
    """What could make a reader believe too much, each as one sentence; read from `report.json` as far as it is known."""
    students = report["students"]
    found = [
        *_weak([*report["comparisons"], *report["runs"]]),
        *_unequal_training(students, baseline),
        *_no_better_than_majority(students, report["baselines"]),
        *_taught(report["overlaps"]),
        *_measured_again(report["left_out"]),
    ]
    return list(dict.fromkeys([*found, *_unknown_template(students), *_other_metrics(students, report["rows"])]))


def _weak(comparisons: Iterable[Row]) -> list[str]:
    found = []
    for row in comparisons:
        name = f"{row['candidate']} against {row['baseline']} ({row['student']}, {row['task']})"
        if row["unmatched"]:
            found.append(f"{name}: {row['unmatched']:,} questions were not answered by every side and seed, and are left out.")
        if row["n"] < FEW_QUESTIONS:
            found.append(f"{row['task']}: {row['n']} questions are few; intervals are rough.")
        if len(row["task_hashes"]) > 1:
            found.append(f"{name}: the task was measured with different contents ({', '.join(row['task_hashes'])}).")
        if len(row.get("encodings", ())) > 1:
            found.append(f"{name}: questions and answers became tokens in different ways ({', '.join(row['encodings'])}).")
        if min(len(row["baseline_seeds"]), len(row["candidate_seeds"])) < 2 and not is_reference(row["candidate"]):
            found.append(f"{name}: one seed on a side says nothing about how much training luck matters.")
    return found


def _no_better_than_majority(students: Sequence[Row], baselines: Sequence[Row]) -> list[str]:
    found = []
    for one in (row for row in baselines if "answer" in row):
        below = [
            r
            for r in students
            if r["task"] == one["task"] and not is_reference(r["trained_on"]) and r["ci_low"] is not None and r["ci_low"] <= one["value"]
        ]
        if below:
            names = ", ".join(f"{row['trained_on']} ({row['student']})" for row in below)
            found.append(
                f"{one['task']}: not shown to be better than always answering {one['answer']} ({100 * one['value']:.1f}%): {names}."
            )
    return found


def _measured_again(left_out: Iterable[Row]) -> list[str]:
    return [
        f"{row['trained_on']} ({row['student']}) on {row['task']}: measured {1 + len(row['left_out'])} times with different results; "
        f"{row['kept']} stands here, left out: {', '.join(row['left_out'])}."
        for row in left_out
    ]


def _taught(overlaps: Iterable[Row]) -> list[str]:
    """One sentence for all students that were trained on the same questions."""
    same: dict[tuple[Any, ...], list[str]] = {}
    for row in overlaps:
        if row["shared"]:
            same.setdefault((row["task"], row["shared"], row["questions"], row["input"], row["exact"]), []).append(row["trained_on"])
    return [
        f"{task}: {shared:,} of its {questions:,} questions share 13 words in a row with what {_were(names)} "
        f"trained on{f' ({source})' if source else ''}, {exact:,} are there word for word; prepare's `decontaminate` leaves them out."
        for (task, shared, questions, source, exact), names in same.items()
    ]


def _were(names: Iterable[str]) -> str:
    found = list(dict.fromkeys(name for name in names if name)) or ["the student"]
    return f"{found[0]} was" if len(found) == 1 else f"{', '.join(found[:-1])} and {found[-1]} were"


def _unknown_template(students: Sequence[Row]) -> list[str]:
    return [
        f"{row['trained_on']} ({row['student']}) on {row['task']}: the student or the task declares no template, so nobody checked that it "
        "was asked as it was taught."
        for row in students
        if not is_reference(row["trained_on"]) and not row["template"]
    ]


def _other_metrics(students: Sequence[Row], results: Sequence[Row]) -> list[str]:
    """Tasks that stand here by another metric than accuracy, and those that cannot be compared question by question."""
    has = {(row["task"], row["metric"]) for row in results}
    found = []
    for task, metric, more in dict.fromkeys((row["task"], row["metric"], row["more_is_better"]) for row in students):
        if metric != metrics.DEFAULT and (task, metrics.DEFAULT) not in has:
            found.append(f"{task} has no {metrics.DEFAULT}: it is shown by {metric}, its first metric of which more is better.")
        if not more:
            found.append(f"{task}: less {metric} is better; it is shown and not compared.")
        elif any(not row["by_question"] for row in students if row["task"] == task):
            found.append(
                f"{task}: {metric} stands over all questions at once, so students are shown beside each other without a paired test."
            )
    return found


def _unequal_training(students: Sequence[Row], baseline: str) -> list[str]:
    found = []
    for label in dict.fromkeys(row["student"] for row in students):
        tokens = {r["trained_on"]: r["trained_tokens"] for r in students if r["student"] == label and r["trained_tokens"]}
        most = max((count for name, count in tokens.items() if name != baseline), default=0)
        if baseline in tokens and tokens[baseline] < most:
            found.append(
                f"{label}: {baseline} was trained on fewer tokens than others ({tokens[baseline]:,.0f} against up to {most:,.0f}); "
                "part of a difference may be due to that."
            )
    return found
