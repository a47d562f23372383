"""`report.md`: the answer and its tables for a pull request; names and answers of models cannot become markup."""

from collections.abc import Mapping
from typing import Any

from teacherlm.reporting import metrics, verdict
from teacherlm.reporting.cards import card_template as template
from teacherlm.reporting.cards import fenced, plain, public

QUESTIONS = 3
"""Gained and lost questions shown of each task."""


def render_markdown(report: Mapping[str, Any]) -> str:
    return template("report.md").render(
        report=report,
        score=lambda row, value: metrics.shown(value, row["scale"]),
        signed=lambda row, value: metrics.difference(value, row["scale"]),
        ends=lambda row: metrics.ends(row["ci_low"], row["ci_high"], row["scale"]),
        is_shown=verdict.is_shown,
        commands=fenced("\n".join(map(public, report["commands"])), "sh", 4000),
        cell=lambda value: plain(value).replace("\\|", "&#124;"),
        number=lambda value, digits=1: "–" if value is None else f"{value:,.{digits}f}",
        shown=QUESTIONS,
    )
