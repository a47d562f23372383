import csv
from pathlib import Path
from typing import Any

import pytest
from dataset_files import checked, lines, prepared, prompt, read, rows_of, write_lines, write_text

from teacherlm.dataset import BadRow
from teacherlm.errors import UserError
from teacherlm.records import Question

LETTERS = "ABCDE"
AMBIGUOUS = {
    "bb7cba8495adeb89b611351214ebfca8": "E",
    "7d29a47082915adde55b40c75e11a1e8": "C",
    "65e7a36ab495298a8a2431a3887a8770": "C",
    "27c8cd02461ecb652ea19f578bcbec58": "D",
}
"""The four rows of val whose answer is the text of two options, with CommonsenseQA's key."""
HEADER = "q_no,q_concept,q_text,q_op1,q_op2,q_op3,q_op4,q_op5,q_ans,taskA_pos,taskA_neg,taskB"


@pytest.fixture(scope="module")
def folder(test_data: Path) -> Path:
    return test_data / "data" / "ecqa"


@pytest.fixture(scope="module")
def key(test_data: Path) -> str:
    return str(test_data / "data" / "commonsenseqa")


@pytest.fixture(scope="module")
def published(folder: Path) -> list[dict[str, str]]:
    with (folder / "cqa_data_val.csv").open(encoding="utf-8", newline="") as file:
        return list(csv.DictReader(file))


@pytest.fixture(scope="module")
def questions(folder: Path, key: str) -> list[Question]:
    found = read("ecqa", folder, answer_key=key)
    assert list(found) == ["validation"]
    return found["validation"]


def by_id(questions: list[Question]) -> dict[str, Question]:
    return {question.source_id: question for question in questions}


@pytest.mark.real
def test_every_row_has_the_letter_of_its_answer(questions: list[Question], published: list[dict[str, str]]):
    assert len(questions) == len(published) == 1090
    for question, row in zip(questions, published, strict=True):
        assert question.choices == tuple(row[f"q_op{number}"] for number in range(1, 6))
        assert question.choices[LETTERS.index(question.answer)] == row["q_ans"]
        assert (question.question, question.source_id, question.answer_rule) == (row["q_text"], row["q_no"], "letter")


@pytest.mark.real
def test_letters_agree_with_the_key_of_commonsense_qa(questions: list[Question], test_data: Path):
    published = lines(test_data / "data" / "commonsenseqa" / "train_rand_split.jsonl")
    keys = {row["id"]: row["answerKey"] for row in published}
    shared = [question for question in questions if question.source_id in keys]
    assert len(shared) == 966
    assert all(question.answer == keys[question.source_id] for question in shared)
    assert {name: by_id(questions)[name].answer for name in AMBIGUOUS} == AMBIGUOUS


@pytest.mark.real
def test_without_the_key_the_four_ambiguous_rows_are_bad_and_say_what_to_give(folder: Path):
    (rows,) = rows_of("ecqa", folder).values()
    bad = [row for row in rows if isinstance(row, BadRow)]
    assert [row.row["q_no"] for row in bad] == list(AMBIGUOUS)
    for row in bad:
        assert row.where in row.reason and "is ambiguous, it could mean (" in row.reason and "give `answer_key`" in row.reason
    assert len(rows) - len(bad) == 1086, "eight more rows have two equal options that are not the answer"


@pytest.mark.real
def test_the_three_explanations(folder: Path, key: str, questions: list[Question], published: list[dict[str, str]]):
    assert [question.explanation for question in questions] == [row["taskB"] for row in published]
    assert sum("\n" in question.explanation for question in questions) == 98
    for kind in ("taskA_pos", "taskA_neg"):
        (found,) = read("ecqa", folder, answer_key=key, explanation=kind).values()
        for question, row in zip(found, published, strict=True):
            facts = [line.strip() for line in row[kind].split("\n") if line.strip()]
            assert "\n" not in question.explanation and question.explanation.endswith((".", "!", "?", '."', ".)")), question.explanation
            assert question.explanation.replace(".", "").split() == " ".join(facts).replace(".", "").split()
    first = read("ecqa", folder, answer_key=key, explanation="taskA_pos")["validation"][1]
    assert first.explanation == "Racers compete on the race track. Competing involves going at high speed. Cars travel on a race track."


