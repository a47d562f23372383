import pytest
from hypothesis import given
from hypothesis import strategies as st

from teacherlm.errors import UserError
from teacherlm.verify import Rationale, calculate, gate


def verdict(text: str, gold: str = "B", rule: str = "letter", kind: str = "cot") -> str:
    return gate("agreement").verdict(Rationale(kind, text, gold, rule))


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("Soup is liquid. The answer is (B).", "right"),
        ("Soup is solid. The answer is (A).", "wrong"),
        ("A soup is a liquid.", "unparsed"),
        ("", "unparsed"),
        ("Soup is liquid.\nQ: Is tea? A: The answer is (A).", "unparsed"),
    ],
)
def test_agreement_compares_what_is_stated_with_what_is_right(text: str, expected: str):
    assert verdict(text) == expected


def test_numbers_agree_as_numbers():
    assert verdict("3 + 4 = 7.", "7.0", "number") == "right"
    assert verdict("The answer is 1,234. Not 7.", "1234", "number") == "right"
    assert verdict("so 8", "7", "number") == "wrong"


def test_a_text_about_mistakes_is_not_judged():
    assert verdict("One may think the answer is (A).", kind="error") == "not judged"


def test_the_gravest_verdict_stands_for_a_row_and_only_wrong_drops():
    agreement = gate("agreement")
    assert agreement.gravest(["right", "wrong", "unparsed"]) == "wrong"
    assert agreement.gravest(["not judged", "unparsed"]) == "unparsed"
    assert agreement.drops == {"wrong"}


def test_an_unknown_gate_is_named():
    with pytest.raises(UserError, match=r"No gate named 'agrement'. Did you mean 'agreement'\?"):
        gate("agrement")


@pytest.mark.parametrize(
    ("text", "verdict"),
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
    ],
)
def test_the_arithmetic_gate_checks_every_equation(text: str, verdict: str) -> None:
    rationale = Rationale(kind="cot", text=text, gold="5", answer_rule="number")
    assert gate("arithmetic").verdict(rationale) == verdict


@given(st.lists(st.tuples(st.integers(0, 99), st.sampled_from("+-*")), min_size=1, max_size=6), st.integers(0, 99))
def test_sums_are_calculated_as_arithmetic_says(terms: list[tuple[int, str]], last: int) -> None:
    text = "".join(f"{number} {sign} " for number, sign in terms) + str(last)
    assert calculate(text) == eval(text)  # noqa: S307  (digits and signs of our own making)
