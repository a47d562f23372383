from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st
from reading import prepared, put

from teacherlm.prompts import KINDS, said_answer, template
from teacherlm.records import Question
from teacherlm.templates.blocks import Blocks

LETTER = 'blocks{"answer":"letter"}'
FISH = Question("Where do fish live?", "B", ("in trees", "in water"), answer_rule="letter")
SUM = Question("Tom has 5 apples and buys 3 more. How many has he?", "8", answer_rule="number")
ALPACA = Question(
    "Sort it.\n3 1",
    "1 3",
    blocks=(("INSTRUCTION", "Sort it."), ("INPUT", "3 1")),
    response=(("RESPONSE", "1 3"),),
)
COT = Question(
    "Is water wet?",
    "yes",
    explanation="It wets.",
    blocks=(("SOURCE", "Is water wet?"),),
    response=(("RATIONALE", "It wets."), ("TARGET", "yes")),
)
MMLU = Question(
    "How long is it?",
    "B",
    ("Ten hours.", "Nine hours."),
    answer_rule="letter",
    blocks=(("QUESTION", "How long is it?"), ("CHOICES", "(0): Ten hours. (1): Nine hours.")),
    response=(("ANSWER", "Nine hours."),),
)
ARC = Question(
    "What is hot?",
    "A",
    ("fire", "ice"),
    answer_rule="letter",
    blocks=(("QUESTION", "What is hot?"), ("CANDIDATE ANSWERS", "(A): fire (B): ice")),
    response=(("ANSWER", "fire"),),
)
WINOGRANDE = Question(
    "The bag held the knife because the _ was big.",
    "A",
    ("bag", "knife"),
    answer_rule="letter",
    blocks=(("SENTENCE", "The bag held the knife because the _ was big."), ("OPTION1", "bag"), ("OPTION2", "knife")),
    response=(("ANSWER", "bag"),),
)


def test_the_prompt_ends_in_the_header_of_the_response_and_the_rest_is_the_completion():
    assert put(ALPACA, "blocks") == ("### INSTRUCTION:\nSort it.\n\n### INPUT:\n3 1\n\n### RESPONSE:\n", "1 3")
    assert put(MMLU, "blocks") == (
        "### QUESTION:\nHow long is it?\n\n### CHOICES:\n(0): Ten hours. (1): Nine hours.\n\n### ANSWER:\n",
        "Nine hours.",
    )
    assert put(ARC, "blocks") == ("### QUESTION:\nWhat is hot?\n\n### CANDIDATE ANSWERS:\n(A): fire (B): ice\n\n### ANSWER:\n", "fire")
    assert put(WINOGRANDE, "blocks") == (
        "### SENTENCE:\nThe bag held the knife because the _ was big.\n\n### OPTION1:\nbag\n\n### OPTION2:\nknife\n\n### ANSWER:\n",
        "bag",
    )


def test_further_parts_of_a_response_are_blocks_of_the_completion():
    assert put(COT, "blocks") == ("### SOURCE:\nIs water wet?\n\n### RATIONALE:\n", "It wets.\n\n### TARGET:\nyes")


def test_a_question_without_blocks_is_put_as_question_choices_and_answer():
    assert put(SUM, "blocks") == ("### QUESTION:\nTom has 5 apples and buys 3 more. How many has he?\n\n### ANSWER:\n", "8")
    assert put(FISH, "blocks") == (
        "### QUESTION:\nWhere do fish live?\n\n### CHOICES:\n(A): in trees (B): in water\n\n### ANSWER:\n",
        "in water",
    )


def test_a_value_stays_as_it_is():
    code = "def f():\n    return  1\n"
    question = Question(code, code, blocks=(("CODE", code),), response=(("RESPONSE", code),))
    assert put(question, "blocks") == (f"### CODE:\n{code}\n\n### RESPONSE:\n", code)


@pytest.mark.parametrize(("question", "shown"), [(FISH, "### CHOICES:\n(A): in trees"), (ARC, "### CANDIDATE ANSWERS:\n(A): fire")])
def test_letters_are_answered_under_the_header_of_the_prompt(question: Question, shown: str):
    prompt, completion = put(question, LETTER)
    assert shown in prompt and prompt.endswith("\n\n### ANSWER:\n")
    assert completion == f"({question.answer})"
    assert (prompt + completion).startswith(prompt + template(LETTER).letter_prefix + question.answer)
    assert template("blocks").letter_prefix == ""


@pytest.mark.parametrize("question", [MMLU, WINOGRANDE])
def test_blocks_that_show_no_letters_are_not_used_where_letters_are_asked_for(question: Question):
    prompt, completion = put(question, LETTER)
    shown = f"(A): {question.choices[0]} (B): {question.choices[1]}"
    assert prompt == f"### QUESTION:\n{question.question}\n\n### CHOICES:\n{shown}\n\n### ANSWER:\n"
    assert completion == f"({question.answer})"


def test_answer_first_is_followed_by_a_block_with_the_rationale():
    one = template("blocks")
    start = "### QUESTION:\nWhere do fish live?\n\n### CHOICES:\n(A): in trees (B): in water\n\n### ANSWER:\nin water"
    texts = [one.tail(one.prompt(FISH), one.answer("B", FISH.choices), kind, " They have gills. ") for kind in KINDS]
    assert texts == [f"{start}\n\n### {name}:\nThey have gills." for name in ("RATIONALE", "COMMON MISTAKES", "FUNDAMENTAL")]


