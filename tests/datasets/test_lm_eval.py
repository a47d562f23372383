import json
from pathlib import Path
from typing import Any

import pytest

from teacherlm.dataset import BadRow
from teacherlm.errors import UserError
from teacherlm.prompts import template
from teacherlm.records import Question
from teacherlm.stages.prepare import PrepareConfig, prepare

COLOURS = """
task: colours
dataset_path: json
dataset_kwargs: {{data_files: {{train: {folder}/train.jsonl, test: {folder}/test.jsonl}}}}
training_split: train
test_split: test
output_type: {output_type}
doc_to_text: "What colour is {{{{thing}}}}?\\nAnswer:"
doc_to_target: {target}
{more}
metadata: {{version: 1.0}}
"""


def write_task(folder: Path, output_type: str = "multiple_choice", target: str = "gold", more: str = "doc_to_choice: options") -> Path:
    folder.mkdir(exist_ok=True)
    rows = [
        {"id": f"c{n}", "thing": thing, "options": ["white", "green", "black"], "gold": n % 3, "colour": ["white", "green", "black"][n % 3]}
        for n, thing in enumerate(("snow", "grass", "coal", "milk"))
    ]
    for split in ("train", "test"):
        (folder / f"{split}.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    (folder / "colours.yaml").write_text(COLOURS.format(folder=folder, output_type=output_type, target=target, more=more))
    return folder


def prepared(tmp_path: Path, dataset: Any, **values: Any) -> list[dict[str, Any]]:
    from datasets import load_from_disk

    prepare(PrepareConfig.model_validate({"dataset": dataset, "output": tmp_path / "out", **values}))
    found: list[dict[str, Any]] = load_from_disk(str(tmp_path / "out"))["train"].to_list()
    return found


def test_a_students_text_is_what_the_task_weighs_with_the_right_choice(tmp_path: Path):
    folder = write_task(tmp_path / "tasks")
    rows = prepared(tmp_path, {"name": "lm_eval:colours", "include_path": [str(folder)]})
    assert [row["text"] for row in rows[:2]] == ["What colour is snow?\nAnswer: white", "What colour is grass?\nAnswer: green"]
    assert [row["prompt"] for row in rows[:1]] == ["What colour is snow?\nAnswer:"]
    assert [(row["id"], row["answer"], row["choices"]) for row in rows[2:3]] == [("c2", "C", ["white", "green", "black"])]


def test_a_free_answer_stands_behind_the_tasks_own_delimiter(tmp_path: Path):
    folder = write_task(tmp_path / "tasks", "generate_until", "colour", 'target_delimiter: " -> "')
    rows = prepared(tmp_path, {"name": "lm_eval", "task": "colours", "include_path": [str(folder)]})
    assert rows[2]["text"] == "What colour is coal?\nAnswer: -> black"
    assert rows[2]["answer"] == "black"


def test_where_the_choices_are_different_prompts_the_right_one_is_learnt(tmp_path: Path):
    choices = "{{['Snow is ' + options[0], 'Snow is ' + options[1], 'Snow is ' + options[2]]}}"
    folder = write_task(tmp_path / "tasks", target='" as everybody knows."', more=f'doc_to_choice: "{choices}"\ntarget_delimiter: ""')
    path = folder / "colours.yaml"
    path.write_text(path.read_text().replace('doc_to_text: "What colour is {{thing}}?\\nAnswer:"', "doc_to_text: gold"))
    rows = prepared(tmp_path, {"name": "lm_eval", "task": "colours", "include_path": [str(folder)]})
    assert [row["text"] for row in rows[:2]] == ["Snow is white as everybody knows.", "Snow is green as everybody knows."]


@pytest.mark.real
def test_creaks_own_task_teaches_in_the_words_of_its_measurement(creak: Path, tmp_path: Path):
    rows = prepared(tmp_path, "lm_eval:creak", source=str(creak), limit=50)
    plain = tmp_path / "plain"
    prepare(PrepareConfig.model_validate({"dataset": "creak", "source": str(creak), "output": plain, "limit": 50}))
    from datasets import load_from_disk

    for ours, theirs in zip(load_from_disk(str(plain))["train"].to_list(), rows, strict=True):
        assert theirs["prompt"] == ours["prompt"] + " The answer is ("
        assert theirs["text"] == theirs["prompt"] + ours["answer"]
        assert theirs["id"] == ours["id"]


@pytest.mark.slow
@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"task": "colour"}, "No task named 'colour'. Did you mean 'colours'?"),
        ({"take": "test"}, "lm_eval:colours: measures on its test split; a student must not learn from it."),
        ({"take": "validation"}, "has no validation split to learn from (others it does not measure on: train)"),
        ({"include_path": ["nowhere"]}, "include_path: nowhere: no such folder."),
    ],
)
def test_what_cannot_be_learnt_is_said_in_one_line(tmp_path: Path, change: dict[str, Any], message: str):
    folder = write_task(tmp_path / "tasks")
    with pytest.raises(UserError) as caught:
        prepared(tmp_path, {"name": "lm_eval", "task": "colours", "include_path": [str(folder)], **change})
    assert message in str(caught.value)
    assert not (tmp_path / "out").exists()


def test_a_broken_jinja_text_of_a_task_is_one_line(tmp_path: Path):
    folder = write_task(tmp_path / "tasks", more='doc_to_choice: "{{[one for one in options]}}"')
    with pytest.raises(UserError, match="lm_eval:colours: expected token ',', got 'for'"):
        prepared(tmp_path, {"name": "lm_eval", "task": "colours", "include_path": [str(folder)]})


def test_a_row_without_gold_is_a_bad_row(tmp_path: Path):
    folder = write_task(tmp_path / "tasks")
    rows = (folder / "train.jsonl").read_text().replace('"gold": 1', '"gold": -1')
    (folder / "train.jsonl").write_text(rows)
    with pytest.raises(
        UserError, match=r"lm_eval:colours: train row 1: the task names none of its 3 choices as the right one \(it says -1\)"
    ):
        prepared(tmp_path, {"name": "lm_eval", "task": "colours", "include_path": [str(folder)]})


def test_verbatim_changes_no_byte():
    question = Question("  Two  spaces \n", " a  b ")
    assert template("verbatim").prompt(question) + template("verbatim").label(question) == "  Two  spaces \n a  b "
    assert not isinstance(question, BadRow)
