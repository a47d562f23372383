"""SlimOrca, CoT-Collection and OpenOrca: files written by hand in their published schemas, for none of them was at hand."""

import gzip
import json
from pathlib import Path
from typing import Any

import pytest
from reading import found, prepared, put, questions, reason, write

from teacherlm.dataset import BadRow
from teacherlm.errors import UserError
from teacherlm.prompts import template

SYSTEM = "You are an AI assistant. You will be given a task. You must generate a detailed and long answer."
TURNS: list[dict[str, Any]] = [
    {"from": "system", "value": SYSTEM, "weight": None},
    {"from": "human", "value": "Name a fish.\nAnd say why.", "weight": 0.0},
    {"from": "gpt", "value": "The trout.\n\nIt is  one.", "weight": 1.0},
]
COT = {"source": "Is water wet?", "target": "yes", "rationale": "It wets what it touches.", "task": "wet", "type": "CoT"}
ORCA = {"id": "flan.1", "system_prompt": SYSTEM, "question": "Which one? A) air B) water", "response": "B) water"}


def test_slimorca_repeats_from_and_value_and_ends_in_gpt(tmp_path: Path):
    path = write(tmp_path / "oo-labeled_correct.gpt4.sharegpt.jsonl", [{"conversations": TURNS}, {"conversations": TURNS[1:]}])
    first, second = questions("slimorca", path)["train"]
    asked = "### FROM:\nhuman\n\n### VALUE:\nName a fish.\nAnd say why.\n\n### GPT:\n"
    assert put(first, "blocks") == (f"### FROM:\nsystem\n\n### VALUE:\n{SYSTEM}\n\n{asked}", "The trout.\n\nIt is  one.")
    assert put(second, "blocks") == (asked, "The trout.\n\nIt is  one.")
    assert [turn["role"] for turn in first.messages] == ["system", "user", "assistant"]
    assert second.messages[-1] == {"role": "assistant", "content": "The trout.\n\nIt is  one."}
    assert (first.question, second.question) == (f"{SYSTEM}\n\nName a fish.\nAnd say why.", "Name a fish.\nAnd say why.")


@pytest.mark.parametrize(
    ("row", "message"),
    [
        ({"conversations": TURNS[:2]}, "the last turn, 2, is by the user, expected the assistant: there is no answer."),
        ({"conversations": []}, "expected a list of turns, found []."),
        ({"conversation": TURNS}, "column 'conversations' is missing (found: conversation)."),
    ],
)
def test_a_slimorca_row_whose_last_turn_is_not_gpts_is_a_bad_one(row: dict[str, Any], message: str, tmp_path: Path):
    path = write(tmp_path / "x.jsonl", [row])
    assert reason("slimorca", path) == f"{path}:1: {message}"


@pytest.mark.parametrize("layout", ["indexed", "indexed and indented", "list", "lines", "one line", "gzip"])
def test_cot_collection_is_read_as_an_object_of_rows_a_list_and_lines(layout: str, tmp_path: Path):
    rows = [COT, {**COT, "source": "Is “fire” wet?", "target": "no"}]
    indexed = {str(index): row for index, row in enumerate(rows)}
    path = tmp_path / "CoT_collection_en.json"
    match layout:
        case "indexed":
            write(path, indexed)
        case "indexed and indented":
            write(path, indexed, indent=4, ensure_ascii=False)
        case "list":
            write(path, rows)
        case "lines":
            path = write(tmp_path / "x.jsonl", rows)
        case "one line":
            path = write(tmp_path / "x.json", rows[0])
            rows = rows[:1]
        case "gzip":
            path = tmp_path / "CoT_collection_en.json.gz"
            path.write_bytes(gzip.compress(json.dumps(indexed).encode()))
    read = questions("cot_collection", path)
    assert list(read) == ["train"] and [question.raw for question in read["train"]] == rows


def test_cot_collection_asks_for_the_rationale_and_teaches_it_and_the_target(tmp_path: Path):
    path = write(tmp_path / "CoT_collection_en.json", {"0": COT})
    for place in (path, tmp_path):
        (question,) = questions("cot_collection", place)["train"]
    assert put(question, "blocks") == (
        "### SOURCE:\nIs water wet?\n\n### RATIONALE:\n",
        "It wets what it touches.\n\n### TARGET:\nyes",
    )
    assert (question.question, question.answer, question.explanation) == ("Is water wet?", "yes", COT["rationale"])
    assert put(question, "teacherlm") == ("Q: Is water wet? A:", " The answer is yes.")


