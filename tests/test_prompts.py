from hypothesis import given
from hypothesis import strategies as st

from teacherlm.prompts import KINDS, SUFFIX, clean, covers, find_template, gathered, said_answer, short_name, teacher_text, template
from teacherlm.records import Question

pieces = [" ", "  ", "\n", "\t", "Q: ", "Q:", "a", "B.", "é", "(A)", "The answer is (B)."]
words = st.lists(st.sampled_from(pieces), max_size=12).map("".join)


def test_a_lettered_prompt_is_the_original_one():
    prompt = template("teacherlm").prompt(Question("Eating soup means eating only solids.", "B", ("True", "False")))
    assert prompt == "Q: Eating soup means eating only solids. (A) True (B) False A:"
    assert template("teacherlm").answer("B", ("True", "False")) == " The answer is (B)."
    assert template("teacherlm").letter_prefix == " The answer is ("


def test_a_free_answer_has_no_brackets_and_one_full_stop():
    assert template("teacherlm").prompt(Question("How many?", "1")) == "Q: How many? A:"
    assert template("teacherlm").answer("42", ()) == " The answer is 42."
    assert template("teacherlm").answer("U.S.", ()) == " The answer is U.S."


def test_defect_1_a_question_that_begins_with_q_gets_only_one():
    assert template("teacherlm").prompt(Question("Q: Where?", "A", ("here", "there"))) == "Q: Where? (A) here (B) there A:"
    assert template("teacherlm").prompt(Question("Q: Q:Where?", "A")) == "Q: Where? A:"


def test_head_does_not_state_the_answer_twice():
    prompt, answer = "Q: How? A:", " The answer is (B)."
    expected = "Q: How? A: Let's think step by step. Soup is liquid. The answer is (B)."
    assert template("teacherlm").head(prompt, answer, "cot", " Soup is liquid.") == expected
    assert template("teacherlm").head(prompt, answer, "cot", " Soup is liquid. The answer is (B).") == expected
    assert (
        template("teacherlm").head(prompt, answer, "cot", "Soup is liquid. So the answer is (B)").endswith("liquid. So the answer is (B).")
    )


def test_tail_puts_the_answer_first_and_goes_on_as_the_teacher_did():
    start = "Q: How? A: The answer is (B). The common mistakes are:"
    assert template("teacherlm").tail("Q: How? A:", " The answer is (B).", "error", "  Soup is liquid. ") == f"{start} Soup is liquid."
    assert template("teacherlm").tail("Q: How? A:", " The answer is (B).", "error", '" he said.') == f'{start}" he said.'


@given(st.text(st.sampled_from(" \n\tab"), max_size=30))
def test_cleaning_is_idempotent_and_leaves_no_doubled_space(text: str):
    assert clean(clean(text)) == clean(text)
    assert "  " not in clean(text)


@given(words, st.lists(words.filter(lambda text: "Q:" not in text), max_size=3), words, words, st.sampled_from(KINDS))
def test_no_layout_has_a_doubled_space_or_a_doubled_q(question: str, choices: list[str], gold: str, rationale: str, kind: str):
    one = template("teacherlm")
    prompt = one.prompt(Question(question, "B", tuple(choices)))
    answer = one.answer("B" if choices else gold.replace("Q:", ""), choices)
    texts = [prompt, prompt + answer, teacher_text(prompt, answer, kind)]
    texts += [layout(prompt, answer, kind, rationale) for layout in (one.tail, one.head)]
    for text in texts:
        assert "  " not in text
        assert text.startswith("Q: ")
        assert not text[3:].lstrip().startswith("Q:")
        assert text.startswith(prompt)
    assert SUFFIX[kind] in texts[-1]


def test_templates_that_differ_in_their_settings_alone_are_one_name():
    assert gathered(["teacherlm", "teacherlm"]) == ("teacherlm",)
    assert gathered(['chat{"system":"a"}', "teacherlm"]) == ('chat{"system":"a"}', "teacherlm")
    assert gathered([f'chat{{"system":"{n}"}}' for n in range(1000)]) == ("chat{*}",)


def test_a_student_of_several_templates_knows_each_of_them_and_nothing_else():
    assert covers(("blocks", "teacherlm"), ("teacherlm",))
    assert not covers(("teacherlm",), ("blocks",))
    assert not covers(("ft_token",), ('ft_token{"stop":"END"}',))
    assert covers(("ft_token{*}",), ('ft_token{"stop":"END"}',)) and not covers(("ft_token",), ("ft_token{*}",))


def test_a_template_of_others_is_none_of_ours_and_its_answers_are_read_as_everywhere():
    assert find_template("somebody_elses") is None
    assert said_answer("So. The answer is 7.", "somebody_elses", "number") == "7"
    assert said_answer("The answer is 7. Q: What? A: The answer is 8.", "teacherlm", "number") == "7"
    assert said_answer("Nothing.", "teacherlm", "letter") is None


def test_a_short_spec_is_shown_and_a_long_one_is_named_by_its_content():
    assert short_name('ft_token{"stop":"END"}') == 'ft_token{"stop":"END"}'
    one, other = (short_name(f'chat{{"system":"{letter * 80}"}}') for letter in "ab")
    assert one != other and one.startswith("chat ") and len(one) == 13