def test_a_rationale_that_comes_first_ends_in_the_block_target():
    one = template("blocks")
    told = "### QUESTION:\nTom has 5 apples and buys 3 more. How many has he?\n\n### ANSWER:\n5 + 3 = 8.\n\n### TARGET:\n8"
    assert one.head(one.prompt(SUM), one.answer("8", ()), "cot", " 5 + 3 = 8.") == told
    assert one.head(one.prompt(SUM), "8", "cot", "5 + 3 = 8.\n\n### TARGET:\n8") == told


def test_a_prompt_that_asks_for_a_rationale_gets_a_teachers_in_the_same_place():
    one = template("blocks")
    prompt = one.prompt(COT)
    assert one.head(prompt, "yes", "cot", " It wets.") == prompt + one.label(COT)
    assert one.tail(prompt, "yes", "cot", " It wets.") == f"{prompt}### TARGET:\nyes\n\n### RATIONALE:\nIt wets."


@pytest.mark.parametrize("layout", ["label", "tail", "head"])
@pytest.mark.parametrize("question", [FISH, SUM, ALPACA, COT, MMLU, ARC, WINOGRANDE])
def test_what_a_student_was_taught_to_write_is_read_as_its_answer(question: Question, layout: str):
    one = template("blocks")
    prompt, answer = put(question, "blocks")[0], one.answer(question.answer, question.choices)
    rationale = "It has 12 of them, and none is 7."
    texts = {
        "label": prompt + one.label(question),
        "tail": one.tail(prompt, answer, "cot", rationale),
        "head": one.head(prompt, answer, "cot", rationale),
    }
    written = texts[layout].removeprefix(prompt)
    assert said_answer(f"{written}\n\n\n\n### QUESTION:\nAnother?", "blocks", question.answer_rule, question.choices) == question.answer


def test_the_answer_of_a_gsm8k_solution_is_behind_its_four_signs():
    assert said_answer("48/2 = 24 clips.\n48+24 = 72 clips.\n#### 72", "blocks", "number") == "72"


def test_shots_stand_three_empty_lines_apart_and_what_is_written_ends_there():
    one = template("blocks")
    assert isinstance(one, Blocks)
    shots = ["### QUESTION:\n1?\n\n### ANSWER:\n1", "### QUESTION:\n2?\n\n### ANSWER:\n2"]
    asked = "### QUESTION:\n3?\n\n### ANSWER:\n"
    assert one.few_shot(shots, asked).split("\n\n\n\n") == [*shots, asked]
    assert one.stops == ("\n\n\n\n",)


def test_a_question_can_be_taken_out_of_its_prompt():
    one = template("blocks")
    assert one.question_of(one.prompt(FISH)) == "Where do fish live? (A): in trees (B): in water"
    assert one.question_of(one.prompt(SUM)) == SUM.question
    assert one.question_of(one.prompt(ALPACA)) == "### INSTRUCTION:\nSort it.\n\n### INPUT:\n3 1"


def test_an_objective_with_several_tasks_names_them_in_a_block():
    one = template("blocks")
    assert one.objective_prefix("label") + one.prompt(SUM) == f"### TASK:\nPredict.\n\n{one.prompt(SUM)}"
    assert one.objective_prefix("rationale") == "### TASK:\nExplain.\n\n"


pieces = st.lists(st.sampled_from([" ", "  ", "\n", "\n\n", "### ANSWER:\n", "### TARGET:\n", "a", "é"]), max_size=8).map("".join)


@given(pieces, st.lists(pieces, max_size=3), pieces, pieces, st.sampled_from(KINDS), st.sampled_from(["blocks", LETTER]))
def test_every_layout_begins_with_its_prompt(question: str, choices: list[str], gold: str, rationale: str, kind: str, spec: str):
    one = template(spec)
    asked = Question(question, "A" if choices else gold, tuple(choices))
    prompt, answer = one.prompt(asked), one.answer(asked.answer, asked.choices)
    for text in (prompt + one.label(asked), one.tail(prompt, answer, kind, rationale), one.head(prompt, answer, kind, rationale)):
        assert text.startswith(prompt)


@pytest.mark.real
def test_defect_a_prefix_that_differs_from_the_text_the_mask_of_every_real_row_begins_behind_the_last_header(
    test_data: Path, tmp_path: Path
):
    from teacherlm.training.texts import build_texts, read_table

    source = str(test_data / "data" / "alpaca" / "alpaca_5000.json")
    rows = prepared(tmp_path / "out", dataset="alpaca", source=source, on_bad_row="drop")["train"]
    table = read_table(tmp_path / "out" / "train")
    texts = build_texts(table, "text", completion_only=True)
    assert len(texts) == 4998
    for text, row in zip(texts, rows, strict=True):
        assert text.text[: text.start] == row["prompt"] and row["prompt"].endswith("\n\n### RESPONSE:\n")
        assert text.text[text.start :] == row["output"]
