import random

import pytest

from teacherlm.store.scratch import Occurrences, scratch_database


def told_apart(names: list[str], at_once: int) -> list[str]:
    with scratch_database() as database:
        occurrences = Occurrences(database)
        return [name for i in range(0, len(names), at_once) for name in occurrences.unique(names[i : i + at_once])]


@pytest.mark.parametrize("at_once", [1, 2, 3, 8])
def test_names_become_unique_whatever_they_look_like_and_however_many_come_at_once(at_once: int):
    given = ["a", "b", "a", "a-2", "a", "a-2", "a-3", ""]
    assert told_apart(given, at_once) == ["a", "b", "a-2", "a-2-2", "a-3", "a-2-3", "a-3-2", ""]


def test_many_names_are_told_apart_as_one_by_one():
    draw = random.Random(0)
    names = [str(draw.randrange(5000)) for _ in range(3000)] + [f"{i}-2" for i in range(0, 5000, 50)] + [str(i) for i in range(6000, 9000)]
    found = told_apart(names, 1000)
    assert len(set(found)) == len(names) and found == told_apart(names, 7)
