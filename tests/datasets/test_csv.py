import json
from pathlib import Path
from typing import Any

import pytest

from teacherlm.dataset import BadRow
from teacherlm.datasets.csv import DATASET, CsvSettings
from teacherlm.records import Question
from teacherlm.stages.prepare import PrepareConfig, prepare
from teacherlm.store.sources import Origin


def read(path: Path, text: str, **settings: Any) -> list[Question | BadRow]:
    path.write_text(text, encoding="utf-8", newline="")
    return list(DATASET.read(CsvSettings(**settings), Origin(str(path)), 0)["train"])


def one(tmp_path: Path, header: str, row: str, **settings: Any) -> Question:
    (found,) = read(tmp_path / "x.csv", f"{header}\n{row}\n", **settings)
    assert isinstance(found, Question), found
    return found


def refusal(tmp_path: Path, header: str, row: str, **settings: Any) -> str:
    (found,) = read(tmp_path / "x.csv", f"{header}\n{row}\n", **settings)
    assert isinstance(found, BadRow), found
    return found.reason.removeprefix(f"{tmp_path}/")


FOUR = {"columns": {"choices": ["A", "B", "C", "D"]}}
HEADER = "question,A,B,C,D,answer"


@pytest.mark.parametrize(
    ("row", "how", "answer", "choices"),
    [
        ("?,one,two,three,four,B", "", "B", ("one", "two", "three", "four")),
        ("?,one,two,three,four,three", "", "C", ("one", "two", "three", "four")),
        ("?,one,two,three,four,0", "", "A", ("one", "two", "three", "four")),
        ("?,one,two,three,four,1", "index_from_1", "A", ("one", "two", "three", "four")),
        ("?,2,4,6,8,2", "text", "A", ("2", "4", "6", "8")),
        ("?,2,4,6,8,2", "index", "C", ("2", "4", "6", "8")),
        ("?,true,false,,,true", "", "A", ("true", "false")),
        ("?,007,7,7.0,07,007", "", "A", ("007", "7", "7.0", "07")),
        ("?,x,x,y,z,y", "", "C", ("x", "x", "y", "z")),
        ("?,x,x,y,z,B", "", "B", ("x", "x", "y", "z")),
        ('?,"in\r\nwater",b,c,d,a', "letter", "A", ("in\r\nwater", "b", "c", "d")),
    ],
)
def test_choices_in_several_columns_and_answers_in_every_way(row: str, how: str, answer: str, choices: tuple[str, ...], tmp_path: Path):
    question = one(tmp_path, HEADER, row, **FOUR, answer_is=how)
    assert (question.answer, question.choices, question.answer_rule) == (answer, choices, "letter")


@pytest.mark.parametrize(
    ("row", "message"),
    [
        (
            "?,2,4,6,8,2",
            "column 'answer': answer '2' is ambiguous, it could mean (A) or (C) of: (A) 2; (B) 4;",
        ),
        ("?,x,x,y,z,x", "column 'answer': answer 'x' is ambiguous, it could mean (A) or (B)"),
        ("?,one,two,three,four,five", "column 'answer': answer 'five' is outside the choices: (A) one; (B) two"),
        ("?,one,,three,,A", "column 'B': the choice is empty, and one behind it is not"),
        ("?,one,two,three,four,", "column 'answer': there is no answer; a split without labels cannot be prepared"),
        (" ,one,two,three,four,A", "column 'question': the question is empty"),
    ],
)
def test_a_row_that_is_no_question_says_file_line_and_column(row: str, message: str, tmp_path: Path):
    assert refusal(tmp_path, HEADER, row, **FOUR).startswith(f"x.csv:2: {message}")


def test_an_answer_may_name_the_column_of_its_choice(tmp_path: Path):
    question = one(tmp_path, "question,op1,op2,answer", "?,x,y,op2", columns={"choices": ["op1", "op2"]})
    assert question.answer == "B"
    wanted = refusal(tmp_path, "question,op1,answer", "?,x,A", columns={"choices": ["op1", "op2"]})
    assert wanted == "x.csv:2: column 'op2' is missing (found: question, op1, answer)."


