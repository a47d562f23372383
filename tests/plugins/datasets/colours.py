"""Colours of things (a dataset of the tests).

{"question": "What colour is snow?", "answer": "white"}
"""

from teacherlm.catalog import ChosenSettings
from teacherlm.dataset import Dataset, Splits
from teacherlm.records import Question
from teacherlm.store.sources import Origin

COLOURS = {"snow": "white", "grass": "green", "coal": "black", "the sky": "blue"}


class ColoursSettings(ChosenSettings):
    name: str = "colours"
    repeat: int = 1
    """How often each is asked."""


def read(settings: ColoursSettings, origin: Origin | None, seed: int) -> Splits:
    asked = [(f"What colour is {thing}? ({i})", colour) for i in range(settings.repeat) for thing, colour in COLOURS.items()]
    return {"train": (Question(question=question, answer=colour, where="colours") for question, colour in asked)}


DATASET = Dataset(ColoursSettings, read, title="COLOURS", needs_source=False)
