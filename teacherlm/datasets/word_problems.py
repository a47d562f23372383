"""Word problems: generated stories about a count that changes, with a rationale and a number as the answer.

    {"question": "Ana starts with 8 shells. She gets 4 from Sam. She gives half of them to Leo. She gets as many again from Ben.
                  How many shells does Ana have now?",
     "explanation": "Ana has 8 shells. She gets 4 from Sam, 8 + 4 = 12. She gives half of them to Leo, 12 / 2 = 6.
                     She gets as many again from Ben, 6 * 2 = 12.", "steps": 3}

with the answer 12. Drawn from the seed: no file, no licence. `textbook` is for a teacher to learn from its explanations,
`practice` for the teacher to explain, `test` to measure students. No two problems share their calculation (8 + 4 / 2 * 2),
within a split or across: a student cannot have met a test question in other words.
"""

import random
from collections.abc import Iterator
from typing import Annotated, Literal

from pydantic import Field, model_validator

from teacherlm.catalog import ChosenSettings
from teacherlm.dataset import Dataset, Splits
from teacherlm.errors import UserError
from teacherlm.records import Question
from teacherlm.store.sources import Origin

PEOPLE = {
    "Tom": "He",
    "Mia": "She",
    "Ben": "He",
    "Ana": "She",
    "Sam": "He",
    "Lea": "She",
    "Max": "He",
    "Eva": "She",
    "Leo": "He",
    "Zoe": "She",
}
THINGS = ("apples", "marbles", "coins", "books", "shells", "pencils", "stamps", "cards", "stickers", "buttons")
OPENINGS = ("{name} has {count} {things}.", "{name} starts with {count} {things}.", "{name} owns {count} {things}.")
DEEDS = {
    "+": ("buys {count} more", "finds {count}", "wins {count}", "gets {count} from {other}", "picks up {count}"),
    "-": ("gives {count} to {other}", "loses {count}", "sells {count}", "gives away {count}", "drops {count}"),
    "*": ("gets as many again from {other}", "finds as many again", "buys as many again"),
    "/": ("gives half of them to {other}", "loses half of them", "sells half of them"),
}
LINKS = ("{He} {does}.", "{He} {does}.", "Then {he} {does}.", "Later {he} {does}.")
ASKS = (
    "How many {things} does {name} have now?",
    "How many {things} are there now?",
    "How many {things} does {name} have in the end?",
)
FEWEST_AT_START, MOST_AT_START = 3, 12
TRIES = 2000
"""Draws in a row that may turn out to be known already, before the problems count as used up."""

Step = tuple[str, int]
"""("-", 4): take away 4. Beside + and - there are only ("*", 2) and ("/", 2), and only where that is a whole number."""
Calculation = tuple[int, tuple[Step, ...]]
"""The count at the start, and the steps from there."""


class WordProblemsSettings(ChosenSettings):
    name: Literal["word_problems"] = "word_problems"
    textbook: Annotated[int, Field(ge=1)] = 1600
    """Problems for the teacher to learn from."""
    practice: Annotated[int, Field(ge=1)] = 800
    """Problems for the teacher to explain, and for students to learn from."""
    test: Annotated[int, Field(ge=1)] = 500
    """Problems to measure students on."""
    min_steps: Annotated[int, Field(ge=1)] = 2
    """Fewest additions and subtractions of a problem; each number of steps is equally frequent."""
    max_steps: Annotated[int, Field(ge=1)] = 5
    """Most of them."""
    largest_step: Annotated[int, Field(ge=1)] = 6
    """Most that one step adds or takes away."""
    largest: Annotated[int, Field(ge=MOST_AT_START)] = 20
    """No count ever exceeds this, and none is below 0."""

    @model_validator(mode="after")
    def _in_order(self) -> "WordProblemsSettings":
        if self.min_steps > self.max_steps:
            raise UserError(f"min_steps {self.min_steps} is more than max_steps {self.max_steps}.")
        return self