def test_choices_may_be_json_in_one_cell(tmp_path: Path):
    assert one(tmp_path, "question,choices,answer", '?,"[""a b"", ""c""]",c').choices == ("a b", "c")
    assert "choices must be a list of texts" in refusal(tmp_path, "question,choices,answer", "?,a or b,a")


@pytest.mark.parametrize(
    ("answer", "rule"), [("51.0", "number"), ('"1,234"', "number"), ("true", "exact"), ("No", "yes_no"), ("007", "number")]
)
def test_free_answers_stay_as_they_are_written(answer: str, rule: str, tmp_path: Path):
    question = one(tmp_path, "question,answer", f"?,{answer}")
    assert (question.answer, question.answer_rule) == (answer.strip('"'), rule)


@pytest.mark.parametrize(
    ("explanation", "kept"), [("n/a", ""), ("N/A.", ""), (" None ", ""), ("-", ""), ("No.", "No."), ("So it is", "So it is")]
)
def test_words_that_mean_no_explanation_are_none(explanation: str, kept: str, tmp_path: Path):
    assert one(tmp_path, "question,answer,explanation", f"?,1,{explanation}").explanation == kept


@pytest.mark.parametrize(("delimiter", "mark"), [(";", ";"), ("tab", "\t"), ("\\t", "\t"), ("pipe", "|")])
def test_the_delimiter_can_be_said(delimiter: str, mark: str, tmp_path: Path):
    question = one(tmp_path, f"question{mark}answer", f"a, b?{mark}1", delimiter=delimiter)
    assert (question.question, question.answer) == ("a, b?", "1")
    with pytest.raises(ValueError, match="delimiter: expected one character, or tab"):
        CsvSettings(delimiter="::")


def test_columns_take_one_name_but_choices_several():
    with pytest.raises(ValueError, match=r"columns: answer: expected the name of one column, found \['a', 'b'\]"):
        CsvSettings(columns={"answer": ["a", "b"]})


@pytest.mark.real
def test_a_real_file_of_many_lines_a_row_is_prepared_by_its_columns(test_data: Path, tmp_path: Path):
    columns = {"question": "q_text", "choices": [f"q_op{i}" for i in range(1, 6)], "answer": "q_ans", "explanation": "taskB", "id": "q_no"}
    source = test_data / "data" / "ecqa" / "cqa_data_val.csv"
    config = {"dataset": {"name": "csv", "columns": columns}, "source": str(source), "output": tmp_path / "out", "on_bad_row": "drop"}
    outcome = prepare(PrepareConfig.model_validate(config))
    assert outcome.counts == {"in": 1090, "out": 1086, "dropped": 4, "train": 1086}
    dropped = [json.loads(line) for line in (tmp_path / "out" / "dropped.jsonl").read_text().splitlines()]
    assert all("column 'q_ans': answer" in row["reason"] and "is ambiguous" in row["reason"] for row in dropped)
    assert dropped[0]["where"].startswith(f"{source}:") and dropped[0]["row"]["q_no"]
    rows = [json.loads(line) for line in (tmp_path / "out" / "cqa_data_val.jsonl").read_text().splitlines()]
    for row in rows:
        text = row["choices"]["ABCDE".index(row["answer"])]
        assert text.strip() == row["q_ans"].strip()
    assert sum("true" in row["choices"] for row in rows) == 2 and "Unnamed: 0" in rows[0]


@pytest.mark.real
def test_a_folder_of_real_files_without_a_said_way_of_answering_refuses_what_is_ambiguous(test_data: Path, tmp_path: Path):
    """Choices that are bare numbers beside an index: what is not refused means the same as what is said."""
    source = str(test_data / "data" / "mmlu" / "test" / "elementary_mathematics_test.csv")
    columns = {"choices": [f"choice{i}" for i in range(4)]}
    said = DATASET.read(CsvSettings(columns=columns, answer_is="index"), Origin(source), 0)["train"]
    unsaid = DATASET.read(CsvSettings(columns=columns), Origin(source), 0)["train"]
    refused = 0
    for one, other in zip(said, unsaid, strict=True):
        assert isinstance(one, Question)
        if isinstance(other, BadRow):
            assert "is ambiguous" in other.reason
            refused += 1
        else:
            assert (one.answer, one.choices) == (other.answer, other.choices)
    assert refused
