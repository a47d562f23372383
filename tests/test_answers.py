import pytest

from teacherlm.answers import RULES, find_answer, rule, same
from teacherlm.errors import UserError


@pytest.mark.parametrize(
    ("text", "letter"),
    [
        ("Soup is liquid. The answer is (B).", "B"),
        ("so the answer is B", "B"),
        ("The answer is: (b) False.", "B"),
        ("Answer: C", "C"),
        ("The answer is A.", "A"),
        ("The correct answer is option D because", "D"),
        ("A dog is an animal. I think so.", None),
        ("The answer is A dog", None),
        ("The answer is not (A).", None),
        ("The answer is Berlin.", None),
        ("The answer is (A). Q: Another? A: The answer is (B).", "A"),
    ],
)
def test_a_letter_counts_only_where_it_is_stated(text: str, letter: str | None):
    assert find_answer(text, "letter") == letter


@pytest.mark.parametrize(
    ("text", "number"),
    [
        ("3 + 4 = 7. The answer is 7.", "7"),
        ("The answer is $1,234.50. He had 5.", "1234.50"),
        ("So he has 12 apples, 5 pears", "5"),
        ("it falls to -3", "-3"),
        ("5-3 is 2", "2"),
        ("It costs .5", ".5"),
        ("nothing here", None),
        ("The answer is about 42 metres", "42"),
        ("in 1,234 or 12,34", "34"),
    ],
)
def test_a_number_is_the_stated_one_or_the_last(text: str, number: str | None):
    assert find_answer(text, "number") == number


@pytest.mark.parametrize(
    ("one", "other", "equal"),
    [("51.0", "51", True), ("1,234", "1234", True), ("-3", "3", False), ("0.1", ".1", True), ("$5", "5", True), ("7", "seven", False)],
)
def test_numbers_are_compared_as_numbers(one: str, other: str, equal: bool):
    assert same(one, other, "number") is equal


@pytest.mark.parametrize(
    ("text", "word"),
    [
        ("The answer is yes.", "yes"),
        ("No, it cannot fly.", "no"),
        ("It is big. So no.", "no"),
        ("There is no doubt it flies", None),
        ("No doubt about it", None),
    ],
)
def test_yes_and_no_are_answers_only_in_answering_places(text: str, word: str | None):
    assert find_answer(text, "yes_no") == word


def test_an_exact_answer_ends_with_its_sentence():
    assert find_answer("Think. The answer is New York. It is big.", "exact") == "New York"
    assert find_answer("The answer is nk.\nQ: next", "exact") == "nk"
    assert find_answer("The answer is 3.5 kg", "exact") == "3.5 kg"
    assert find_answer("no statement", "exact") is None
    assert same(" New  York.", "New York", "exact")


def test_letters_are_compared_without_brackets():
    assert same("(B)", "B", rule("letter"))


def test_an_unknown_rule_is_named():
    with pytest.raises(UserError, match=r"No answer rule named 'leter'. Did you mean 'letter'\?"):
        rule("leter")
    assert {"letter", "number", "yes_no", "exact"} <= set(RULES)


@pytest.mark.parametrize(
    ("text", "answer"),
    [
        ("The answer is St. Louis. It lies on a river.", "St. Louis"),
        ("The answer is J. Smith.", "J. Smith"),
        ("The answer is Paris. It lies on a river.", "Paris"),
        ("So the answer is the U.S. Army", "the U.S. Army"),
    ],
)
def test_a_stated_text_ends_at_a_full_stop_that_ends_a_sentence(text: str, answer: str) -> None:
    assert find_answer(text, "exact") == answer