def read(settings: WordProblemsSettings, origin: Origin | None, seed: int) -> Splits:
    """The three splits, the same for the same settings and seed."""
    sizes = {"textbook": settings.textbook, "practice": settings.practice, "test": settings.test}
    drawn = _draw_calculations(settings, sizes, seed)
    return {split: _questions(split, calculations, seed) for split, calculations in drawn.items()}


def _draw_calculations(settings: WordProblemsSettings, sizes: dict[str, int], seed: int) -> dict[str, list[Calculation]]:
    """Calculations for every split, no two alike.

    Raises: UserError when there are not that many different ones.
    """
    dice = random.Random(f"calculations/{seed}")
    lengths = range(settings.min_steps, settings.max_steps + 1)
    seen: set[Calculation] = set()
    return {split: [_draw_new(settings, lengths[i % len(lengths)], dice, seen) for i in range(size)] for split, size in sizes.items()}


def _draw_new(settings: WordProblemsSettings, steps: int, dice: random.Random, seen: set[Calculation]) -> Calculation:
    for _ in range(TRIES):
        drawn = _draw_calculation(settings, steps, dice)
        if drawn not in seen:
            seen.add(drawn)
            return drawn
    raise UserError(
        f"word_problems: after {len(seen)} problems there is none left with {steps} steps that is not used yet;"
        f" ask for fewer, or raise min_steps, largest_step or largest."
    )


def _draw_calculation(settings: WordProblemsSettings, steps: int, dice: random.Random) -> Calculation:
    start = count = dice.randint(FEWEST_AT_START, MOST_AT_START)
    drawn = []
    for _ in range(steps):
        step = _draw_step(settings, count, dice)
        drawn.append(step)
        count = _after(count, step)
    return start, tuple(drawn)


def _draw_step(settings: WordProblemsSettings, count: int, dice: random.Random) -> Step:
    """Half of the steps double or halve, where that is possible: without them a problem were a mere sum, in any order."""
    scalings = ["*"] * (0 < 2 * count <= settings.largest) + ["/"] * (count > 0 and count % 2 == 0)
    if scalings and dice.random() < 0.5:
        return dice.choice(scalings), 2
    sign = dice.choice(["+"] * (count < settings.largest) + ["-"] * (count > 0))
    room = settings.largest - count if sign == "+" else count
    return sign, dice.randint(1, min(settings.largest_step, room))


def _after(count: int, step: Step) -> int:
    sign, by = step
    return {"+": count + by, "-": count - by, "*": count * by, "/": count // by}[sign]


def _questions(split: str, calculations: list[Calculation], seed: int) -> Iterator[Question]:
    dice = random.Random(f"words/{split}/{seed}")
    for number, (start, steps) in enumerate(calculations):
        question, explanation, answer = _tell(start, steps, dice)
        yield Question(
            question=question,
            answer=str(answer),
            answer_rule="number",
            explanation=explanation,
            source_id=f"{split}_{number}",
            raw={"question": question, "explanation": explanation, "steps": len(steps)},
            where=f"word_problems {split} {number}",
        )


def _tell(count: int, steps: tuple[Step, ...], dice: random.Random) -> tuple[str, str, int]:
    """(the problem, its rationale, its answer)"""
    name, things = dice.choice(list(PEOPLE)), dice.choice(THINGS)
    he = PEOPLE[name]
    told = [dice.choice(OPENINGS).format(name=name, count=count, things=things)]
    worked = [OPENINGS[0].format(name=name, count=count, things=things)]
    for sign, by in steps:
        other = dice.choice([one for one in PEOPLE if one != name])
        does = dice.choice(DEEDS[sign]).format(count=by, other=other)
        told.append(dice.choice(LINKS).format(He=he, he=he.lower(), does=does))
        result = _after(count, (sign, by))
        worked.append(f"{he} {does}, {count} {sign} {by} = {result}.")
        count = result
    told.append(dice.choice(ASKS).format(name=name, things=things))
    return " ".join(told), " ".join(worked), count


DATASET = Dataset(WordProblemsSettings, read, title="WORD_PROBLEMS", needs_source=False)
