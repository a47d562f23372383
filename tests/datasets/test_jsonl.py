import json
from pathlib import Path
from typing import Any

import pytest

from teacherlm.dataset import BadRow
from teacherlm.datasets.jsonl import DATASET, JsonlSettings
from teacherlm.errors import UserError
from teacherlm.records import Question
from teacherlm.stages.prepare import PrepareConfig, prepare
from teacherlm.store.sources import Origin

ROW = {"question": "Where do fish live?", "choices": ["in trees", "in water"], "answer": "B"}


def write_lines(path: Path, rows: list[Any]) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text("".join(f"{json.dumps(row)}\n" for row in rows), encoding="utf-8")
    return path


def read(path: Path, seed: int = 0, **settings: Any) -> dict[str, list[Question]]:
    return {split: list(map(checked, found)) for split, found in DATASET.read(JsonlSettings(**settings), Origin(str(path)), seed).items()}


def checked(found: Question | BadRow) -> Question:
    if isinstance(found, BadRow):
        raise UserError(found.reason)
    return found


def one(tmp_path: Path, row: dict[str, Any], **settings: Any) -> Question:
    (question,) = read(write_lines(tmp_path / "x.jsonl", [row]), **settings)["train"]
    return question


@pytest.mark.parametrize(
    ("choices", "answer", "letter"),
    [
        (["in trees", "in water"], "B", "B"),
        (["in trees", "in water"], "(b)", "B"),
        (["in trees", "in water"], "in water", "B"),
        (["in trees", "in water"], 1, "B"),
        (["in trees", "in water"], "0", "A"),
        ({"x": "in trees", "y": "in water"}, "y", "B"),
        ({"1": "in trees", "2": "in water"}, "1", "A"),
        ([{"label": "A", "text": "in trees"}, {"label": "B", "text": "in water"}], "B", "B"),
        ({"label": ["A", "B"], "text": ["in trees", "in water"]}, "in trees", "A"),
        ([3, 5], 1, "B"),
        (["10", "20"], "20", "B"),
        (["true", "false"], True, "A"),
        (["No", "Yes"], False, "A"),
        (["In Water", "in trees"], "in water", "A"),
        ('["in trees", "in water"]', "B", "B"),
    ],
)
def test_an_answer_is_a_letter_a_label_a_text_or_an_index(choices: Any, answer: Any, letter: str, tmp_path: Path):
    question = one(tmp_path, {**ROW, "choices": choices, "answer": answer})
    assert (question.answer, question.answer_rule) == (letter, "letter")


@pytest.mark.parametrize(
    ("choices", "answer", "message"),
    [
        (["a dog", "a cat"], "C", r"x\.jsonl:1: column 'answer': answer 'C' is outside the choices: \(A\) a dog; \(B\) a cat"),
        (["a dog", "a cat"], 2, r"answer 2 is outside the choices"),
        (["a dog", "a dog"], "a dog", r"answer 'a dog' is ambiguous, it could mean \(A\) or \(B\)"),
        (["1", "0"], 0, r"answer 0 is ambiguous"),
        (["B", "A"], "A", r"answer 'A' is ambiguous"),
        ("a dog", "A", r"choices must be a list of texts or \{label: text\}, or several columns, found 'a dog'"),
        ([str(i) for i in range(27)], "A", r"at most 26 choices, found 27"),
        (["x", "y", "x"], "x", r"could mean \(A\) or \(C\)"),
        ({"label": ["A"], "text": ["a", "b"]}, "A", r"x\.jsonl:1: column 'choices': 1 labels for 2 choices"),
        (["a", "b"], " ", r"x\.jsonl:1: column 'answer': there is no answer"),
        ([], ["a"], r"x\.jsonl:1: column 'answer': expected a text, a number, true or false, found list"),
        (["a", "b"], None, r"x\.jsonl:1: column 'answer': there is no answer; a split without labels cannot be prepared"),
    ],
)
def test_an_answer_that_names_no_choice_or_several_is_refused(choices: Any, answer: Any, message: str, tmp_path: Path):
    with pytest.raises(UserError, match=message):
        one(tmp_path, {**ROW, "choices": choices, "answer": answer})


@pytest.mark.parametrize(
    ("answer", "text", "rule"),
    [
        ("51.0", "51.0", "number"),
        (7, "7", "number"),
        ("1,234", "1,234", "number"),
        (True, "yes", "yes_no"),
        ("No", "No", "yes_no"),
        ("a b", "a b", "exact"),
    ],
)
def test_a_free_answer_is_compared_by_its_shape(answer: Any, text: str, rule: str, tmp_path: Path):
    question = one(tmp_path, {"question": "How?", "answer": answer})
    assert (question.answer, question.answer_rule, question.choices) == (text, rule, ())
    assert one(tmp_path, {"question": "How?", "answer": answer}, answer_rule="exact").answer_rule == "exact"


