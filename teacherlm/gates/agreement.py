"""Does the answer that a rationale states agree with the right one?"""

from typing import Literal

from teacherlm.answers import find_answer, same
from teacherlm.catalog import ChosenSettings
from teacherlm.stage import Plugin
from teacherlm.verify import REASONING_KINDS, JudgingGate, Rationale

VERDICTS = ("wrong", "right", "unparsed")


class AgreementSettings(ChosenSettings):
    name: Literal["agreement"] = "agreement"
    drops: list[Literal["wrong", "right", "unparsed"]] = ["wrong"]
    """Verdicts that drop a row; [wrong, unparsed] keeps only what is known to be right."""


def judge(rationale: Rationale) -> str:
    """Where the teacher was asked for the answer afterwards, what it said then counts, and not what its text says."""
    found = rationale.found
    if found is None:
        found = find_answer(rationale.own_text, rationale.answer_rule, choices=rationale.choices)
    if not found:
        return "unparsed"
    return "right" if same(found, rationale.gold, rationale.answer_rule) else "wrong"


def build(settings: AgreementSettings) -> JudgingGate:
    return JudgingGate(
        name=settings.name, judge=judge, verdicts=VERDICTS, drops=frozenset(settings.drops), column="verdict", kinds=REASONING_KINDS
    )


GATE = Plugin(AgreementSettings, build)
