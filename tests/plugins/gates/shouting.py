"""Is a rationale shouted?"""

from typing import Literal

from teacherlm.catalog import ChosenSettings
from teacherlm.stage import Plugin
from teacherlm.verify import JudgingGate, Rationale


class ShoutingSettings(ChosenSettings):
    name: Literal["shouting"] = "shouting"
    marks: int = 1
    """So many exclamation marks are shouting."""


def build(settings: ShoutingSettings) -> JudgingGate:
    def judge(rationale: Rationale) -> str:
        return "loud" if rationale.text.count("!") >= settings.marks else "calm"

    return JudgingGate(name="shouting", judge=judge, verdicts=("loud", "calm"), drops=frozenset({"loud"}), column="volume")


GATE = Plugin(ShoutingSettings, build)
