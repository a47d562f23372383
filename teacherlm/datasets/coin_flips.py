"""Coin flips: generated questions in the words of `coin_flip`, about people whose names nobody has heard, with a rationale.

    {"question": "A coin is heads up. Ovelu flips the coin. Ri does not flip the coin. Is the coin still heads up? Note that \\"flip\\"
                  here means \\"reverse\\".", "people": 2,
     "explanation": "Ovelu flips the coin. It is tails up. Ri does not flip the coin. It is tails up. So no."}

with the answer no. Drawn from the seed: no file, no licence. `textbook` is for a teacher to learn from, `practice` for students. The
rationale copies each sentence before it says how the coin lies; as names are drawn letter by letter, a student has to copy, not to know.
"""

import random
from collections.abc import Iterator
from typing import Annotated, Literal

from pydantic import Field

from teacherlm.catalog import ChosenSettings
from teacherlm.dataset import Dataset, Splits
from teacherlm.records import Question
from teacherlm.store.sources import Origin

BEGINNING = "A coin is heads up."
ASKING = 'Is the coin still heads up? Note that "flip" here means "reverse".'
LETTERS = "abcdefghijklmnopqrstuvwxyz"
ACCENTED = "áéíóúñ"
SHORTEST_NAME, LONGEST_NAME = 2, 10
TWO_WORDS, WITH_ACCENT = 0.03, 0.05
"""How many of the names are so; about as in the published data."""


class CoinFlipsSettings(ChosenSettings):
    name: Literal["coin_flips"] = "coin_flips"
    textbook: Annotated[int, Field(ge=1)] = 2000
    """Questions for the teacher to learn from."""
    practice: Annotated[int, Field(ge=1)] = 2000
    """Questions for the teacher to explain, and for students to learn from."""
    people: Annotated[int, Field(ge=1)] = 4
    """How many there are in a question; the published ones have four."""


def read(settings: CoinFlipsSettings, origin: Origin | None, seed: int) -> Splits:
    """The two splits, the same for the same settings and seed."""
    sizes = {"textbook": settings.textbook, "practice": settings.practice}
    return {split: _questions(split, size, settings.people, seed) for split, size in sizes.items()}


def _questions(split: str, size: int, people: int, seed: int) -> Iterator[Question]:
    dice = random.Random(f"coin flips/{split}/{seed}")
    for number in range(size):
        deeds = [f"{_draw_name(dice)} {dice.choice(('flips', 'does not flip'))} the coin." for _ in range(people)]
        question, explanation, answer = _tell(deeds)
        yield Question(
            question=question,
            answer=answer,
            answer_rule="yes_no",
            explanation=explanation,
            source_id=f"{split}_{number}",
            raw={"question": question, "explanation": explanation, "people": people},
            where=f"coin_flips {split} {number}",
        )


def _draw_name(dice: random.Random) -> str:
    words = [_draw_word(dice) for _ in range(1 + (dice.random() < TWO_WORDS))]
    return " ".join(words)


def _draw_word(dice: random.Random) -> str:
    letters = [dice.choice(LETTERS) for _ in range(dice.randint(SHORTEST_NAME, LONGEST_NAME))]
    if dice.random() < WITH_ACCENT:
        letters[dice.randrange(len(letters))] = dice.choice(ACCENTED)
    return "".join(letters).capitalize()


def _tell(deeds: list[str]) -> tuple[str, str, str]:
    """(the question, its rationale, its answer)"""
    heads, worked = True, []
    for deed in deeds:
        heads = heads == ("does not" in deed)
        worked.append(f"{deed} It is {'heads' if heads else 'tails'} up.")
    answer = "yes" if heads else "no"
    return " ".join([BEGINNING, *deeds, ASKING]), " ".join([*worked, f"So {answer}."]), answer


DATASET = Dataset(CoinFlipsSettings, read, title="COIN_FLIPS", needs_source=False)