def test_columns_can_be_mapped_and_unknown_ones_are_refused(tmp_path: Path):
    row = {"stem": "Where?", "key": "B", "options": ["here", "there"], "why": "So.", "qid": 7}
    columns = {"question": "stem", "answer": "key", "choices": "options", "explanation": "why", "id": "qid"}
    question = one(tmp_path, row, columns=columns)
    assert (question.question, question.answer, question.explanation, question.source_id) == ("Where?", "B", "So.", "7")
    with pytest.raises(UserError, match=r"x\.jsonl:1: column 'stem' is missing \(found: question, choices, answer\)"):
        one(tmp_path, ROW, columns=columns)
    with pytest.raises(UserError, match=r"x\.jsonl:1: column 'answer' is missing \(found: question\)"):
        one(tmp_path, {"question": "?"})
    with pytest.raises(ValueError, match=r"No column of ours named 'anwser'\. Did you mean 'answer'\?"):
        JsonlSettings(columns={"anwser": "x"})


def test_each_file_of_a_folder_is_a_split(tmp_path: Path):
    write_lines(tmp_path / "d" / "train.jsonl", [ROW])
    (tmp_path / "d" / "dev.json").write_text(json.dumps([ROW, ROW]))
    write_lines(tmp_path / "d" / "hard.jsonl", [ROW])
    assert {split: len(found) for split, found in read(tmp_path / "d").items()} == {"train": 1, "validation": 2, "hard": 1}


def test_rows_can_be_held_out_by_the_seed(tmp_path: Path):
    path = write_lines(tmp_path / "x.jsonl", [{"question": f"{i}?", "answer": i} for i in range(1000)])
    first, again, other = read(path, held_out=0.1), read(path, held_out=0.1), read(path, seed=1, held_out=0.1)
    assert first == again and first["validation"] != other["validation"]
    assert 60 < len(first["validation"]) < 140
    assert sorted(int(q.answer) for part in first.values() for q in part) == list(range(1000))


def test_prepare_writes_the_stem_as_name_and_needs_a_source(tmp_path: Path):
    rows = [{"id": "q", "question": "Q: How  many?", "answer": 42}]
    source = write_lines(tmp_path / "mine.jsonl", [rows[0], {**rows[0], "question": "Two?"}])
    prepare(PrepareConfig.model_validate({"dataset": "jsonl", "source": str(source), "output": tmp_path / "out"}))
    first, second = (json.loads(line) for line in (tmp_path / "out" / "mine.jsonl").read_text().splitlines())
    assert first["text"] == "Q: How many? A: The answer is 42."
    assert (first["question"], first["source_answer"], first["answer"], first["answer_rule"]) == ("Q: How  many?", 42, "42", "number")
    assert (first["id"], second["id"], first["source_id"]) == ("q", "q-2", "q")
    with pytest.raises(UserError, match="source: is required for dataset 'jsonl'"):
        prepare(PrepareConfig.model_validate({"dataset": "jsonl", "output": tmp_path / "new"}))
    with pytest.raises(UserError, match=r"mine\.jsonl:1: column 'question': the question is empty"):
        prepare(
            PrepareConfig.model_validate(
                {"dataset": "jsonl", "source": str(write_lines(source, [{"question": " ", "answer": 1}])), "output": tmp_path / "new"}
            )
        )
    assert not (tmp_path / "new").exists()


@pytest.mark.real
def test_a_real_list_with_an_irregular_column_is_prepared_without_it(test_data: Path, tmp_path: Path):
    source = str(test_data / "data" / "strategyqa" / "train.json")
    config = {"source": source, "output": tmp_path / "out", "name": "StrategyQA"}
    with pytest.raises(UserError, match="column 'evidence': values in rows 1-1000 cannot share a type"):
        prepare(PrepareConfig.model_validate({"dataset": {"name": "jsonl", "columns": {"id": "qid"}}, **config}))
    assert not (tmp_path / "out").exists()
    dataset = {"name": "jsonl", "columns": {"id": "qid"}, "leave_out": ["evidence"]}
    assert prepare(PrepareConfig.model_validate({"dataset": dataset, **config})).counts["out"] == 2061
    rows = [json.loads(line) for line in (tmp_path / "out" / "StrategyQA.jsonl").read_text().splitlines()]
    assert {row["answer_rule"] for row in rows} == {"yes_no"} and sum(row["answer"] == "yes" for row in rows) == 964
    assert all("  " not in row["text"] for row in rows)


def test_explanations_are_texts_lists_of_sentences_or_none(tmp_path: Path):
    row = {"question": "How?", "answer": "so"}
    kept = [one(tmp_path, {**row, "explanation": given}).explanation for given in ("Thus.", ["One.", "Two."], "n/a", None, "NaN", [])]
    assert kept == ["Thus.", "One. Two.", "", "", "", ""]
    assert one(tmp_path, row).explanation == ""


def test_choices_may_stand_in_several_columns(tmp_path: Path):
    row = {"question": "Where?", "A": "here", "B": "there", "C": None, "answer": 1}
    question = one(tmp_path, row, columns={"choices": ["A", "B", "C"]})
    assert (question.answer, question.choices) == ("B", ("here", "there"))