@pytest.mark.real
def test_the_word_true_stays_a_text_and_characters_stay_what_they_are(questions: list[Question], published: list[dict[str, str]]):
    assert sum(question.choices.count("true") for question in questions) == 2
    texts = [(question.question, *question.choices, question.explanation) for question in questions]
    assert sum("\xa0" in text for row in texts for text in row) > 0
    assert sum("’" in text for row in texts for text in row) > 0
    assert all(
        {k: v for k, v in q.raw.items() if k != "Unnamed: 0"} == {k: v for k, v in row.items() if k}
        for q, row in zip(questions, published, strict=True)
    )


@pytest.mark.real
def test_prepared_rows_carry_question_choices_and_explanation(folder: Path, key: str, tmp_path: Path):
    rows = prepared(tmp_path / "out", {"name": "ecqa", "answer_key": key}, folder, explanations=True)
    assert len(rows) == 1090
    assert rows[0]["text"] == (
        "Q: What does someone typically feel when applying for a job? (A) horror (B) anxiety and fear (C) rejection "
        "(D) increased workload (E) being employed A: The answer is (B)."
    )
    assert rows[0]["explanation_head"].endswith("the other options are not feelings. The answer is (B).")
    assert rows[0]["id"] == "af836abc58e0daf36df1d8d6830b70c5"


def row(**cells: str) -> dict[str, str]:
    values = {"q_no": "7", "q_concept": "sky", "q_text": "What is blue?", "q_op1": "sky", "q_op2": "sun", "q_op3": "sand", "q_op4": "snow"}
    return {
        **values,
        "q_op5": "sea",
        "q_ans": "sky",
        "taskA_pos": "The sky is blue",
        "taskA_neg": "The sun is yellow",
        "taskB": "It is.",
        **cells,
    }


def write_csv(path: Path, rows: list[dict[str, str]]) -> Path:
    with path.open("w", encoding="utf-8", newline="") as file:
        writer = csv.DictWriter(file, HEADER.split(","))
        writer.writeheader()
        writer.writerows(rows)
    return path


def one(tmp_path: Path, given: dict[str, str], **settings: Any) -> Question:
    ((found,),) = rows_of("ecqa", write_csv(tmp_path / "cqa_data_train.csv", [given]), **settings).values()
    return checked(found)


def test_the_files_are_named_as_the_authors_do_and_need_no_index_column(tmp_path: Path):
    """Written by hand: the published train and test files are not at hand."""
    for name in ("train", "val", "test"):
        write_csv(tmp_path / f"cqa_data_{name}.csv", [row(q_no=name)])
    found = read("ecqa", tmp_path)
    assert {split: questions[0].source_id for split, questions in found.items()} == {"train": "train", "validation": "val", "test": "test"}


def test_a_question_that_begins_with_its_own_q_gets_no_second_one(tmp_path: Path):
    """As the 2,194 stored test questions of TeacherLM do, whose prompts began `Q: Q: `."""
    question = one(tmp_path, row(q_text="Q: What is blue?"))
    assert prompt(question) == "Q: What is blue? (A) sky (B) sun (C) sand (D) snow (E) sea A:"


@pytest.mark.parametrize(
    ("cells", "letter"),
    [
        ({"q_ans": "sea"}, "E"),
        ({"q_ans": "sea "}, "E"),
        ({"q_ans": "Sea"}, "E"),
        ({"q_op1": "Sea", "q_ans": "sea"}, "E"),
        ({"q_op2": "true", "q_ans": "true"}, "B"),
        ({"q_op2": "B", "q_op1": "A", "q_op3": "a", "q_ans": "B"}, "B"),
    ],
)
def test_an_answer_is_found_by_its_text(cells: dict[str, str], letter: str, tmp_path: Path):
    assert one(tmp_path, row(**cells)).answer == letter


