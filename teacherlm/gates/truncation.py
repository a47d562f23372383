"""Was a rationale cut off at the token limit? What it was heading for is missing."""

from typing import Literal

from teacherlm.catalog import ChosenSettings
from teacherlm.stage import Plugin
from teacherlm.verify import JudgingGate, Rationale

VERDICTS = ("truncated", "unknown", "complete")


class TruncationSettings(ChosenSettings):
    name: Literal["truncation"] = "truncation"
    drops: list[Literal["truncated", "unknown", "complete"]] = ["truncated"]
    """Verdicts that drop a row; unknown: nobody wrote down how the text ended."""


def judge(rationale: Rationale) -> str:
    return {"length": "truncated", "": "unknown"}.get(rationale.finish, "complete")


def build(settings: TruncationSettings) -> JudgingGate:
    return JudgingGate(name=settings.name, judge=judge, verdicts=VERDICTS, drops=frozenset(settings.drops), column="truncation")


GATE = Plugin(TruncationSettings, build)
