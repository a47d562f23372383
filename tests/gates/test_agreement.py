import pytest
from gate_cases import built

from teacherlm.errors import UserError
from teacherlm.verify import Rationale


def verdict(text: str, gold: str = "B", rule: str = "letter", kind: str = "cot", found: str | None = None) -> str:
    choices = ("solid", "liquid") if rule == "letter" else ()
    return built("agreement").verdict(Rationale(kind, text, gold, rule, choices, found=found))


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("Soup is liquid. The answer is (B).", "right"),
        ("Soup is solid. The answer is (A).", "wrong"),
        ("Soup flows. The answer is liquid.", "right"),
        ("A soup is a liquid.", "unparsed"),
        ("", "unparsed"),
        ("Soup is liquid.\nQ: Is tea? A: The answer is (A).", "unparsed"),
    ],
)
def test_agreement_compares_what_is_stated_with_what_is_right(text: str, expected: str) -> None:
    assert verdict(text) == expected


def test_numbers_agree_as_numbers() -> None:
    assert verdict("3 + 4 = 7.", "7.0", "number") == "right"
    assert verdict("The answer is 1,234. Not 7.", "1234", "number") == "right"
    assert verdict("so 8", "7", "number") == "wrong"


def test_an_answer_from_a_second_step_counts_before_the_text() -> None:
    assert verdict("It flows.", found="B") == "right"
    assert verdict("It flows. The answer is (B).", found="A") == "wrong"
    assert verdict("It flows. The answer is (B).", found=None) == "right"


def test_a_second_step_without_an_answer_is_unparsed_whatever_the_text_says() -> None:
    assert verdict("3 + 4 = 7. So 8.", "7", "number") == "wrong"
    assert verdict("3 + 4 = 7. So 8.", "7", "number", found="") == "unparsed"
    assert verdict("It flows. The answer is (B).", found="") == "unparsed"


def test_a_text_about_mistakes_is_not_judged() -> None:
    assert verdict("One may think the answer is (A).", kind="error") == "not judged"


def test_only_wrong_drops_unless_told_otherwise() -> None:
    assert built("agreement").drops == {"wrong"}
    assert built("agreement", drops=["wrong", "unparsed"]).drops == {"wrong", "unparsed"}
    with pytest.raises(UserError, match="drops"):
        built("agreement", drops=["wrnog"])
