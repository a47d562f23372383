"""Does a rationale go round in circles? Either its end is a loop, or most of its word sequences stood in it before."""

from typing import Annotated, Literal

from pydantic import Field

from teacherlm.catalog import ChosenSettings
from teacherlm.overlap import words_of
from teacherlm.stage import Plugin
from teacherlm.verify import JudgingGate, Rationale

VERDICTS = ("loop", "repetitive", "fine")
ENDING = 2000
"""Characters of the end in which a loop is looked for."""
FEWEST = 8
"""Fewer sequences of words than this say nothing by their repetition."""


class RepetitionSettings(ChosenSettings):
    name: Literal["repetition"] = "repetition"
    n: Annotated[int, Field(ge=1)] = 4
    """Words in a sequence."""
    share: Annotated[float, Field(gt=0, le=1)] = 0.6
    """A text is repetitive where at least this share of its sequences stood in it before. Of 1723 rationales of GPT-3, 2 reach 0.6."""
    rounds: Annotated[float, Field(ge=2)] = 3.0
    """A text is a loop where its end says the same at least so often ..."""
    loop_characters: Annotated[int, Field(ge=1)] = 40
    """... over at least so many characters."""
    drops: list[Literal["loop", "repetitive", "fine"]] = ["loop", "repetitive"]
    """Verdicts that drop a row."""


def repeated_share(text: str, n: int) -> float:
    """The share of n-word sequences that are not the first of their kind; 0 for a text too short to tell."""
    words = words_of(text)
    sequences = list(zip(*(words[start:] for start in range(n)), strict=False))
    return 1 - len(set(sequences)) / len(sequences) if len(sequences) >= FEWEST else 0.0


def ends_in_loop(text: str, rounds: float, characters: int) -> bool:
    """Whether a stretch at the end, at least so long, repeats one piece of it at least so often (the first round may be cut).

    Read backwards, the stretch of length L has the period L - border(L), where border is Knuth, Morris and Pratt's failure function.
    """
    backwards = " ".join(text.split())[-ENDING:][::-1]
    borders = [0] * len(backwards)
    for last in range(1, len(backwards)):
        border = borders[last - 1]
        while border and backwards[last] != backwards[border]:
            border = borders[border - 1]
        borders[last] = border + (backwards[last] == backwards[border])
        length = last + 1
        if length >= characters and length >= rounds * (length - borders[last]):
            return True
    return False


def build(settings: RepetitionSettings) -> JudgingGate:
    def judge(rationale: Rationale) -> str:
        if ends_in_loop(rationale.own_text, settings.rounds, settings.loop_characters):
            return "loop"
        return "repetitive" if repeated_share(rationale.own_text, settings.n) >= settings.share else "fine"

    return JudgingGate(name=settings.name, judge=judge, verdicts=VERDICTS, drops=frozenset(settings.drops), column="repetition")


GATE = Plugin(RepetitionSettings, build)
