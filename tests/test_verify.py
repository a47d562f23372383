import pytest

from teacherlm.errors import UserError
from teacherlm.verify import Rationale, gate


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
