"""What counts as the same question template."""

import pytest

from teacherlm.splitting.skeletons import Skeletons


def groups(*questions: str) -> list[int]:
    """Numbers from 0 in the order in which templates first come."""
    skeletons = Skeletons()
    for question in questions:
        skeletons.learn(question)
    keys = skeletons.group(questions)
    return [list(dict.fromkeys(keys)).index(key) for key in keys]


@pytest.mark.parametrize(
    ("one", "other"),
    [
        ("Tom has 3 apples. He eats one. How many are left?", "Mary has 1,250 apples. She eats two. How many are left?"),
        ("At school Will saw $5.50 and asked Mark's sister.", "At school Ann saw 7 and asked Lea's sister."),
        ("Today is Sep 9, 1909. It is late.", "Today is 4/19/1969. It is late."),
        ('Take the last letters of "Ann Bo" and join them.', "Take the last letters of “Cy” and join them."),
        ("Ann, Bob, and Claire play. Who wins?", "Dora and Emil play. Who loses?"),
        ("He won three games playing 'whack a mole' there.", "She won 12 games playing 'skee ball' there."),
    ],
)
def test_drawn_words_do_not_make_another_template(one: str, other: str) -> None:
    assert groups(one, other, "Something else is told here. Will it be so?", "Nobody asks.", "All know it.") == [0, 0, 1, 2, 3]


@pytest.mark.parametrize(
    ("one", "other"),
    [
        ("Tom has 3 apples. How many?", "Tom has 3 pears. How many?"),
        ("Today is 4/19/1969. What is it?", "Yesterday was 4/19/1969. What is it?"),
        ("Bo flips the coin. Is it up?", "Bo does not flip the coin. Is it up?"),
    ],
)
def test_other_words_do(one: str, other: str) -> None:
    assert groups(one, other, "Not said. Is it yesterday, or today?") == [0, 1, 2]


def test_an_instruction_before_every_question_is_no_story() -> None:
    asked = ("Where do fish live?", "Who sings?", "Why is the sky blue?")
    assert groups(*(f"Answer the question. {question}" for question in asked)) == [0, 1, 2]


def test_what_is_asked_about_a_story_makes_no_other_template() -> None:
    told = ("It rains.", "The sun shines here.", "Snow lies.")
    assert groups(*(f"{story} {ask}" for story in told for ask in ("Why?", "Since when?"))) == [0, 0, 1, 1, 2, 2]
