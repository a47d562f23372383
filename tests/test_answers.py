import pytest

from teacherlm.answers import RULES, find_answer, find_candidates, normalise, rule, same
from teacherlm.answers.cleansing import PREFIXES, STATED_AS
from teacherlm.answers.scores import score_completion, summarise
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


@pytest.mark.parametrize(
    ("text", "letter"),
    [
        ("The answer is True.", "A"),
        ("So the answer is (false)", "B"),
        ("The answer is *not sure*, I think.", "C"),
        ("The answer is (B) False.", "B"),
        ("The answer is B", "B"),
        ("The answer is truly hard", None),
        ("Answer: not sure at all", "C"),
        ("It is true.", None),
        ("The answer is False. The answer is (A).", "B"),
        ("The answer is not (A).", None),
    ],
)
def test_a_choice_may_be_stated_by_its_text_where_the_choices_are_known(text: str, letter: str | None) -> None:
    assert find_answer(text, "letter", choices=("True", "False", "not  sure.")) == letter


def test_the_longest_choice_that_stands_there_is_meant() -> None:
    assert find_answer("The answer is 5.", "letter", choices=("50", "5.2", "5")) == "C"
    assert find_answer("The answer is 5.2 km", "letter", choices=("5", "5.2")) == "B"
    assert find_answer("The answer is 5.25", "letter", choices=("5", "5.2")) is None
    assert find_answer("The answer is C major", "letter", choices=("C major", "C minor", "D")) == "A"
    assert find_answer("The answer is river bank", "letter", choices=("river", "river bank")) == "B"
    assert find_answer("The answer is 687.", "letter", choices=("687", "687", "12")) is None
    assert find_answer("The answer is B.", "letter", choices=("E", "B")) == "B"


@pytest.mark.parametrize(
    ("text", "gold", "equal"),
    [
        ("The answer is 1/2.", "0.5", True),
        ("The answer is 1/2 of it", "1/2", True),
        ("The answer is 48/2=24", "48", True),
        ("The answer is 3/4/2021", "3", True),
        ("The answer is 1/0", "1", False),
    ],
)
def test_a_stated_fraction_is_a_number(text: str, gold: str, equal: bool) -> None:
    found = find_answer(text, "number")
    assert found is not None and same(found, gold, "number") is equal


@pytest.mark.parametrize(
    ("rule_name", "text", "found"),
    [
        ("aqua", " (E). Not D.", "E"),
        ("aqua", " none of these", None),
        ("aqua", "F, then B", "B"),
        ("commonsense_qa", "probably (A), (B) or (D).", "A"),
        ("commonsense_qa", " stagger", None),
        ("commonsense_qa", "Definitely C", "D"),
        ("date_understanding", " F.", "F"),
        ("date_understanding", " 04/26/2002", None),
        ("tracking_shuffled_objects", " D or C", "C"),
        ("tracking_shuffled_objects", "the blue ball", None),
        ("multiarith", " 1,234 of 5", "1234"),
        ("multiarith", "\n\n5-3 is 2", "5"),
        ("multiarith", " it is -3.", "-3"),
        ("multiarith", " $12.50.", "12.50"),
        ("multiarith", " moot.", None),
        ("gsm8k", " 12.", "12"),
        ("gsm8k", " 6.75 + 6.75 = 13.5", "6.75"),
        ("gsm8k", "$57,500", "57500"),
        ("svamp", ": 7", "7"),
        ("svamp", " 51.0", "51.0"),
        ("addsub", " 0.09 grams.", "0.09"),
        ("addsub", "-.5", "5"),
        ("single_eq", " 1/10.", "1"),
        ("single_eq", " \n\n", None),
        ("strategy_qa", " No, a chipmunk could not", "no"),
        ("strategy_qa", " not known.", None),
        ("strategy_qa", " (Yes)", None),
        ("strategy_qa", " dependent: YES", "yes"),
        ("strategy_qa", "yes-no", None),
        ("coin_flip", ":\n\nYes", "yes"),
        ("coin_flip", ' "no".', "no"),
        ("coin_flip", " heads up", None),
        ("last_letter_concatenation", ' "fn el".', "fnel"),
        ("last_letter_concatenation", " n-a-e-y", "n-a-e-y"),
        ("last_letter_concatenation", " \n", None),
        ("hashes", "18 eggs\n#### 1,234", "1234"),
        ("hashes", "the answer is 18", None),
    ],
)
def test_the_first_candidate_counts_where_no_prefix_is_asked_for(rule_name: str, text: str, found: str | None) -> None:
    assert find_answer(text, rule_name) == found


