from pathlib import Path
from typing import Any

import pytest

from teacherlm.datasets.parquet import DATASET, ParquetSettings
from teacherlm.errors import UserError
from teacherlm.records import Question
from teacherlm.store.sources import Origin

ROWS = [
    {"question": "Where do fish live?", "choices": ["in trees", "in water"], "answer": 1, "explanation": "n/a"},
    {"question": "Is it so?", "choices": ["no", "yes"], "answer": 0, "explanation": "It is not."},
]


def read(place: Path, **settings: Any) -> dict[str, list[Question]]:
    found = DATASET.read(ParquetSettings(**settings), Origin(str(place)), 0)
    questions = {split: list(rows) for split, rows in found.items()}
    assert all(isinstance(question, Question) for rows in questions.values() for question in rows), questions
    return questions  # type: ignore[return-value]


def test_parquet_and_arrow_files_are_the_same_questions(tmp_path: Path):
    from datasets import Dataset

    data = Dataset.from_list(ROWS)
    data.to_parquet(str(tmp_path / "x.parquet"))
    data.save_to_disk(str(tmp_path / "d"))
    (arrow,) = (tmp_path / "d").glob("*.arrow")
    (questions,) = read(tmp_path / "x.parquet").values()
    assert [(q.answer, q.choices, q.explanation) for q in questions] == [
        ("B", ("in trees", "in water"), ""),
        ("A", ("no", "yes"), "It is not."),
    ]
    from_arrow = [(q.question, q.answer, q.choices) for q in read(arrow)["train"]]
    assert from_arrow == [(q.question, q.answer, q.choices) for q in read(tmp_path / "d")["train"]]
    assert from_arrow == [(q.question, q.answer, q.choices) for q in questions]


def test_numbered_files_are_one_split_and_class_labels_are_names(tmp_path: Path):
    from datasets import ClassLabel, Dataset, Features, Value

    features = Features({"claim": Value("string"), "label": ClassLabel(names=["no", "yes"])})
    for number in range(3):
        rows = Dataset.from_list([{"claim": f"{number}?", "label": number % 2}], features=features)
        rows.to_parquet(str(tmp_path / f"train-0000{number}-of-00003.parquet"))
    found = read(tmp_path, columns={"question": "claim", "answer": "label"})
    assert [(q.question, q.answer) for q in found["train"]] == [("0?", "no"), ("1?", "yes"), ("2?", "no")]
    assert {q.answer_rule for q in found["train"]} == {"yes_no"}


def test_whole_numbers_that_became_fractions_beside_an_empty_cell_are_still_an_index(tmp_path: Path):
    from datasets import Dataset

    Dataset.from_list([{**ROWS[0], "answer": 1.0}]).to_parquet(str(tmp_path / "x.parquet"))
    assert read(tmp_path / "x.parquet")["train"][0].answer == "B"
    Dataset.from_list([{**ROWS[0], "answer": 0.5}]).to_parquet(str(tmp_path / "x.parquet"))
    (bad,) = DATASET.read(ParquetSettings(), Origin(str(tmp_path / "x.parquet")), 0)["train"]
    assert "x.parquet: row 0: column 'answer': answer 0.5 is outside the choices" in getattr(bad, "reason", "")


def test_a_file_that_is_no_parquet_is_one_line(tmp_path: Path):
    (tmp_path / "x.parquet").write_text("question,answer\n")
    with pytest.raises(UserError, match=r"x\.parquet: cannot be read as a parquet file"):
        read(tmp_path / "x.parquet")
