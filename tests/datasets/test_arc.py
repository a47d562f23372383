"""ARC's own files are not at hand: all rows here are written by hand to the published forms."""

from pathlib import Path
from typing import Any

import pytest
from dataset_files import one, prepared, prompt, read, write_lines

from teacherlm.errors import UserError

PALMS = ("dry palms", "wet palms", "oily palms", "cold palms")


def published(name: str, labels: str = "ABCD", key: str = "A") -> dict[str, Any]:
    choices = [{"text": text, "label": label} for text, label in zip(PALMS, labels, strict=False)]
    return {"id": name, "question": {"stem": "Which palms?", "choices": choices}, "answerKey": key}


def flat(name: str, labels: str = "ABCD", key: str = "A") -> dict[str, Any]:
    return {"id": name, "question": "Which palms?", "choices": {"text": list(PALMS), "label": list(labels)}, "answerKey": key}


def write_subsets(folder: Path) -> Path:
    for subset in ("Challenge", "Easy"):
        for part in ("Train", "Dev", "Test"):
            write_lines(folder / f"ARC-{subset}" / f"ARC-{subset}-{part}.jsonl", [published(f"{subset}-{part}")])
    return folder


@pytest.mark.parametrize("row", [published("x", key="B"), flat("x", key="B")])
def test_published_and_hub_rows_give_the_same_question(row: dict[str, Any], tmp_path: Path):
    question = one("arc", tmp_path / "ARC-Easy-Dev.jsonl", row)
    assert prompt(question) == "Q: Which palms? (A) dry palms (B) wet palms (C) oily palms (D) cold palms A:"
    assert (question.answer, question.source_id, question.answer_rule) == ("B", "x", "letter")
    assert question.blocks == (
        ("QUESTION", "Which palms?"),
        ("CANDIDATE ANSWERS", "(A): dry palms (B): wet palms (C): oily palms (D): cold palms"),
    )
    assert question.response == (("ANSWER", "wet palms"),)


@pytest.mark.parametrize("make", [published, flat])
@pytest.mark.parametrize(("labels", "key", "letter"), [("1234", "4", "D"), ("1234", "1", "A"), ("ABCD", "D", "D")])
def test_labels_may_be_numbers_and_letters(make: Any, labels: str, key: str, letter: str, tmp_path: Path):
    question = one("arc", tmp_path / "ARC-Easy-Dev.jsonl", make("x", labels, key))
    assert question.answer == letter
    assert question.blocks[1][1].startswith(f"({labels[0]}): dry palms")
    assert question.response == (("ANSWER", PALMS["ABCD".index(letter)]),)


def test_a_question_may_have_three_choices(tmp_path: Path):
    assert one("arc", tmp_path / "ARC-Easy-Dev.jsonl", published("x", "ABC", "C")).choices == PALMS[:3]


@pytest.mark.parametrize(
    ("subset", "train"),
    [("challenge", ["Challenge-Train"]), ("easy", ["Easy-Train"]), ("both", ["Challenge-Train", "Easy-Train"])],
)
def test_the_archive_holds_a_folder_for_each_subset(subset: str, train: list[str], tmp_path: Path):
    found = read("arc", write_subsets(tmp_path), subset=subset)
    assert list(found) == ["train", "validation", "test"]
    assert [question.source_id for question in found["train"]] == train
    assert [question.source_id for question in found["test"]] == [name.replace("Train", "Test") for name in train]


def test_one_folder_of_the_archive_and_one_file_of_it_are_enough(tmp_path: Path):
    write_subsets(tmp_path)
    assert [question.source_id for question in read("arc", tmp_path / "ARC-Easy")["train"]] == ["Easy-Train"]
    assert list(read("arc", tmp_path / "ARC-Easy" / "ARC-Easy-Dev.jsonl")) == ["validation"]
    with pytest.raises(UserError, match=r"ARC-Easy: holds neither ARC-Challenge-Train\.jsonl, "):
        read("arc", tmp_path / "ARC-Easy", subset="challenge")


def test_a_download_of_the_hubs_repository_is_read_too(tmp_path: Path):
    import pyarrow as pa
    import pyarrow.parquet as pq

    for subset in ("Challenge", "Easy"):
        (tmp_path / f"ARC-{subset}").mkdir()
        pq.write_table(pa.Table.from_pylist([flat(subset, key="C")]), tmp_path / f"ARC-{subset}" / "train-00000-of-00001.parquet")
    assert [(question.source_id, question.answer) for question in read("arc", tmp_path)["train"]] == [("Challenge", "C"), ("Easy", "C")]
    assert [question.source_id for question in read("arc", tmp_path, subset="easy")["train"]] == ["Easy"]


def test_a_subset_written_by_save_to_disk_is_read_as_it_is(tmp_path: Path):
    from datasets import Dataset, DatasetDict

    DatasetDict({"train": Dataset.from_list([flat("x")]), "test": Dataset.from_list([flat("y")])}).save_to_disk(str(tmp_path / "hub"))
    assert {split: found[0].source_id for split, found in read("arc", tmp_path / "hub").items()} == {"train": "x", "test": "y"}


def test_prepared_rows_keep_the_columns(tmp_path: Path):
    rows = prepared(tmp_path / "out", "arc", write_subsets(tmp_path / "ARC-V1-Feb2018"))
    assert [row["id"] for row in rows] == ["Challenge-Train", "Easy-Train"]
    assert rows[0]["answerKey"] == "A" and rows[0]["question"]["stem"] == "Which palms?"


def test_the_subset_may_stand_in_the_name(tmp_path: Path):
    rows = prepared(tmp_path / "out", "arc-easy", write_subsets(tmp_path / "data"))
    assert [row["id"] for row in rows] == ["Easy-Train"]


@pytest.mark.parametrize(
    ("row", "message"),
    [
        (published("x", key="E"), r"ARC-Easy-Dev\.jsonl:1: answer 'E' is outside the choices: \(A\) dry palms"),
        (published("x", key=""), r"ARC-Easy-Dev\.jsonl:1: there is no 'answerKey'"),
        ({"answerKey": "A", "question": "Why?"}, r"ARC-Easy-Dev\.jsonl:1: column 'choices' is missing"),
    ],
)
def test_what_is_wrong_is_said_with_its_place(row: dict[str, Any], message: str, tmp_path: Path):
    with pytest.raises(UserError, match=message):
        one("arc", tmp_path / "ARC-Easy-Dev.jsonl", row)
