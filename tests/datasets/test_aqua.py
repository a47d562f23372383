from pathlib import Path
from typing import Any

import pytest
from dataset_files import lines, one, prepared, prompt, read

from teacherlm.errors import UserError

ROW = {
    "question": "How much?",
    "options": ["A)5", "B) 1.25", "C)-3", "D)0", "E)None of these"],
    "rationale": "So.\nAnswer: C",
    "correct": "C",
}


@pytest.fixture(scope="module")
def folder(test_data: Path) -> Path:
    return test_data / "data" / "zero_shot_cot" / "dataset" / "AQuA"


@pytest.mark.real
def test_every_option_is_without_its_letter_and_the_letter_is_the_published_one(folder: Path):
    published = lines(folder / "test.json")
    questions = read("aqua", folder)["test"]
    assert len(questions) == len(published) == 254
    for question, row in zip(questions, published, strict=True):
        assert question.answer == row["correct"] and question.explanation == row["rationale"].strip()
        assert [option[:2] for option in row["options"]] == ["A)", "B)", "C)", "D)", "E)"]
        assert list(question.choices) == [option[2:].strip() for option in row["options"]]
    assert questions[0].choices == ("5(√3 + 1)", "6(√3 + √2)", "7(√3 – 1)", "8(√3 – 2)", "None of these")


@pytest.mark.real
def test_prepared_rows_have_all_five_choices(folder: Path, tmp_path: Path):
    rows = prepared(tmp_path / "out", "aqua", folder / "test.json", explanations=True)
    assert len(rows) == 254
    assert rows[1]["text"].endswith("price of the item? (A) $61 (B) $65 (C) $67.40 (D) $70 (E) $78.20 A: The answer is (E).")
    assert rows[1]["options"] == ["A)$61", "B)$65", "C)$67.40", "D)$70", "E)$78.20"]


def test_the_published_splits_are_known_by_their_files(tmp_path: Path):
    """Written by hand: train and dev are not at hand."""
    for name in ("train", "dev", "test"):
        question = one("aqua", tmp_path / f"{name}.json", ROW)
        assert prompt(question) == "Q: How much? (A) 5 (B) 1.25 (C) -3 (D) 0 (E) None of these A:"
        assert question.answer == "C"
    assert list(read("aqua", tmp_path)) == ["train", "validation", "test"]


@pytest.mark.parametrize("text", ["n/a", "", "None"])
def test_a_placeholder_is_no_rationale(text: str, tmp_path: Path):
    assert one("aqua", tmp_path / "dev.json", {**ROW, "rationale": text}).explanation == ""


@pytest.mark.parametrize(
    ("change", "choices"),
    [
        ({"options": ["5", "6", "7"]}, ("5", "6", "7")),
        ({"options": ["(A) 5", "(B) 6", "(C) 7"]}, ("5", "6", "7")),
        ({"options": ["A)", "B)A)", "C)7"]}, ("", "A)", "7")),
    ],
)
def test_an_option_loses_one_letter_at_most(change: dict[str, Any], choices: tuple[str, ...], tmp_path: Path):
    assert one("aqua", tmp_path / "dev.json", {**ROW, **change}).choices == choices


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"options": ["A)5", "C)6", "B)7"]}, r"dev\.json:1: option 'C\)6' stands where option B belongs"),
        ({"correct": "F"}, r"dev\.json:1: answer 'F' is outside the choices"),
        ({"correct": ""}, r"dev\.json:1: there is no 'correct'; a split without labels cannot be prepared"),
        ({"options": "A)5"}, r"dev\.json:1: column 'options' must be a list of texts, found 'A\)5'"),
    ],
)
def test_what_is_wrong_is_said_with_its_place(change: dict[str, Any], message: str, tmp_path: Path):
    with pytest.raises(UserError, match=message):
        one("aqua", tmp_path / "dev.json", {**ROW, **change})
