from collections import Counter

import pytest
from gate_cases import built
from hypothesis import given
from hypothesis import strategies as st

from teacherlm.verify import Rationale

GASES = ("oxygen", "carbon dioxide", "helium")
CLAIM = ("True", "False")


def verdict(text: str, gold: str = "B", rule: str = "letter", choices: tuple[str, ...] = GASES, **settings: object) -> str:
    return built("leak", **settings).verdict(Rationale("cot", text, gold, rule, choices))


@pytest.mark.parametrize(
    "text",
    [
        " The answer is (B). Plants need it.",
        " The correct answer is B because plants need it.",
        " Therefore, the answer is carbon dioxide.",
        " (B) Carbon dioxide. Plants take it in.",
        " B) carbon dioxide",
        " Option (B) is correct: plants take it in.",
        " Carbon dioxide. Plants take it in.",
        " Carbon dioxide is correct, as every plant shows.",
        "\n\nAnswer: (B). Plants take it in.",
        " Okay, so the right answer is (B).",
    ],
)
def test_a_rationale_that_begins_with_the_answer_leaks(text: str) -> None:
    assert verdict(text) == "leak"


@pytest.mark.parametrize(
    "text",
    [
        " Carbon dioxide is a gas that plants take in. The answer is (B).",
        " Plants breathe. So the answer is (B).",
        " The answer is (A). Plants need it.",
        " (A) oxygen: they give it off. (B) carbon dioxide: they take it in.",
        " (B) carbon dioxide is a gas that is heavier than air; (A) oxygen is given off. So it is the former.",
        " B vitamins have nothing to do with it.",
        " The answer depends on what plants do.",
        " Carbon dioxide, oxygen and helium are gases.",
        "",
    ],
)
def test_reasoning_that_names_the_answer_is_no_leak(text: str) -> None:
    assert verdict(text) == "clean"


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        (" The answer is a gas that plants take in.", "clean"),
        (" The answer is A gas that plants take in.", "clean"),
        (" Since the answer is a number, we count.", "clean"),
        (" A. Plants take it in.", "clean"),  # many a text begins so: "A: ..."
        (" The answer is A because plants take it in.", "leak"),
        (" The answer is A.", "leak"),
        (" (a) first, think of leaves", "clean"),
    ],
)
def test_an_article_is_no_letter(text: str, expected: str) -> None:
    assert verdict(text, "A") == expected


def test_a_choice_without_a_text_is_known_by_its_letter() -> None:
    assert verdict(" Plants breathe.", "A", choices=("", " ", "x")) == "clean"
    assert verdict(" (A) it is.", "A", choices=("", " ", "x")) == "leak"
    assert verdict(" (A) it is.", "A", choices=("x",)) == "leak"
    assert verdict(" So it is.", ".", "exact", ()) == "clean"


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        (" True. Soup is a liquid.", "leak"),
        (" True, because soup is a liquid.", "leak"),
        (" This statement is true because soup is a liquid.", "leak"),
        (" The sentence is true.", "leak"),
        (" True soups are liquid. So it is so.", "clean"),
        (" False. Soup is a liquid.", "clean"),
        (" Soup is a liquid, so the statement is true.", "clean"),
    ],
)
def test_a_claim_is_given_away_by_calling_it_true(text: str, expected: str) -> None:
    assert verdict(text, "A", choices=CLAIM) == expected


@pytest.mark.parametrize(
    ("text", "gold", "rule", "expected"),
    [
        (" Yes, the coin was flipped twice.", "yes", "yes_no", "leak"),
        (" No one flips it, so it stays. The answer is yes.", "yes", "yes_no", "clean"),
        (" The answer is 8. He has 5 and gets 3.", "8", "number", "leak"),
        (" 8 apples are what he has after 5 + 3.", "8", "number", "clean"),
        (" The answer is 80 minus 72.", "8", "number", "clean"),
        (" 8. He has 5 and gets 3.", "8", "number", "leak"),
        (" 1. He has 5. 2. He gives 4 away.", "1", "number", "clean"),
        (" Paris. It lies on the Seine.", "Paris", "exact", "leak"),
        (" Paris is a city on the Seine.", "Paris", "exact", "clean"),
    ],
)
def test_free_answers_leak_in_their_own_words(text: str, gold: str, rule: str, expected: str) -> None:
    assert verdict(text, gold, rule, ()) == expected


@pytest.mark.parametrize(
    "text",
    [
        " Plants breathe. We are told that the answer is (B).",
        " Plants breathe; given that the answer is (B), they take it in.",
        " As the hint says, they take in carbon dioxide.",
        " Plants breathe. The answer given is carbon dioxide.",
        " According to the given answer, plants take it in.",
        " Plants take in a gas. Since the answer is (B), it must be that one.",
        " To work backwards from the answer, think of leaves.",
        " Plants live. As stated in the answer, they need it.",
        " Leaves are green. As stated, the answer is (B).",
    ],
)
def test_a_teacher_that_speaks_of_the_answer_it_was_shown_is_flagged(text: str) -> None:
    assert verdict(text) == "hint"
    assert verdict(text, hints=False) == "clean"


@pytest.mark.parametrize(
    "text",
    [
        " As stated in the question, plants take in a gas. The answer is (B).",
        " None of the answers given is helium.",
        " Since the answer is not known, we think of leaves.",
        " If the answer is (B), plants need it; they do.",
        " We are given that plants take in a gas, and told which.",
        " The given answer choices are gases.",
        " We look for the answer to what plants need. The hinterland is green.",
    ],
)
def test_ordinary_words_are_no_hint(text: str) -> None:
    assert verdict(text) == "clean"


def test_phrases_of_ones_own_are_flagged_whatever_their_case() -> None:
    assert verdict(" Per the key, plants breathe.") == "clean"
    assert verdict(" Per  the KEY, plants breathe.", phrases=["per the key"]) == "hint"
    assert verdict(" Per the keys, plants breathe.", phrases=["per the key"]) == "clean"


@given(st.text(max_size=200), st.sampled_from(["A", "B", "C"]))
def test_no_text_breaks_it(text: str, gold: str) -> None:
    assert verdict(text, gold) in ("leak", "hint", "clean")


@given(st.sampled_from("ABC"), st.sampled_from(["The answer is ({}).", "({})", "Answer: {}.", "The correct option is {}."]))
def test_the_same_beginning_leaks_only_the_right_letter(letter: str, form: str) -> None:
    text = f" {form.format(letter)} It is so."
    assert {gold: verdict(text, gold) for gold in "ABC"} == {gold: "leak" if gold == letter else "clean" for gold in "ABC"}


@pytest.mark.slow
@pytest.mark.real
def test_rationales_of_a_teacher_that_saw_no_answer_are_hardly_ever_flagged(gpt3: list[Rationale]) -> None:
    gate = built("leak")
    counts = Counter(gate.verdict(one) for one in gpt3)
    assert counts["leak"] + counts["hint"] <= 2, counts  # of 1723; in September 2026: none
    begun = [Rationale("cot", f" The answer is {one.gold}.{one.text}", one.gold, one.answer_rule, one.choices) for one in gpt3]
    assert Counter(map(gate.verdict, begun)) == {"leak": len(gpt3)}
