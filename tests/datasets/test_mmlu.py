import csv
from pathlib import Path
from typing import Any

import pytest
from dataset_files import prepared, prompt, read, rows_of, write_lines, write_text

from teacherlm.errors import UserError
from teacherlm.prompts import template
from teacherlm.records import Question

LETTERS = "ABCD"
INTRO = "The following are multiple choice questions (with answers) about"
FIELD = "Find the degree for the given field extension Q(sqrt(2), sqrt(3), sqrt(18)) over Q. (A) 0 (B) 4 (C) 2 (D) 6"


@pytest.fixture(scope="module")
def folder(test_data: Path) -> Path:
    return test_data / "data" / "mmlu"


def cells(path: Path) -> list[dict[str, str]]:
    with path.open(encoding="utf-8", newline="") as file:
        return list(csv.DictReader(file))


def of(questions: list[Question], subject: str) -> list[Question]:
    return [question for question in questions if question.raw["subject"] == subject]


@pytest.mark.real
def test_every_row_of_the_published_folders_is_a_question_of_its_subject(folder: Path):
    found = read("mmlu", folder)
    assert {split: len(questions) for split, questions in found.items()} == {"dev": 285, "test": 4052}
    for split, questions in found.items():
        files = sorted((folder / split).glob("*.csv"))
        rows = [(file.name.removesuffix(f"_{split}.csv"), row) for file in files for row in cells(file)]
        for question, (subject, row) in zip(questions, rows, strict=True):
            assert question.raw == {**row, "subject": subject}
            assert question.answer == LETTERS[int(row["answer"])]
            assert [choice.split() for choice in question.choices] == [row[f"choice{number}"].split() for number in range(4)]
            assert "\n" not in question.question and "\r" not in question.question
            assert question.question.endswith((".", ",", "?", "!", '"'))
            assert question.question.rstrip(".").split() == row["question"].rstrip().rstrip(".").split()
    assert len({question.raw["subject"] for question in found["dev"]}) == 57


@pytest.mark.real
def test_the_other_header_gives_the_same_questions(folder: Path):
    flat = read("mmlu", folder / "header_abcd_dialect")["test"]
    assert len(flat) == 203 and list(flat[0].raw) == ["question", "A", "B", "C", "D", "answer", "subject"]
    algebra = of(read("mmlu", folder)["test"], "abstract_algebra")
    assert [question.answer for question in of(flat, "abstract_algebra")] == [question.answer for question in algebra]
    assert prompt(of(flat, "abstract_algebra")[0]) == prompt(algebra[0]) == f"Q: {FIELD} A:"


@pytest.mark.real
def test_with_intro_the_prompt_is_that_of_teacherlms_evaluation(folder: Path):
    first = read("mmlu", folder / "test", intro=True)["test"][0]
    assert prompt(first) == f"{INTRO} abstract algebra. Q: {FIELD} A:"


@pytest.mark.real
def test_other_templates_say_the_intro_once(folder: Path):
    first = read("mmlu", folder / "test", intro=True)["test"][0]
    for spec in ("tk_instruct", "zs", "ft_cot_token", "ft_natural"):
        assert template(spec).prompt(first).count(INTRO) == 1, spec


@pytest.mark.real
def test_equal_choices_are_told_apart_by_the_published_number(folder: Path):
    found = read("mmlu", folder)
    elementary = of(found["test"], "elementary_mathematics")[113]
    published = cells(folder / "test" / "elementary_mathematics_test.csv")[113]
    assert elementary.choices.count("687") == 2 and elementary.choices[LETTERS.index(elementary.answer)] == "687"
    assert LETTERS.index(elementary.answer) == int(published["answer"])
    for subject, split, row in (("business_ethics", "test", 2), ("high_school_biology", "dev", 2)):
        question = of(found[split], subject)[row]
        assert len(set(question.choices)) < 4 and question.answer in LETTERS


@pytest.mark.real
def test_lines_inside_a_field_become_one_line_and_are_kept_in_the_row(folder: Path):
    found = read("mmlu", folder)
    crlf = [question for question in of(found["dev"], "college_mathematics") if "\r\n" in "".join(map(str, question.raw.values()))]
    assert crlf and all("\r" not in prompt(question) and "\n" not in prompt(question) for question in crlf)
    nutrition = of(found["test"], "nutrition")
    assert all("\n" in question.raw["question"] and "\n" not in question.question for question in nutrition)
    assert nutrition[0].question.endswith("?"), "a line break behind the question mark asks for no full stop"


@pytest.mark.real
def test_prepared_rows_keep_the_columns_and_the_subject(folder: Path, tmp_path: Path):
    rows = prepared(tmp_path / "out", "mmlu", folder, split="test")
    assert len(rows) == len({row["id"] for row in rows}) == 4052
    row = rows[0]
    assert row["text"] == f"Q: {FIELD} A: The answer is (B)."
    assert (row["subject"], row["source_answer"], row["choice1"], row["choices"]) == ("abstract_algebra", "1", "4", ["0", "4", "2", "6"])


BARE = 'What is 2+2?,3,4,5,6,B\n"Which of these\nis a ""word"":",687,687,1,true,A\n'


def test_the_first_distribution_has_no_header_and_letters(tmp_path: Path):
    """Written by hand: the files as first distributed are not at hand."""
    for split in ("dev", "val", "test"):
        write_text(tmp_path / split / f"college_physics_{split}.csv", BARE)
    write_text(tmp_path / "auxiliary_train" / "race.csv", BARE)
    found = read("mmlu", tmp_path)
    assert {split: len(questions) for split, questions in found.items()} == {"train": 2, "dev": 2, "validation": 2, "test": 2}
    first, second = found["validation"]
    assert prompt(first) == "Q: What is 2+2? (A) 3 (B) 4 (C) 5 (D) 6 A:"
    assert (first.answer, first.raw["subject"]) == ("B", "college_physics")
    assert prompt(second) == 'Q: Which of these is a "word":. (A) 687 (B) 687 (C) 1 (D) true A:'
    assert second.answer == "A"
    assert found["train"][0].raw["subject"] == "race"
    assert second.where.endswith("college_physics_val.csv:2")


