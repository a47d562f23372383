"""WinoGrande's own files are not at hand: all rows here are written by hand to the published form."""

from pathlib import Path
from typing import Any

import pytest
from dataset_files import one, prepared, prompt, read, write_lines

from teacherlm.errors import UserError

ROW = {"qID": "3Q-2", "sentence": "Ian ate Dennis's menudo because _ hated it.", "option1": "Ian", "option2": "Dennis", "answer": "2"}


def write_all(folder: Path) -> Path:
    for number, size in enumerate(("xs", "s", "m", "l", "xl"), start=1):
        write_lines(folder / f"train_{size}.jsonl", [{**ROW, "qID": f"{size}{row}"} for row in range(number)])
    write_lines(folder / "dev.jsonl", [ROW])
    write_lines(folder / "test.jsonl", [{name: value for name, value in ROW.items() if name != "answer"}])
    return folder


@pytest.mark.parametrize(("answer", "letter", "text"), [("1", "A", "Ian"), ("2", "B", "Dennis"), (1, "A", "Ian"), (2, "B", "Dennis")])
def test_the_answer_counts_from_one_as_text_or_number(answer: Any, letter: str, text: str, tmp_path: Path):
    """Llama-Instruction-Tuning compared "1" with 1 and so always took the second option."""
    question = one("winogrande", tmp_path / "dev.jsonl", {**ROW, "answer": answer})
    assert (question.answer, question.response) == (letter, (("ANSWER", text),))
    assert question.blocks == (("SENTENCE", ROW["sentence"]), ("OPTION1", "Ian"), ("OPTION2", "Dennis"))
    assert prompt(question) == "Q: Ian ate Dennis's menudo because _ hated it. (A) Ian (B) Dennis A:"
    assert question.source_id == "3Q-2"


@pytest.mark.parametrize(("size", "count"), [("xs", 1), ("s", 2), ("m", 3), ("l", 4), ("xl", 5)])
def test_the_size_chooses_the_training_file(size: str, count: int, tmp_path: Path):
    found = read("winogrande", write_all(tmp_path), size=size)
    assert {split: len(questions) for split, questions in found.items()} == {"train": count, "validation": 1}
    assert {question.source_id[: len(size)] for question in found["train"]} == {size}


def test_the_size_may_stand_in_the_name(tmp_path: Path):
    rows = prepared(tmp_path / "out", "winogrande_m", write_all(tmp_path / "data"))
    assert [row["id"] for row in rows] == ["m0", "m1", "m2"]
    assert rows[0]["text"].endswith("(A) Ian (B) Dennis A: The answer is (B).") and rows[0]["source_answer"] == "2"


def test_one_file_of_any_size_is_the_train_split(tmp_path: Path):
    assert len(read("winogrande", write_all(tmp_path) / "train_s.jsonl")["train"]) == 2


def test_the_test_file_without_answers_is_refused_alone(tmp_path: Path):
    with pytest.raises(UserError, match=r"test\.jsonl:1: there is no 'answer'; a split without labels cannot be prepared"):
        read("winogrande", write_all(tmp_path) / "test.jsonl")


def test_a_download_of_the_hubs_repository_has_a_folder_for_each_size(tmp_path: Path):
    import pyarrow as pa
    import pyarrow.parquet as pq

    hub = {name: value for name, value in ROW.items() if name != "qID"}
    for size in ("m", "xl"):
        folder = tmp_path / f"winogrande_{size}"
        folder.mkdir()
        pq.write_table(pa.Table.from_pylist([{**hub, "sentence": f"{size} _"}]), folder / "train-00000-of-00001.parquet")
        pq.write_table(pa.Table.from_pylist([{**hub, "answer": ""}]), folder / "test-00000-of-00001.parquet")
    found = read("winogrande", tmp_path, size="m")
    assert {split: questions[0].question for split, questions in found.items()} == {"train": "m _"}


@pytest.mark.parametrize("answer", ["0", "3", 0, "A", True, "Ian"])
def test_any_other_answer_is_refused(answer: Any, tmp_path: Path):
    with pytest.raises(UserError, match=r"dev\.jsonl:1: answer .* is outside the choices: \(A\) Ian; \(B\) Dennis"):
        one("winogrande", tmp_path / "dev.jsonl", {**ROW, "answer": answer})
