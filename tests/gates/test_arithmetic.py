from collections import Counter

import pytest
from gate_cases import built
from hypothesis import given
from hypothesis import strategies as st

from teacherlm.gates.arithmetic import calculate
from teacherlm.verify import Rationale


def verdict(text: str, **settings: object) -> str:
    return built("arithmetic", **settings).verdict(Rationale("cot", text, "5", "number"))


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        (" 3 + 4 = 7. 7 - 2 = 5.", "right"),
        (" 3 + 4 = 8. 8 - 3 = 5.", "wrong"),
        (" 3 + 4 * 2 = 11", "right"),
        (" 1,200 / 4 = 300", "right"),
        (" 10 / 3 = 3.33", "right"),
        (" -3 + 4 = 1 and 2 - -3 = 5", "right"),
        (" 4 / 0 = 4", "wrong"),
        (" x + 3 = 7, so there are seven.", "unparsed"),
        (" 2 + 2 = 4.\nQ: 2 + 2 = 5?", "right"),
        (" A total of 12\n- 5 apples = 7.", "unparsed"),
        (" 1" + " + 1" * 5000 + " = 5001", "right"),
        (" 007 + 1 = 8", "right"),
        (" ٣ + ٤ = 9", "unparsed"),
    ],
)
def test_the_arithmetic_gate_checks_every_equation(text: str, expected: str) -> None:
    assert verdict(text) == expected


def test_how_far_a_result_may_be_rounded_is_a_setting() -> None:
    assert verdict(" 10 / 3 = 3.33") == "right"
    assert verdict(" 10 / 3 = 3.33", rounded=0.0001) == "wrong"


@given(st.lists(st.tuples(st.integers(0, 99), st.sampled_from("+-*")), min_size=1, max_size=6), st.integers(0, 99))
def test_sums_are_calculated_as_arithmetic_says(terms: list[tuple[int, str]], last: int) -> None:
    text = "".join(f"{number} {sign} " for number, sign in terms) + str(last)
    assert calculate(text) == eval(text)  # noqa: S307  (digits and signs of our own making)


@given(st.text("0123456789.+-*/×÷= \n", max_size=60))
def test_no_text_breaks_it(text: str) -> None:
    assert verdict(text) in ("right", "wrong", "unparsed")


@pytest.mark.real
def test_what_gpt3_calculated_is_judged(gpt3: list[Rationale]) -> None:
    gate = built("arithmetic")
    counts = Counter(gate.verdict(one) for one in gpt3)
    assert counts["right"] > 5 * counts["wrong"] > 0, counts
