"""What to keep in mind when believing a report: one sentence for each thing that could make a reader believe too much."""

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from teacherlm.reporting import metrics
from teacherlm.reporting.measured import is_reference

FEW_QUESTIONS = 100
Row = Mapping[str, Any]


def find_cautions(report: Row, baseline: str) -> list[str]:
    """Read from `report.json` as far as it is known."""
    students = report["students"]
    found = [
        *_weak([*report["comparisons"], *report["runs"]]),
        *_unequal_training(students, baseline),
        *_no_better_than_majority(students, report["baselines"]),
        *_taught(report["overlaps"]),
        *_measured_again(report["left_out"]),
        *_unlike(report["unlike"]),
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


def _unlike(pairs: Iterable[Row]) -> list[str]:
    return [
        f"{row['candidate']} against {row['baseline']} ({row['student']}, {row['task']}): measured on other questions, and not compared."
        for row in pairs
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
