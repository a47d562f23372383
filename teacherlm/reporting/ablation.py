"""All trainings beside all tasks in one table: what each kind of text adds to the labels."""

import re
from collections.abc import Mapping, Sequence
from typing import Any

from teacherlm.reporting.measured import is_reference
from teacherlm.reporting.verdict import is_shown

Row = Mapping[str, Any]
KINDS = ("cot", "error", "fundamental", "all")


def table(students: Sequence[Row], comparisons: Sequence[Row], baseline: str) -> dict[str, Any]:
    """{title, tasks, rows}; a row has the cell of each task, and over all tasks the mean where all are shares of the same scale."""
    tasks = list(dict.fromkeys(row["task"] for row in students))
    against = {(row["student"], row["task"], row["candidate"]): row for row in comparisons}
    rows: dict[tuple[str, str], dict[str, Any]] = {}
    for row in students:
        line = rows.setdefault(
            (row["student"], row["trained_on"]), {"student": row["student"], "trained_on": row["trained_on"], "cells": dict.fromkeys(tasks)}
        )
        found = against.get((row["student"], row["task"], row["trained_on"]))
        line["cells"][row["task"]] = {
            "mean": row["mean"],
            "scale": row["scale"],
            "difference": found["difference"] if found else None,
            "shown": bool(found and is_shown(found)),
        }
    for line in rows.values():
        cells = [cell for cell in line["cells"].values() if cell and cell["scale"] == 100]
        line["mean"] = sum(cell["mean"] for cell in cells) / len(tasks) if len(cells) == len(tasks) else None
    kinds = {kind for _, name in rows for kind in [_kind(name)] if kind}
    title = "Ablation: what each kind of text adds" if len(kinds) > 1 else "All tasks at a glance"
    return {
        "title": title,
        "baseline": baseline,
        "tasks": tasks,
        "rows": sorted(rows.values(), key=lambda line: _place(line["trained_on"], baseline)) if len(tasks) > 1 or len(kinds) > 1 else [],
    }


def _kind(trained_on: str) -> str:
    """`error_tail` -> error; "" for labels alone and for models that were not trained."""
    first = re.split(r"[_,\s]", trained_on)[0]
    return first if first in KINDS and not is_reference(trained_on) else ""


def _place(trained_on: str, baseline: str) -> int:
    """Models that were not trained first, then labels, then kind after kind."""
    if is_reference(trained_on) or trained_on == baseline:
        return -1 if trained_on == baseline else -2
    kind = _kind(trained_on)
    return KINDS.index(kind) if kind else len(KINDS)
