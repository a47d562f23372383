from itertools import chain
from typing import Any

from teacherlm.answers import find_answer
from teacherlm.datasets.coin_flips import DATASET, CoinFlipsSettings
from teacherlm.records import Question


def questions(seed: int = 0, **settings: Any) -> list[Question]:
    found = DATASET.read(CoinFlipsSettings(**{"textbook": 60, "practice": 60, **settings}), None, seed)
    return [one for one in chain.from_iterable(found.values()) if isinstance(one, Question)]


def test_every_rationale_follows_the_coin_and_ends_in_the_answer():
    for one in questions():
        heads = True
        for sentence in one.question.removeprefix("A coin is heads up. ").split(". ")[:4]:
            heads ^= sentence.endswith("flips the coin")
            assert f"{sentence}. It is {'heads' if heads else 'tails'} up." in one.explanation
        assert one.answer == ("yes" if heads else "no") == find_answer(one.explanation, "yes_no")


def test_the_seed_draws_them_and_no_question_comes_twice():
    assert [one.question for one in questions()] == [one.question for one in questions()] != [one.question for one in questions(seed=1)]
    assert len({one.question for one in questions()}) == 120


def test_both_answers_are_there_for_any_number_of_people():
    for people in (1, 2, 7):
        found = questions(people=people)
        assert {one.answer for one in found} == {"yes", "no"}
        assert all(one.question.count("flip the coin") + one.question.count("flips the coin") == people for one in found)
