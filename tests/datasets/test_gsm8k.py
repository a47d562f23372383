import re
from pathlib import Path

import pytest
from dataset_files import lines, one, prepared, prompt, read, write_lines

from teacherlm.answers import same
from teacherlm.errors import UserError
from teacherlm.records import Question

NATALIA = "Natalia sold 48/2 = <<48/2=24>>24 clips in May.\nNatalia sold 48+24 = <<48+24=72>>72 clips altogether in April and May.\n#### 72"
ROW = {"question": "How many?", "answer": "He has <<1+1=2>>2.\n#### 2"}


@pytest.fixture(scope="module")
def folder(test_data: Path) -> Path:
    return test_data / "data" / "gsm8k"


@pytest.fixture(scope="module")
def published(folder: Path) -> list[dict[str, str]]:
    return lines(folder / "train.jsonl")


@pytest.fixture(scope="module")
def questions(folder: Path) -> list[Question]:
    return read("gsm8k", folder)["train"]


@pytest.mark.real
def test_every_answer_is_the_number_behind_the_hashes(questions: list[Question], published: list[dict[str, str]]):
    assert len(questions) == 7473
    for question, row in zip(questions, published, strict=True):
        assert question.answer == row["answer"].splitlines()[-1].removeprefix("####").strip()
        assert same(question.answer, str(int(question.answer.replace(",", ""))), "number")
        assert (question.answer_rule, question.choices, question.question) == ("number", (), row["question"])
    assert sum("," in question.answer for question in questions) == 79
    assert sum(question.answer.startswith("-") for question in questions) == 3


@pytest.mark.real
def test_the_explanation_is_the_solution_without_annotations_and_last_line(
    folder: Path, questions: list[Question], published: list[dict[str, str]]
):
    kept = read("gsm8k", folder, calculator=True)["train"]
    for plain, annotated, row in zip(questions, kept, published, strict=True):
        assert "<<" not in plain.explanation and "####" not in plain.explanation and plain.explanation
        assert annotated.explanation == row["answer"].rpartition("####")[0].strip()
        assert re.sub("<<.*?>>", "", annotated.explanation) == plain.explanation
        assert plain.response == (("ANSWER", row["answer"]),) and plain.blocks == (("QUESTION", row["question"]),)
    assert sum("<<" not in question.explanation for question in kept) == 95


@pytest.mark.real
def test_prepared_rows_state_the_number(folder: Path, published: list[dict[str, str]], tmp_path: Path):
    rows = prepared(tmp_path / "out", "gsm8k", folder, explanations=True)
    assert len(rows) == len({row["id"] for row in rows}) == 7473
    assert rows[0]["source_answer"] == published[0]["answer"] == NATALIA
    assert rows[0]["text"] == f"Q: {published[0]['question']} A: The answer is 72."
    assert rows[0]["explanation_head"] == (
        f"Q: {published[0]['question']} A: Let's think step by step. Natalia sold 48/2 = 24 clips in May.\n"
        "Natalia sold 48+24 = 72 clips altogether in April and May. The answer is 72."
    )


@pytest.mark.parametrize(("end", "number"), [("#### 1,234", "1,234"), ("####-5", "-5"), ("#### $0.50", "$0.50"), ("#### 7\n", "7")])
def test_other_spellings_of_the_last_line(end: str, number: str, tmp_path: Path):
    assert one("gsm8k", tmp_path / "test.jsonl", {**ROW, "answer": f"So.\n{end}"}).answer == number


@pytest.mark.parametrize("answer", ["It is 5.", "#### five", "####", "#### 5 apples"])
def test_a_solution_without_a_number_at_its_end_is_refused(answer: str, tmp_path: Path):
    with pytest.raises(UserError, match=r"test\.jsonl:1: column 'answer' does not end in '#### <number>' \(it ends in"):
        one("gsm8k", tmp_path / "test.jsonl", {**ROW, "answer": answer})


def test_the_socratic_form_lies_beside_the_plain_one(tmp_path: Path):
    """Written by hand: the published socratic files are not at hand."""
    socratic = {**ROW, "answer": "How many has he? ** He has 2.\n#### 2"}
    write_lines(tmp_path / "train.jsonl", [ROW])
    write_lines(tmp_path / "test.jsonl", [ROW, ROW])
    write_lines(tmp_path / "train_socratic.jsonl", [socratic])
    assert {split: len(found) for split, found in read("gsm8k", tmp_path).items()} == {"train": 1, "test": 2}
    (question,) = read("gsm8k", tmp_path, socratic=True)["train"]
    assert question.explanation == "How many has he? ** He has 2."
    assert list(read("gsm8k", tmp_path / "train_socratic.jsonl")) == ["train"]


def test_a_download_of_the_hubs_repository_has_a_folder_for_each_configuration(tmp_path: Path):
    """Written by hand as the hub's repository lies on a disk."""
    import pyarrow as pa
    import pyarrow.parquet as pq

    for config, answer in (("main", "#### 1"), ("socratic", "#### 2")):
        (tmp_path / config).mkdir()
        pq.write_table(pa.Table.from_pylist([{**ROW, "answer": answer}]), tmp_path / config / "train-00000-of-00001.parquet")
    assert read("gsm8k", tmp_path)["train"][0].answer == "1"
    assert read("gsm8k", tmp_path, socratic=True)["train"][0].answer == "2"


def test_a_question_reads_as_any_other(tmp_path: Path):
    assert prompt(one("gsm8k", tmp_path / "test.jsonl", ROW)) == "Q: How many? A:"