@pytest.mark.parametrize("rule_name", list(STATED_AS))
def test_every_dataset_of_fine_tune_cot_has_its_rule(rule_name: str) -> None:
    text = {"letter": "B C --> A B", "number": "1 2 --> 3 4", "yes_no": "no no --> yes no", "exact": "ab --> cd"}[STATED_AS[rule_name]]
    after = {"letter": "A", "number": "3", "yes_no": "yes", "exact": "cd"}[STATED_AS[rule_name]]
    last = {"letter": "B", "number": "4", "yes_no": "no", "exact": "ab-->cd"}[STATED_AS[rule_name]]
    assert find_answer(text, rule_name, prefix="-->") == after
    assert find_answer(text, rule_name, prefix="The answer is") == last


def test_the_stated_rules_know_prefixes_too() -> None:
    assert find_answer("A or C. --> (B) END", "letter", prefix="-->") == "B"
    assert find_answer("3 and 4 --> 7 (not 8)", "number", prefix="-->") == "7"
    assert find_answer("no --> Yes.", "yes_no", prefix="-->") == "yes"
    assert find_answer("x -->\nNew York.", "exact", prefix="-->") == "New York"
    assert find_answer("The answer is 3. The answer is 4.", "number", prefix="-->") == "4"


def test_defect_2_8_ft_cot_natural_is_found_with_and_without_the_comma() -> None:
    prefix = PREFIXES["ft_cot_natural"]
    assert find_answer("5 and 6. \n\nTherefore the answer is 11, not 12", "multiarith", prefix=prefix) == "11"
    assert find_answer("5 and 6. \n\nTherefore, the answer is 11, not 12", "multiarith", prefix=prefix) == "11"
    both = "Therefore the answer is 1. Therefore, the answer is 2."
    assert find_answer(both, "multiarith", prefix=prefix) == "1"


@pytest.mark.parametrize(
    ("rule_name", "one", "other", "equal"),
    [
        ("svamp", "51.0", "51", True),
        ("gsm8k", "1,234", "1234", True),
        ("gsm8k", "Natalia sold 48/2 = 24.\n#### 1,072", "1072", True),
        ("addsub", "0.8333333333333333", "0.8333333333333334", True),
        ("addsub", "0.83333", "0.83334", False),
        ("multiarith", "-3", "3", False),
        ("single_eq", "0.1", "1/10", True),
        ("multiarith", "nan", "nan", True),
        ("multiarith", "nan", "1", False),
        ("strategy_qa", "Yes", "yes", True),
        ("aqua", "B", "(B)", True),
        ("last_letter_concatenation", "nk", "nK", False),
    ],
)
def test_answers_of_a_dataset_are_compared_by_its_shape(rule_name: str, one: str, other: str, equal: bool) -> None:
    assert same(one, other, rule_name) is equal


def test_rules_are_known_by_other_names_too() -> None:
    assert rule("singleeq") is rule("single_eq")
    assert rule("letters") is rule("letter")
    assert normalise("Q #### 12", "####") == "12"


def test_a_score_tells_correct_contained_formatted_and_complete_apart() -> None:
    template = {"rule": "multiarith", "prefix": "-->"}
    right = score_completion(" 3 + 4 = 7 --> 7 END", "7.0", **template, finish_reason="stop")
    assert (right.correct, right.contains_answer, right.correct_format, right.complete, right.found) == (True, True, True, True, "7")
    wrong = score_completion("7 --> 8, or 7", "7", **template, finish_reason="length")
    assert (wrong.correct, wrong.contains_answer, wrong.correct_format, wrong.complete) == (False, True, True, False)
    before = score_completion("7 --> 8", "7", **template)
    assert (before.correct, before.contains_answer, before.complete) == (False, False, None)
    cut = score_completion("3 + 4 is 7", "7", **template, finish_reason="length")
    assert (cut.correct, cut.correct_format, cut.found) == (True, False, "7")
    nothing = score_completion("", "7", **template, finish_reason="stop")
    assert (nothing.correct, nothing.contains_answer, nothing.correct_format, nothing.found) == (False, False, False, None)
    summary = summarise([right, wrong, cut, nothing])
    assert (summary.n, summary.accuracy, summary.contains_answer) == (4, 0.5, 0.75)
    assert (summary.correct_format, summary.complete) == (0.5, 0.5)
    assert summarise([before]).complete is None
    assert summarise([before, right]).complete == 0.5


def test_candidates_are_all_that_could_be_meant() -> None:
    assert find_candidates("3 and 1,4 or 5.", "gsm8k").all == ("3", "14", "5")
    assert find_candidates("The answer is (A). The answer is (b).", "letter").all == ("A", "B")


def test_a_text_of_its_own_is_taken_whole():
    assert find_answer("  It is red. It is big.\n", "text") == "it is red it is big"
    assert find_answer(" Roses are red. The answer is It is red. It is big.", "text") == "it is red it is big"
    assert find_answer("Red!", "text") == "red"
    assert same("The  sea, he said.", "the sea he said", "text")
    assert not same("the sea", "a sea", "text")
    assert find_answer(" \n", "text") is None
