import json
from collections import Counter
from pathlib import Path

import pytest
from reading import found, prepared, put, questions, reason, write

from teacherlm.dataset import BadRow
from teacherlm.datasets.alpaca import as_input
from teacherlm.errors import UserError
from teacherlm.records import Question

ROW = {"instruction": "Sort it.", "input": "3 1", "output": "1 3"}


@pytest.mark.real
def test_every_real_row_is_a_question_but_for_the_two_without_an_output(test_data: Path):
    path = test_data / "data" / "alpaca" / "alpaca_5000.json"
    published = json.loads(path.read_text())
    rows = found("alpaca", path)["train"]
    bad = {number: row.reason for number, row in enumerate(rows) if isinstance(row, BadRow)}
    assert bad == {number: f"{path}: item {number + 1}: the output is empty." for number in (2335, 4658)}
    for row, theirs in zip(rows, published, strict=True):
        if isinstance(row, Question):
            assert (row.raw, row.answer) == (theirs, theirs["output"])
            assert row.blocks[0] == ("INSTRUCTION", theirs["instruction"]) and row.question.startswith(theirs["instruction"])


@pytest.mark.real
def test_inputs_that_say_that_there_is_none_are_none_in_all_spellings_of_the_real_file(test_data: Path):
    published = json.loads((test_data / "data" / "alpaca" / "alpaca_5000.json").read_text())
    given = Counter(row["input"] for row in published)
    assert given[""] == 3057
    none = {text: count for text, count in given.items() if text and not as_input(text)}
    assert none == {
        "No input": 18,
        "Noinput": 10,
        "No input.": 4,
        "<No input>": 4,
        "<no input>": 4,
        "noinput": 3,
        "No Input": 3,
        "<No Input>": 2,
        "< noinput >": 2,
        "N/A": 2,
        "None": 1,
        "<noput>": 1,
        "<ninput>": 1,
        "[noinput]": 1,
        "(No input)": 1,
        "<Noinput>.": 1,
        "{\\noinput}": 1,
        '"<noinput>"': 1,
        "\\<noinput\\>": 1,
        "No input needed.": 1,
        "No input required": 1,
        "No input required.": 1,
    }
    suspicious = ("input", "n/a", "none", "nothing", "applicable")
    left = {text for text in given if as_input(text) and len(text) < 30 and any(word in text.lower() for word in suspicious)}
    assert left == {"Input: 2", 'user input = "up"'}


@pytest.mark.parametrize("text", ["Na", "NA", "<image attached>", "No inputs are allowed", "none of the above", "0", "+", "-6.2"])
def test_an_input_that_says_something_stays(text: str):
    assert as_input(text) == text


def test_a_row_without_an_input_has_no_block_for_it(tmp_path: Path):
    path = write(tmp_path / "x.json", [ROW, {**ROW, "input": "<noinput>"}, {"instruction": "Sort.", "output": "1"}])
    first, second, third = questions("alpaca", path)["train"]
    assert put(first, "blocks") == ("### INSTRUCTION:\nSort it.\n\n### INPUT:\n3 1\n\n### RESPONSE:\n", "1 3")
    assert put(second, "blocks") == ("### INSTRUCTION:\nSort it.\n\n### RESPONSE:\n", "1 3")
    assert (first.question, second.question, third.question) == ("Sort it.\n3 1", "Sort it.", "Sort.")
    assert second.raw == {**ROW, "input": "<noinput>"}


@pytest.mark.real
def test_each_instance_of_a_seed_task_is_a_question(test_data: Path, tmp_path: Path):
    tasks = questions("alpaca", test_data / "data" / "alpaca" / "seed_tasks.jsonl")["train"]
    assert len(tasks) == 175 and sum(len(task.blocks) == 1 for task in tasks) == 50
    assert put(tasks[1], "blocks") == (
        "### INSTRUCTION:\nWhat is the relation between the given pairs?\n\n### INPUT:\nNight : Day :: Right : Left\n\n### RESPONSE:\n",
        "The relation between the given pairs is that they are opposites.",
    )
    assert tasks[1].raw == {
        "id": "seed_task_1",
        "name": "antonym_relation",
        "instruction": "What is the relation between the given pairs?",
        "is_classification": False,
        "input": "Night : Day :: Right : Left",
        "output": "The relation between the given pairs is that they are opposites.",
    }
    two = {"id": "t", "instruction": "Double it.", "instances": [{"input": "1", "output": "2"}, {"input": "2", "output": "4"}]}
    rows = prepared(tmp_path / "out", dataset="alpaca", source=str(write(tmp_path / "seed_tasks.jsonl", [two])))["train"]
    assert [(row["id"], row["answer"]) for row in rows] == [("t", "2"), ("t-2", "4")]


@pytest.mark.real
def test_beside_the_other_file_the_seed_tasks_are_a_split_of_their_own(test_data: Path):
    read = found("alpaca", test_data / "data" / "alpaca")
    assert {split: len(rows) for split, rows in read.items()} == {"train": 5000, "seed_tasks": 175}


@pytest.mark.parametrize(
    ("row", "message"),
    [
        ({**ROW, "output": " \n"}, "the output is empty."),
        ({**ROW, "output": None}, "the output is empty."),
        ({**ROW, "instruction": ""}, "the instruction is empty."),
        ({"instruction": "Sort."}, "column 'output' is missing (found: instruction)."),
        ({"instruction": "Sort.", "instances": "1"}, "instances must be a list of {input, output}, found '1'."),
        ({"instruction": "Sort.", "instances": []}, "the task has no instances."),
    ],
)
def test_a_row_that_teaches_nothing_is_a_bad_one_with_its_place(row: dict[str, object], message: str, tmp_path: Path):
    path = write(tmp_path / "x.jsonl", [row])
    assert reason("alpaca", path) == f"{path}:1: {message}"


def test_a_bad_row_ends_the_work_or_is_dropped_with_its_reason(tmp_path: Path):
    path = write(tmp_path / "alpaca_data.json", [ROW, {**ROW, "output": ""}])
    with pytest.raises(UserError, match=r"alpaca_data\.json: item 2: the output is empty"):
        prepared(tmp_path / "fails", dataset="alpaca", source=str(path))
    rows = prepared(tmp_path / "drops", dataset="alpaca", source=str(path), on_bad_row="drop")["train"]
    assert [row["template"] for row in rows] == ["blocks"]
    (dropped,) = (json.loads(line) for line in (tmp_path / "drops" / "dropped.jsonl").read_text().splitlines())
    assert dropped["row"] == {**ROW, "output": ""} and dropped["reason"].endswith("the output is empty.")