def test_the_head_of_its_own_explanation_is_the_text_of_cot_collection(tmp_path: Path):
    source = str(write(tmp_path / "x.json", {"0": COT}))
    (row,) = prepared(tmp_path / "out", dataset="cot-collection", source=source, explanations=True)["train"]
    assert row["explanation_head"] == row["text"]
    assert row["text"].startswith(row["prompt"])


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ('{"0": {"source": "a", "target": "b", "rationale": "n/a"}}', "x.json: row '0': the rationale is empty."),
        ('{"0": {"source": "a", "target": " ", "rationale": "c"}}', "x.json: row '0': the target is empty."),
        ('{"0": {"source": "a", "target": "b"}}', "x.json: row '0': column 'rationale' is missing (found: source, target)."),
    ],
)
def test_a_bad_row_of_cot_collection_is_named_by_its_index(content: str, message: str, tmp_path: Path):
    (tmp_path / "x.json").write_text(content)
    assert reason("cot_collection", tmp_path / "x.json") == f"{tmp_path}/{message}"


def test_a_value_among_the_indexed_rows_that_is_none_is_a_bad_row(tmp_path: Path):
    path = write(tmp_path / "x.json", {"0": COT, "1": [1]})
    _, bad = found("cot_collection", path)["train"]
    assert isinstance(bad, BadRow) and bad.reason == f"{path}: row '1': expected a JSON object, found list."


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (json.dumps({"0": COT, "1": COT})[:-30], r"x\.json: is cut short\."),
        (f'{{"0": {json.dumps(COT)} "1": {json.dumps(COT)}}}', r"""x\.json: not valid JSON \(expected ',', found '"1": """),
    ],
)
def test_an_object_that_is_cut_short_or_broken_ends_the_work_in_one_line(content: str, message: str, tmp_path: Path):
    (tmp_path / "x.json").write_text(content)
    with pytest.raises(UserError, match=message):
        found("cot_collection", tmp_path / "x.json")["train"]


def test_rows_longer_than_what_is_read_at_once_are_read_whole(tmp_path: Path):
    long = {**COT, "source": "Is it so? " * 300_000}
    rows = {"0": COT, "1": long, "2": COT}
    assert [question.raw for question in questions("cot_collection", write(tmp_path / "x.json", rows))["train"]] == list(rows.values())


def test_a_file_of_another_encoding_says_so_or_is_read_as_it_is_told(tmp_path: Path):
    path = tmp_path / "x.json"
    path.write_bytes(json.dumps({"0": {**COT, "target": "café"}}, ensure_ascii=False).encode("latin-1"))
    with pytest.raises(UserError, match=r"x\.json: is not utf-8 .*; say its `encoding`"):
        found("cot_collection", path)
    ((question,),) = found("cot_collection", path, encoding="latin-1").values()
    assert not isinstance(question, BadRow) and question.answer == "café"


def test_openorca_mc_puts_the_system_prompt_as_the_instruction(tmp_path: Path):
    path = write(tmp_path / "train.jsonl", [ORCA, {**ORCA, "id": "flan.2", "system_prompt": ""}])
    first, second = questions("openorca_mc", path)["train"]
    asked = "### QUESTION:\nWhich one? A) air B) water\n\n### RESPONSE:\n"
    assert put(first, "blocks") == (f"### INSTRUCTION:\n{SYSTEM}\n\n{asked}", "B) water")
    assert put(second, "blocks") == (asked, "B) water")
    assert [turn["role"] for turn in first.messages] == ["system", "user", "assistant"]
    assert (first.source_id, first.choices, first.answer_rule) == ("flan.1", (), "text")


@pytest.mark.parametrize("empty", ["question", "response"])
def test_an_openorca_row_without_question_or_response_is_a_bad_one(empty: str, tmp_path: Path):
    path = write(tmp_path / "train.jsonl", [{**ORCA, empty: ""}])
    assert reason("openorca_mc", path) == f"{path}:1: the {empty} is empty."


@pytest.mark.parametrize(
    ("spelled", "name", "row"),
    [
        ("openorca-multiplechoice", "openorca_mc", ORCA),
        ("openorca-mc", "openorca_mc", ORCA),
        ("openorca-mc10k", "openorca_mc", ORCA),
        ("cot-collection", "cot_collection", COT),
        ("cot-collections", "cot_collection", COT),
        ("slimorca", "slimorca", {"conversations": TURNS}),
    ],
)
def test_defect_a_name_that_only_half_of_the_program_knew_every_spelling_is_prepared_and_masked(
    spelled: str, name: str, row: dict[str, Any], tmp_path: Path
):
    from teacherlm.training.texts import build_texts, read_table

    source = str(write(tmp_path / "train.jsonl", [row]))
    (written,) = prepared(tmp_path / "out", dataset=spelled, source=source)["train"]
    assert written["template"] == "blocks"
    (text,) = build_texts(read_table(tmp_path / "out" / "train"), "text", completion_only=True)
    (question,) = questions(name, Path(source))["train"]
    assert text.text[text.start :] == template("blocks").label(question)
