"""HellaSwag's own files are not at hand: all rows here are written by hand to the published form."""

import importlib
from pathlib import Path
from typing import Any

import pytest
from dataset_files import one, prepared, prompt, read, write_lines

from teacherlm.errors import UserError

ENDINGS = [", the man adds wax.", ", a person boards a lift.", ", the man puts on a coat.", ", the man removes snow."]
ROW = {
    "ind": 4,
    "activity_label": "Removing ice from car",
    "ctx_a": "Then, the man writes over the snow.",
    "ctx_b": "then",
    "ctx": "Then, the man writes over the snow. then",
    "split": "train",
    "split_type": "indomain",
    "label": 3,
    "endings": ENDINGS,
    "source_id": "activitynet~v_-1IBHYS3L-Y",
}
WIKIHOW = {
    **ROW,
    "ind": 5,
    "activity_label": "Home and Garden",
    "ctx_a": "[header] How to ice a cake [title] Mix sugar and milk . [step] Stir  well.",
    "ctx_b": "",
    "endings": ["Pour. [substeps] Let it run.", "[step] Eat it.", "Go  away.", "Wait [title] Then eat."],
}


def test_the_question_is_put_together_as_published_and_the_letter_is_the_label(tmp_path: Path):
    question = one("hellaswag", tmp_path / "hellaswag_train.jsonl", ROW)
    assert prompt(question) == (
        "Q: Removing ice from car: Then, the man writes over the snow. Then "
        "(A) , the man adds wax. (B) , a person boards a lift. (C) , the man puts on a coat. (D) , the man removes snow. A:"
    )
    assert (question.answer, question.source_id) == ("D", "4")
    endings = "(0): , the man adds wax. (1): , a person boards a lift. (2): , the man puts on a coat. (3): , the man removes snow."
    assert question.blocks == (("CONTEXT", ROW["ctx"]), ("CANDIDATE ENDINGS", endings))
    assert question.response == (("ANSWER", ", the man removes snow."),)


@pytest.mark.parametrize("row", [ROW, WIKIHOW, {**ROW, "ctx_b": "he AND she"}, {**WIKIHOW, "ctx_a": " [header] [title] a [b [c] d"}])
def test_question_and_endings_are_cleaned_as_lm_eval_does(row: dict[str, Any], tmp_path: Path):
    from datasets import Dataset

    theirs = importlib.import_module("lm_eval.tasks.hellaswag.utils").process_docs(Dataset.from_list([row]))[0]
    question = one("hellaswag", tmp_path / "hellaswag_train.jsonl", row)
    assert question.question == theirs["query"]
    assert list(question.choices) == theirs["choices"]
    assert "ABCD".index(question.answer) == theirs["gold"]


@pytest.mark.parametrize("label", [2, "2"])
def test_the_label_is_a_number_or_a_text(label: Any, tmp_path: Path):
    assert one("hellaswag", tmp_path / "hellaswag_val.jsonl", {**ROW, "label": label}).answer == "C"


def test_the_files_are_named_as_published_and_the_test_file_has_no_labels(tmp_path: Path):
    for split in ("train", "val"):
        write_lines(tmp_path / f"hellaswag_{split}.jsonl", [ROW, WIKIHOW])
    unlabelled = {name: value for name, value in ROW.items() if name != "label"}
    alone = write_lines(tmp_path / "hellaswag_test.jsonl", [unlabelled])
    assert {split: len(found) for split, found in read("hellaswag", tmp_path).items()} == {"train": 2, "validation": 2}
    with pytest.raises(UserError, match=r"hellaswag_test\.jsonl:1: there is no 'label'; a split without labels cannot be prepared"):
        read("hellaswag", alone)


def test_the_hubs_empty_labels_of_test_are_left_out(tmp_path: Path):
    from datasets import Dataset, DatasetDict

    rows = {"train": {**ROW, "label": "1"}, "validation": {**ROW, "label": "0"}, "test": {**ROW, "label": ""}}
    DatasetDict({split: Dataset.from_list([row]) for split, row in rows.items()}).save_to_disk(str(tmp_path / "hub"))
    found = read("hellaswag", tmp_path / "hub")
    assert {split: questions[0].answer for split, questions in found.items()} == {"train": "B", "validation": "A"}


def test_prepared_rows_keep_the_columns(tmp_path: Path):
    rows = prepared(tmp_path / "out", "hellaswag", write_lines(tmp_path / "hellaswag_train.jsonl", [ROW, WIKIHOW]))
    assert [row["id"] for row in rows] == ["4", "5"]
    assert {name: rows[0][name] for name in ROW} == ROW
    assert rows[1]["text"] == (
        "Q: Home and Garden: How to ice a cake. Mix sugar and milk . Stir well. "
        "(A) Pour. Let it run. (B) Eat it. (C) Go away. (D) Wait. Then eat. A: The answer is (D)."
    )


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"label": 4}, r"hellaswag_val\.jsonl:1: answer 4 is outside the choices"),
        ({"label": "x"}, r"hellaswag_val\.jsonl:1: answer 'x' is outside the choices"),
        ({"endings": "one"}, r"hellaswag_val\.jsonl:1: column 'endings' must be a list of texts, found 'one'"),
    ],
)
def test_what_is_wrong_is_said_with_its_place(change: dict[str, Any], message: str, tmp_path: Path):
    with pytest.raises(UserError, match=message):
        one("hellaswag", tmp_path / "hellaswag_val.jsonl", {**ROW, **change})
