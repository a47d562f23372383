from pathlib import Path
from typing import Any

import pytest
from dataset_files import lines, one, prepared, prompt, read, write_lines

from teacherlm.errors import UserError
from teacherlm.stages.prepare import PrepareConfig, prepare

CHOICES = [{"label": letter, "text": text} for letter, text in zip("ABCDE", ("sky", "sun", "sand", "snow", "sea"), strict=True)]
NESTED = {"answerKey": "E", "id": "7", "question": {"question_concept": "blue", "choices": CHOICES, "stem": "What is wet?"}}
FLAT = {"id": "7", "question": "What is wet?", "question_concept": "blue", "answerKey": "E"}
FLAT["choices"] = {"label": list("ABCDE"), "text": ["sky", "sun", "sand", "snow", "sea"]}  # type: ignore[assignment]


@pytest.fixture(scope="module")
def folder(test_data: Path) -> Path:
    return test_data / "data" / "commonsenseqa"


@pytest.mark.real
def test_every_question_has_its_five_choices_and_the_published_letter(folder: Path):
    questions = read("commonsense_qa", folder)["train"]
    assert len(questions) == 9741
    for question, row in zip(questions, lines(folder / "train_rand_split.jsonl"), strict=True):
        assert (question.source_id, question.answer, question.question) == (row["id"], row["answerKey"], row["question"]["stem"])
        assert list(question.choices) == [choice["text"] for choice in row["question"]["choices"]]
    assert sum(len(set(question.choices)) < 5 for question in questions) == 122


@pytest.mark.real
def test_the_file_without_answers_is_left_out_of_a_folder_and_refused_alone(
    folder: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
):
    rows = prepared(tmp_path / "out", "commonsense_qa", folder)
    assert len(rows) == 9741 and sorted(path.name for path in (tmp_path / "out").iterdir() if path.is_dir()) == ["train"]
    assert rows[0]["text"].endswith("(A) ignore (B) enforce (C) authoritarian (D) yell at (E) avoid A: The answer is (A).")
    assert "test_rand_split_no_answers.jsonl: is left out, it is published without answers" in capsys.readouterr().err
    alone = {"dataset": "commonsense_qa", "source": str(folder / "test_rand_split_no_answers.jsonl"), "output": tmp_path / "alone"}
    with pytest.raises(UserError, match=r"no_answers\.jsonl:1: there is no 'answerKey'; a split without labels cannot be prepared"):
        prepare(PrepareConfig.model_validate(alone))


@pytest.mark.parametrize("row", [NESTED, FLAT])
def test_published_and_hub_rows_give_the_same_question(row: dict[str, Any], tmp_path: Path):
    """The hub's row is written by hand."""
    question = one("commonsense_qa", tmp_path / "dev_rand_split.jsonl", row)
    assert prompt(question) == "Q: What is wet? (A) sky (B) sun (C) sand (D) snow (E) sea A:"
    assert (question.answer, question.source_id, question.raw) == ("E", "7", row)


def test_the_hubs_test_split_without_answers_is_left_out(tmp_path: Path):
    """Written by hand as `save_to_disk` does: the hub has "" for an answer."""
    from datasets import Dataset, DatasetDict

    hub = DatasetDict({"train": Dataset.from_list([FLAT]), "test": Dataset.from_list([{**FLAT, "answerKey": ""}])})
    hub.save_to_disk(str(tmp_path / "hub"))
    assert list(read("commonsense_qa", tmp_path / "hub")) == ["train"]


@pytest.mark.parametrize(
    ("row", "message"),
    [
        ({**NESTED, "answerKey": "F"}, r"x\.jsonl:1: answer 'F' is outside the choices: \(A\) sky; \(B\) sun"),
        ({**NESTED, "question": {"stem": "Why?"}}, r"x\.jsonl:1: column 'choices' is missing \(found: stem\)"),
        ({**NESTED, "question": "Why?"}, r"x\.jsonl:1: column 'choices' is missing"),
        ({**NESTED, "question": {"stem": "Why?", "choices": []}}, r"x\.jsonl:1: the question has no choices"),
        ({**FLAT, "choices": {"label": ["A"], "text": []}}, r"x\.jsonl:1: column 'choices': 1 labels for 0 choices"),
        ({"answerKey": "A"}, r"x\.jsonl:1: column 'question' is missing \(found: answerKey\)"),
    ],
)
def test_what_is_wrong_is_said_with_its_place(row: dict[str, Any], message: str, tmp_path: Path):
    with pytest.raises(UserError, match=message):
        read("commonsense_qa", write_lines(tmp_path / "x.jsonl", [row]))