def test_a_first_row_with_equal_cells_is_no_header(tmp_path: Path):
    path = write_text(tmp_path / "x_test.csv", "How many?,687,687,1,2,A\n")
    assert [question.choices for question in read("mmlu", path)["test"]] == [("687", "687", "1", "2")]


def test_files_may_lie_in_one_folder_and_be_compressed(tmp_path: Path):
    import gzip

    write_text(tmp_path / "a_val.csv", "question,A,B,C,D,answer\nWhy?,1,2,3,4,0\n")
    (tmp_path / "b_val.csv.gz").write_bytes(
        gzip.compress("\ufeffquestion,choice0,choice1,choice2,choice3,answer\r\nWhy?,1,2,3,4,3\r\n".encode())
    )
    found = read("mmlu", tmp_path)["validation"]
    assert [(question.raw["subject"], question.answer) for question in found] == [("a", "A"), ("b", "D")]


def test_one_file_a_split_brings_the_subject_as_a_column(tmp_path: Path):
    text = 'question,subject,choices,answer\nWho?,sociology,"[""a"", ""b"", ""c"", ""d""]",1\n'
    for split in ("dev", "val", "test"):
        write_text(tmp_path / f"{split}.csv", text)
    found = read("mmlu", tmp_path, intro=True)
    assert list(found) == ["dev", "validation", "test"]
    assert prompt(found["test"][0]) == f"{INTRO} sociology. Q: Who? (A) a (B) b (C) c (D) d A:"


@pytest.mark.parametrize(("row", "answer"), [({"answer": 2}, "C"), ({"answer": "C"}, "C"), ({"answer": "2"}, "C"), ({"answer": "c"}, "C")])
def test_the_hubs_rows_have_a_list_of_choices(row: dict[str, Any], answer: str, tmp_path: Path):
    """Written by hand as the hub's rows are."""
    given = {"question": "Who goes", "subject": "us_foreign_policy", "choices": ["a", "b", "c", "d"], **row}
    (question,) = read("mmlu", write_lines(tmp_path / "x.jsonl", [given]), intro=True)["train"]
    assert prompt(question) == f"{INTRO} us foreign policy. Q: Who goes. (A) a (B) b (C) c (D) d A:"
    assert question.answer == answer


def test_the_hubs_splits_are_named_as_ours(tmp_path: Path):
    """Written by hand as `save_to_disk` does."""
    from datasets import Dataset, DatasetDict

    row = {"question": "Who?", "subject": "sociology", "choices": ["a", "b", "c", "d"], "answer": 1}
    names = ("auxiliary_train", "dev", "validation", "test")
    DatasetDict({name: Dataset.from_list([row]) for name in names}).save_to_disk(str(tmp_path / "hub"))
    assert {split: found[0].answer for split, found in read("mmlu", tmp_path / "hub").items()} == {
        "train": "B", "dev": "B", "validation": "B", "test": "B",
    }  # fmt: skip


def test_in_blocks_the_answer_is_the_text_of_the_choice(tmp_path: Path):
    (question,) = read("mmlu", write_text(tmp_path / "x_test.csv", "What is 2+2?,3,4,5,6,B\n"))["test"]
    assert question.blocks == (("QUESTION", "What is 2+2?"), ("CHOICES", "(0): 3 (1): 4 (2): 5 (3): 6"))
    assert question.response == (("ANSWER", "4"),)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("question,A,B,C,D,answer\nWhy?,1,2,3,4,4\n", r"x_test\.csv:2: answer '4' is outside the choices: \(A\) 1; \(B\) 2"),
        ("Why?,1,2,3,4,E\n", r"x_test\.csv:1: answer 'E' is outside the choices"),
        ("Why?,1,2,3,4,\n", r"x_test\.csv:1: there is no 'answer'; a split without labels cannot be prepared"),
        ("Why?,1,2,3,4,A\nWhy?,1,2,3,A\n", r"x_test\.csv:2: the row has 5 cells where the dataset names 6 columns"),
        ("question,A,B,C,answer\nWhy?,1,2,3,0\n", r"x_test\.csv:2: column 'D' is missing \(found: question, A, B, C, answer\)"),
        ("", r"x_test\.csv: the file has no rows"),
    ],
)
def test_what_is_wrong_is_said_with_its_place(text: str, message: str, tmp_path: Path):
    with pytest.raises(UserError, match=message):
        read("mmlu", write_text(tmp_path / "x_test.csv", text))


def test_intro_needs_a_subject(tmp_path: Path):
    row = {"question": "Who?", "choices": ["a", "b", "c", "d"], "answer": 0}
    with pytest.raises(UserError, match=r"there is no column 'subject'; leave out `intro`"):
        from datasets import Dataset

        Dataset.from_list([row]).save_to_disk(str(tmp_path / "hub"))
        read("mmlu", tmp_path / "hub", intro=True)


def test_a_folder_without_any_of_the_files_names_what_was_looked_for(tmp_path: Path):
    write_text(tmp_path / "notes.txt", "")
    with pytest.raises(UserError, match=r"holds neither auxiliary_train/\*\.csv, .*test/\*_test\.csv"):
        rows_of("mmlu", tmp_path)