def test_an_answer_that_is_no_option_or_missing_is_refused(tmp_path: Path):
    with pytest.raises(UserError, match=r"cqa_data_train\.csv:2: q_ans 'moon' is none of the options: sky; sun; sand; snow; sea"):
        one(tmp_path, row(q_ans="moon"))
    with pytest.raises(UserError, match=r"cqa_data_train\.csv:2: there is no 'q_ans'; a split without labels cannot be prepared"):
        one(tmp_path, row(q_ans=""))


def test_the_key_has_to_name_one_of_the_equal_options(tmp_path: Path):
    key = write_text(tmp_path / "key.jsonl", '{"id": "7", "answerKey": "B"}\n{"id": "8", "answerKey": "A"}\n')
    twice = row(q_op2="sky")
    assert one(tmp_path, twice, answer_key=str(key)).answer == "B"
    with pytest.raises(UserError, match=r"could mean \(A\) or \(B\), and the answer key has no id '9'"):
        one(tmp_path, {**twice, "q_no": "9"}, answer_key=str(key))
    with pytest.raises(UserError, match=r"could mean \(A\) or \(C\), and the answer key says \(B\)"):
        one(tmp_path, row(q_op3="sky"), answer_key=str(key))


def test_a_key_without_answers_and_one_that_is_not_there_are_errors_of_their_own(tmp_path: Path):
    with pytest.raises(UserError, match=r"unanswered\.jsonl: holds no rows with 'id' and 'answerKey'"):
        one(tmp_path, row(), answer_key=str(write_text(tmp_path / "unanswered.jsonl", '{"id": "7"}\n')))
    with pytest.raises(UserError, match=r"nowhere\.jsonl: no such file or folder"):
        one(tmp_path, row(), answer_key=str(tmp_path / "nowhere.jsonl"))


@pytest.mark.parametrize("text", ["n/a", "N/A.", "", " None "])
def test_a_placeholder_is_no_explanation(text: str, tmp_path: Path):
    assert one(tmp_path, row(taskB=text)).explanation == ""
    assert one(tmp_path, row(taskA_pos=text), explanation="taskA_pos").explanation == ""


def test_the_hubs_rows_are_read_the_same(tmp_path: Path):
    """Written by hand as `save_to_disk` does: the hub has the same columns without the index."""
    from datasets import Dataset, DatasetDict

    DatasetDict({"train": Dataset.from_list([row()]), "test": Dataset.from_list([row(q_ans="sea")])}).save_to_disk(str(tmp_path / "hub"))
    found = read("ecqa", tmp_path / "hub")
    assert {split: questions[0].answer for split, questions in found.items()} == {"train": "A", "test": "E"}


def test_the_authors_annotations_get_their_questions_from_commonsense_qa(tmp_path: Path):
    """Written by hand: ecqa.jsonl is not at hand."""
    choices = [{"label": letter, "text": text} for letter, text in zip(LETTERS, ("sky", "sun", "sky", "snow", "sea"), strict=True)]
    key = {"answerKey": "C", "id": "7", "question": {"question_concept": "blue", "choices": choices, "stem": "What is blue?"}}
    answers = str(write_lines(tmp_path / "cqa" / "dev_rand_split.jsonl", [key]))
    annotated = {"id": "7", "positives": ["The sky is blue", "It is up."], "negatives": ["No sun is."], "explanation": "Look up."}
    path = write_lines(tmp_path / "ecqa.jsonl", [annotated])
    (question,) = read("ecqa", path, answer_key=answers)["train"]
    assert prompt(question) == "Q: What is blue? (A) sky (B) sun (C) sky (D) snow (E) sea A:"
    assert (question.answer, question.explanation, question.source_id, question.raw) == ("C", "Look up.", "7", annotated)
    assert read("ecqa", path, answer_key=answers, explanation="taskA_pos")["train"][0].explanation == "The sky is blue. It is up."
    with pytest.raises(UserError, match=r"ecqa\.jsonl:1: there is no question in this file; give `answer_key`"):
        read("ecqa", path)
    with pytest.raises(UserError, match=r"ecqa\.jsonl:1: the answer key has no id '8'"):
        read("ecqa", write_lines(tmp_path / "ecqa.jsonl", [{**annotated, "id": "8"}]), answer_key=answers)
