"""The teacher solves; only where it fails does it see the answer and explain it (STaR). Each row says whether it was hinted."""

from collections.abc import Mapping
from typing import Any, Literal

from teacherlm.answers import same
from teacherlm.asking import Conversation, Drop, Row, Terms, Way
from teacherlm.stage import Plugin
from teacherlm.store.sources import require
from teacherlm.ways.rationalise import rationalise
from teacherlm.ways.solve import SolveSettings, conclude, solve, wording


class SolveThenHintSettings(SolveSettings):
    name: Literal["solve_then_hint"] = "solve_then_hint"  # type: ignore[assignment]


def solve_then_hint(row: Mapping[str, Any], terms: Terms, where: str, sample: int, settings: SolveSettings) -> Conversation[Row | Drop]:
    """A hinted rationale has to lead to the answer by itself: what follows from it is asked without the hint, into `found`."""
    tried = yield from solve(row, terms, where, sample, settings)
    if isinstance(tried, Drop):
        return tried
    gold, rule = str(require(row, "answer", where)), str(row["answer_rule"])
    if tried["found"] is not None and same(tried["found"], gold, rule):
        return {**tried, "hinted": False}
    hinted = yield from rationalise(row, terms, where, sample)
    if isinstance(hinted, Drop):
        return hinted
    concluded = yield from conclude(hinted, wording(row, settings, where), terms, where, settings.answer_tokens)
    return concluded if isinstance(concluded, Drop) else {**concluded, "hinted": True}


def build(settings: SolveThenHintSettings) -> Way:
    def way(row: Mapping[str, Any], terms: Terms, where: str, sample: int) -> Conversation[Row | Drop]:
        return solve_then_hint(row, terms, where, sample, settings)

    return way


WAY = Plugin(SolveThenHintSettings, build)
