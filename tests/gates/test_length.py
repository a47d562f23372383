import pytest
from gate_cases import built

from teacherlm.errors import UserError
from teacherlm.verify import Rationale


def verdict(text: str, **settings: object) -> str:
    return built("length", **settings).verdict(Rationale("cot", text, "A", "letter"))


def test_words_are_counted_up_to_the_next_question() -> None:
    assert verdict(" It is so.") == "short"
    assert verdict(" It is so.\nQ: And what about all of this?") == "short"
    assert verdict(" It is so, as we know.") == "fine"
    assert verdict(" It is so.", min_words=3, max_words=3) == "fine"
    assert verdict(" It is so here.", min_words=3, max_words=3) == "long"


def test_bounds_that_leave_no_room_are_one_clear_line() -> None:
    with pytest.raises(UserError, match="min_words 9 is more than max_words 3"):
        verdict("", min_words=9, max_words=3)


@pytest.mark.real
def test_what_gpt3_wrote_is_long_enough(gpt3: list[Rationale]) -> None:
    assert sum(built("length").verdict(one) != "fine" for one in gpt3) < 0.01 * len(gpt3)
