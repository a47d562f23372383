import json
import re
from pathlib import Path
from typing import Any

import pytest
from dataset_files import one, prepared, prompt, read, rows_of, write_text

from teacherlm.errors import UserError
from teacherlm.records import Question

ROW = {"qid": "1", "question": "Is it so?", "answer": True, "facts": ["Water is wet.", "Fire is hot"]}


@pytest.fixture(scope="module")
def folder(test_data: Path) -> Path:
    return test_data / "data" / "strategyqa"


@pytest.fixture(scope="module")
def published(folder: Path) -> list[dict[str, Any]]:
    rows: list[dict[str, Any]] = json.loads((folder / "train.json").read_text(encoding="utf-8"))
    return rows


@pytest.fixture(scope="module")
def questions(folder: Path) -> list[Question]:
    return read("strategyqa", folder)["train"]


def words(text: str) -> list[str]:
    return re.sub(r"[.,;:]", "", text).split()


@pytest.mark.real
def test_true_is_a_and_false_is_b(questions: list[Question], published: list[dict[str, Any]]):
    assert [question.answer for question in questions] == ["A" if row["answer"] else "B" for row in published]
    assert (len(questions), sum(question.answer == "A" for question in questions)) == (2061, 964)
    assert {question.choices for question in questions} == {("True", "False")}
    assert prompt(questions[0]) == "Q: Are more people today related to Genghis Khan than Julius Caesar? (A) True (B) False A:"


@pytest.mark.real
def test_the_explanation_is_all_facts_as_sentences(questions: list[Question], published: list[dict[str, Any]]):
    for question, row in zip(questions, published, strict=True):
        assert words(question.explanation) == words(" ".join(row["facts"]))
        assert question.explanation.rstrip("\"'”’)")[-1] in ".!?"
        assert not set("\t\n") & set(question.explanation) and "  " not in question.explanation
    assert questions[0].explanation.startswith(
        "Julius Caesar had three children. Genghis Khan had sixteen children. Modern geneticists have"
    )
    assert sum("The top of the Empire State Building is 1,454 ft high." in question.explanation for question in questions) == 1


@pytest.mark.real
def test_with_facts_the_question_reads_as_teacherlm_evaluates_it(folder: Path, published: list[dict[str, Any]]):
    found = read("strategyqa", folder, facts=True)["train"]
    assert prompt(found[0]) == (
        "Q: Fact 1: Julius Caesar had three children. Fact 2: Genghis Khan had sixteen children. Fact 3: Modern geneticists have "
        "determined that out of every 200 men today has DNA that can be traced to Genghis Khan. Given these facts above, Are more "
        "people today related to Genghis Khan than Julius Caesar? (A) True (B) False A:"
    )
    for question, row in zip(found, published, strict=True):
        assert question.question.count("Given these facts above, ") == 1
        assert question.question.endswith("?") and not question.question.endswith("??")
        assert f"Fact {len(row['facts'])}: " in question.question and f"Fact {len(row['facts']) + 1}: " not in question.question


@pytest.mark.real
def test_prepared_rows_keep_every_column_and_the_evidence_as_json(folder: Path, published: list[dict[str, Any]], tmp_path: Path):
    rows = prepared(tmp_path / "out", "strategy_qa", folder, explanations=True)
    assert len(rows) == 2061
    for row, source in zip(rows, published, strict=True):
        assert {name: row[name] for name in source if name not in ("answer", "evidence")} == {
            name: value for name, value in source.items() if name not in ("answer", "evidence")
        }
        assert row["source_answer"] == source["answer"] and json.loads(row["evidence"]) == source["evidence"]
    assert len({row["id"] for row in rows}) == 2061, "one question occurs twice"
    assert any("Panthéon" in row["text"] or "Panthéon" in " ".join(row["facts"]) for row in rows)
    assert any(row["description"] == "" for row in rows)


def test_the_authors_file_names_are_known_and_the_test_file_cannot_be_prepared(tmp_path: Path, capsys: pytest.CaptureFixture[str]):
    """Written by hand: the authors' own archive is not at hand."""
    write_text(tmp_path / "strategyqa_train.json", json.dumps([ROW]))
    write_text(tmp_path / "dev.json", json.dumps([ROW]))
    unanswered = write_text(tmp_path / "strategyqa_test.json", json.dumps([{"qid": "2", "question": "Is it?"}]))
    assert list(read("strategyqa", tmp_path)) == ["train", "validation"]
    assert "strategyqa_test.json: is left out, it is published without answers ('answer')" in capsys.readouterr().err
    with pytest.raises(UserError, match=r"item 1: there is no 'answer'; a split without labels cannot be prepared"):
        read("strategyqa", unanswered)


@pytest.mark.parametrize(("answer", "letter"), [(True, "A"), (False, "B"), ("yes", "A"), ("No", "B"), ("true", "A"), ("False", "B")])
def test_an_answer_is_a_boolean_or_the_word_for_it(answer: Any, letter: str, tmp_path: Path):
    assert one("strategyqa", tmp_path / "train.json", {**ROW, "answer": answer}).answer == letter


@pytest.mark.parametrize(
    ("change", "settings", "message"),
    [
        ({"answer": "maybe"}, {}, r"train\.json:1: answer 'maybe' is neither true nor false"),
        ({"answer": 2}, {}, r"train\.json:1: answer 2 is neither true nor false"),
        ({"facts": {"a": 1}}, {}, r"train\.json:1: column 'facts' must be a list of texts, found dict"),
        ({"facts": []}, {"facts": True}, r"train\.json:1: there are no facts to put into the question; leave out `facts`"),
    ],
)
def test_what_is_wrong_is_said_in_one_line(change: dict[str, Any], settings: dict[str, Any], message: str, tmp_path: Path):
    with pytest.raises(UserError, match=message):
        one("strategyqa", tmp_path / "train.json", {**ROW, **change}, **settings)


def test_the_hubs_rows_have_their_facts_in_one_text(tmp_path: Path):
    """Written by hand as the hub's rows are."""
    question = one("strategyqa", tmp_path / "train.json", {**ROW, "facts": "Water is wet. Fire is hot."}, facts=True)
    assert question.question == "Fact 1: Water is wet. Fire is hot. Given these facts above, Is it so?"
    assert question.explanation == "Water is wet. Fire is hot."


def test_facts_are_optional_without_the_setting(tmp_path: Path):
    assert one("strategyqa", tmp_path / "train.json", {"question": "Is it?", "answer": False}).explanation == ""
    assert rows_of("strategyqa", tmp_path / "train.json")
