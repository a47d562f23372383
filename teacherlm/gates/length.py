"""Is a rationale too short to explain anything, or too long to learn from? Counted in words."""

from typing import Annotated, Literal

from pydantic import Field, model_validator

from teacherlm.catalog import ChosenSettings
from teacherlm.errors import UserError
from teacherlm.stage import Plugin
from teacherlm.verify import JudgingGate, Rationale

VERDICTS = ("short", "long", "fine")


class LengthSettings(ChosenSettings):
    name: Literal["length"] = "length"
    min_words: Annotated[int, Field(ge=0)] = 5
    """Fewer are short."""
    max_words: Annotated[int | None, Field(ge=1)] = None
    """More are long; by default nothing is."""
    drops: list[Literal["short", "long", "fine"]] = ["short", "long"]
    """Verdicts that drop a row."""

    @model_validator(mode="after")
    def _leaves_room(self) -> "LengthSettings":
        if self.max_words is not None and self.max_words < self.min_words:
            raise UserError(f"min_words {self.min_words} is more than max_words {self.max_words}.")
        return self


def build(settings: LengthSettings) -> JudgingGate:
    def judge(rationale: Rationale) -> str:
        words = len(rationale.own_text.split())
        if words < settings.min_words:
            return "short"
        return "long" if settings.max_words is not None and words > settings.max_words else "fine"

    return JudgingGate(name=settings.name, judge=judge, verdicts=VERDICTS, drops=frozenset(settings.drops), column="length")


GATE = Plugin(LengthSettings, build)
