"""What the best student gained and lost beside the baseline, question by question."""

import random
from collections.abc import Mapping, Sequence
from typing import Any

from teacherlm.reporting import verdict
from teacherlm.reporting.comparing import align_measurements
from teacherlm.reporting.groups import Groups, Measurement
from teacherlm.reporting.predictions import Prediction

LONGEST = 800
"""Characters of a text that the lists show."""
Row = Mapping[str, Any]


def find_disagreements(report: Row, groups: Groups, count: int) -> list[dict[str, Any]]:
    """One entry per task of the answer's student: how many questions it gained and lost, and `count` of each, drawn with a fixed seed."""
    best = verdict.headline(report["comparisons"])
    found = []
    for row in report["comparisons"] if best else ():
        if best and (row["student"], row["candidate"]) == (best["student"], best["candidate"]):
            members = groups[row["student"], row["task"]]
            found.append({**_named(row), **_lists(members[row["baseline"]], members[row["candidate"]], count)})
    return found


def _named(row: Row) -> dict[str, Any]:
    return {name: row[name] for name in ("student", "task", "baseline", "candidate")}


def _lists(before: Sequence[Measurement], after: Sequence[Measurement], count: int) -> dict[str, Any]:
    aligned = align_measurements(before, after)
    differences = (aligned.candidate.mean(axis=0) - aligned.baseline.mean(axis=0)).round(12)
    lists = {}
    for name, sign in (("gained", 1), ("lost", -1)):
        places = (differences * sign > 0).nonzero()[0].tolist()
        drawn = sorted(random.Random(0).sample(places, min(count, len(places))))
        lists[name] = {"count": len(places), "questions": [_question(before, after, aligned, place, sign) for place in drawn]}
    return lists


def _question(before: Sequence[Measurement], after: Sequence[Measurement], aligned: Any, place: int, sign: int) -> dict[str, Any]:
    """Texts of the seeds that differ most; how many of them were right."""
    item = aligned.items[place]
    old, new = aligned.baseline[:, place] * sign, aligned.candidate[:, place] * sign
    sides = [before[int(old.argmin())].answers.row(item), after[int(new.argmax())].answers.row(item)]
    return {
        "item": item,
        "prompt": _ending(sides[0].prompt),
        "gold": sides[0].gold,
        "baseline": _said(sides[0], aligned.baseline[:, place]),
        "candidate": _said(sides[1], aligned.candidate[:, place]),
    }


def _said(row: Prediction, scores: Any) -> dict[str, Any]:
    return {"answer": row.answer, "output": _cut(row.output), "scores": scores.tolist()}


def _ending(prompt: str) -> str:
    """The question stands behind its shots."""
    left_out = len(prompt) - LONGEST
    return prompt if left_out <= 0 else f"({left_out:,} characters before) ... {prompt[-LONGEST:]}"


def _cut(text: str) -> str:
    return text if len(text) <= LONGEST else f"{text[:LONGEST]} ... ({len(text) - LONGEST:,} more characters)"
