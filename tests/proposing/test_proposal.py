"""What init proposes: for files with columns of any name, and for every real data file."""

import csv
import json
from pathlib import Path
from typing import Any

import pytest

from teacherlm.errors import UserError
from teacherlm.parsing import parse_config
from teacherlm.proposing.columns import look_at
from teacherlm.proposing.pipeline_file import Models, pipeline_text, planned
from teacherlm.proposing.proposal import Proposal, propose
from teacherlm.stages.prepare import PrepareConfig, prepare

Row = dict[str, Any]

REAL = {
    "creak/train.json": "creak",
    "creak": "creak",
    "ecqa/cqa_data_val.csv": "ecqa",
    "commonsenseqa/train_rand_split.jsonl": "commonsense_qa",
    "strategyqa/train.json": "strategyqa",
    "gsm8k/train.jsonl": "gsm8k",
    "mmlu/dev/abstract_algebra_dev.csv": "mmlu",
    "mmlu/test/marketing_test.csv": "mmlu",
    "mmlu/header_abcd_dialect/management_test.csv": "mmlu",
    "mmlu/test": "mmlu",
    "mmlu": "mmlu",
    "reasoning_teacher/dataset/addsub.json": "addsub",
    "reasoning_teacher/dataset/multiarith.json": "multiarith",
    "reasoning_teacher/dataset/svamp.json": "svamp",
    "reasoning_teacher/dataset/coin_flip.json": "coin_flip",
    "reasoning_teacher/dataset/date_understanding.json": "date_understanding",
    "reasoning_teacher/dataset/last_letter_concatenation.json": "last_letter_concatenation",
    "zero_shot_cot/dataset/AQuA/test.json": "aqua",
    "zero_shot_cot/dataset/Bigbench_Date/task.json": "bigbench",
    "natural_instructions/task062_bigbench_repeat_copy_logic.json": "natural_instructions",
    "natural_instructions/task156_codah_classification_adversarial.json": "natural_instructions",
    "alpaca/alpaca_5000.json": "alpaca",
    "alpaca/seed_tasks.jsonl": "alpaca",
}


def proposed(source: Path, **given: str) -> Proposal:
    return propose(str(source), "", given)[0]


def prepared(proposal: Proposal, output: Path) -> dict[str, int]:
    values = {**proposal.prepare, "output": str(output), "limit": 50}
    return dict(prepare(parse_config(PrepareConfig, values)).counts)


def write_jsonl(path: Path, rows: list[Row]) -> Path:
    path.write_text("".join(f"{json.dumps(row)}\n" for row in rows), encoding="utf-8")
    return path


def write_csv(path: Path, rows: list[Row]) -> Path:
    with path.open("w", newline="", encoding="utf-8") as file:
        writer = csv.DictWriter(file, list(rows[0]))
        writer.writeheader()
        writer.writerows(rows)
    return path


def sums(count: int = 40, **names: str) -> list[Row]:
    """Rows of a sum, its result and how it comes about, under these names."""
    return [
        {
            names["question"]: f"What is {i} plus {i + 1}, please?",
            names["answer"]: 2 * i + 1,
            names["explanation"]: f"It is {i} and {i + 1}.",
        }
        for i in range(count)
    ]


@pytest.mark.slow
@pytest.mark.real
@pytest.mark.parametrize(("place", "name"), REAL.items(), ids=list(REAL))
def test_every_real_file_gets_a_pipeline_whose_prepare_runs(test_data, tmp_path, place, name):
    proposal = proposed(test_data / "data" / place)
    assert proposal.name == name
    counts = prepared(proposal, tmp_path / "prepared")
    assert proposal.measured in counts and counts[proposal.measured] > 0 and counts["out"] > counts[proposal.measured]
    assert planned(pipeline_text(proposal, Models(), Path("x.yaml")), Path("x.yaml"))


@pytest.mark.slow
@pytest.mark.real
def test_one_published_file_stands_for_its_folder_where_that_has_a_split_to_measure(creak, test_data):
    proposal = proposed(creak / "train.json")
    assert (proposal.source, proposal.measured) == (str(creak), "validation")
    assert "lies beside the other splits" in proposal.notes[0]
    assert proposed(test_data / "data" / "alpaca" / "alpaca_5000.json").source.endswith("alpaca_5000.json")


@pytest.mark.real
def test_a_folder_of_several_datasets_is_refused(test_data):
    with pytest.raises(UserError, match=r"holds several datasets: addsub.json \(addsub\), coin_flip.json"):
        proposed(test_data / "data" / "reasoning_teacher" / "dataset")


@pytest.mark.slow
@pytest.mark.real
def test_a_known_dataset_under_another_name_is_known_by_what_its_reader_understands(test_data, tmp_path):
    for place, name in (("gsm8k/train.jsonl", "gsm8k"), ("strategyqa/train.json", "strategyqa"), ("creak/dev.json", "creak")):
        copy = tmp_path / f"mine{len(list(tmp_path.iterdir()))}{Path(place).suffix}"
        copy.write_bytes((test_data / "data" / place).read_bytes())
        assert proposed(copy).name == name
    copy = tmp_path / "sums.json"
    copy.write_bytes((test_data / "data" / "reasoning_teacher/dataset/svamp.json").read_bytes())
    proposal = proposed(copy)
    assert proposal.name == "jsonl" and {"addsub", "multiarith", "svamp"} <= set(proposal.others), "five datasets look like this"


@pytest.mark.parametrize(
    "names",
    [
        {"question": "Question", "answer": "Answer", "explanation": "Explanation"},
        {"question": "problem", "answer": "gold_label", "explanation": "chain_of_thought_reasoning"},
        {"question": "user_input", "answer": "target", "explanation": "solution"},
        {"question": "instruction", "answer": "correctAnswer", "explanation": "my rationale"},
        {"question": "Aufgabe", "answer": "label", "explanation": "cot"},
    ],
    ids=lambda names: names["question"],
)
@pytest.mark.parametrize("suffix", ["jsonl", "csv", "parquet"])
def test_columns_are_told_by_their_names_and_by_what_they_hold(tmp_path, names, suffix):
    rows, path = sums(**names), tmp_path / f"data.{suffix}"
    if suffix == "parquet":
        import pyarrow as pa
        import pyarrow.parquet as pq

        pq.write_table(pa.Table.from_pylist(rows), path)
    else:
        (write_csv if suffix == "csv" else write_jsonl)(path, rows)
    proposal = proposed(path)
    assert proposal.columns is not None and proposal.name == suffix
    assert (proposal.columns.question, proposal.columns.answer, proposal.columns.explanation) == tuple(names.values())
    counts = prepared(proposal, tmp_path / "prepared")
    assert counts["validation"] > 0 and counts["train"] > counts["validation"] and proposal.measured == "validation"


@pytest.mark.parametrize(
    ("answers", "way"), [("ABCD", ""), ((0, 1, 2, 3), ""), ((1, 2, 3, 4), "index_from_1"), (("one 0", "two 1", "three 2", "four 3"), "")]
)
def test_choices_in_columns_are_found_and_how_answers_name_them(tmp_path, answers, way):
    rows = [
        {"stem": f"Which number is it, number {i}?", "opa": f"one {i}", "opb": f"two {i}", "opc": f"three {i}", "opd": f"four {i}"}
        | {"cop": answers[i % 4] if answers[0] != "one 0" else f"{('one', 'two', 'three', 'four')[i % 4]} {i}"}
        for i in range(30)
    ]
    proposal = proposed(write_jsonl(tmp_path / "x.jsonl", rows), answer="cop")
    assert proposal.columns is not None and proposal.columns.choices == ("opa", "opb", "opc", "opd")
    assert proposal.answer_is == way
    first = [row["answer"] for row in proposal.tried.all if row["stem"].endswith("number 2?")]
    assert first == ["C"] and not proposal.tried.dropped


def test_a_csv_file_with_semicolons_is_read(tmp_path):
    path = tmp_path / "x.csv"
    path.write_text("Question;Answer\n" + "".join(f"What is {i}, please?;{i}\n" for i in range(30)))
    proposal = proposed(path)
    assert proposal.dataset["delimiter"] == ";" and prepared(proposal, tmp_path / "prepared")["out"] == 30


def test_two_sentences_to_compare_are_no_choices(tmp_path):
    rows = [{"sentence1": f"A man runs {i}.", "sentence2": f"A dog runs {i}.", "label": "no"} for i in range(20)]
    proposal = proposed(write_jsonl(tmp_path / "x.jsonl", rows))
    assert proposal.columns is not None and proposal.columns.choices == ()


def test_choices_in_one_column_and_an_id_are_found(tmp_path):
    rows = [{"qid": f"q{i}", "query": f"Where is it, {i}?", "options": ["here", "there"], "correct": "AB"[i % 2]} for i in range(20)]
    proposal = proposed(write_jsonl(tmp_path / "x.jsonl", rows))
    assert proposal.dataset["columns"] == {"question": "query", "answer": "correct", "id": "qid", "choices": "options"}
    text = pipeline_text(proposal, Models(), Path("x.yaml"))
    assert (
        "tasks: [questions_letters, questions]" in text and "columns: {question: query, answer: correct, id: qid, choices: options}" in text
    )


def test_what_the_user_says_goes_before_every_guess(tmp_path):
    rows = sums(question="question", answer="answer", explanation="explanation")
    path = write_jsonl(tmp_path / "x.jsonl", [{**row, "other": row["question"][::-1]} for row in rows])
    proposal = proposed(path, question="other", explanation="-")
    assert proposal.columns is not None
    assert (proposal.columns.question, proposal.columns.answer, proposal.columns.explanation) == ("other", "answer", "")
    with pytest.raises(UserError, match=r"--question: No column named 'questoin'\. Did you mean 'question'"):
        proposed(path, question="questoin")


def test_without_an_answer_the_flag_is_named(tmp_path):
    path = write_jsonl(tmp_path / "x.jsonl", [{"frage": f"Was ist {i} plus eins?", "loesung": str(i + 1)} for i in range(20)])
    with pytest.raises(UserError, match=r"which column is the answer cannot be told .*\(frage, loesung\); say --answer COLUMN"):
        proposed(path)
    found = proposed(path, answer="loesung")
    assert found.columns is not None and found.columns.question == "frage", "the longest text that differs from row to row"


def test_bad_rows_are_dropped_and_said(tmp_path):
    rows: list[Row] = [{"question": f"Is it so, {i}?", "answer": "yes"} for i in range(30)]
    rows[3]["answer"] = None
    proposal = proposed(write_jsonl(tmp_path / "x.jsonl", rows))
    assert proposal.prepare["on_bad_row"] == "drop" and len(proposal.tried.dropped) == 1
    assert "1 of the first rows are no questions" in pipeline_text(proposal, Models(), Path("x.yaml"))


def test_a_column_whose_values_share_no_type_is_left_out(tmp_path):
    rows: list[Row] = [{"question": f"Is it so, {i}?", "answer": "yes", "meta": [1] if i % 2 else "x"} for i in range(30)]
    proposal = proposed(write_jsonl(tmp_path / "x.jsonl", rows))
    assert proposal.leave_out == ("meta",)
    assert prepared(proposal, tmp_path / "prepared")["out"] == 30


def test_a_folder_with_its_own_splits_holds_nothing_out(tmp_path):
    rows = sums(question="question", answer="answer", explanation="why")
    for split in ("train", "test"):
        write_jsonl(tmp_path / f"{split}.jsonl", rows)
    proposal = proposed(tmp_path)
    assert "held_out" not in proposal.dataset and proposal.measured == "test" and proposal.splits == ("train", "test")


def test_a_handful_of_rows_still_has_some_to_measure(tmp_path):
    rows = sums(8, question="question", answer="answer", explanation="why")
    proposal = proposed(write_jsonl(tmp_path / "x.jsonl", rows))
    counts = prepared(proposal, tmp_path / "prepared")
    assert counts["train"] > 0 and counts["validation"] > 0 and proposal.held_out > 0.1
    with pytest.raises(UserError, match=r"one.jsonl: has too few rows to hold some out"):
        proposed(write_jsonl(tmp_path / "one.jsonl", rows[:1]))
    chats = [{"messages": [{"role": "user", "content": f"{i}?"}, {"role": "assistant", "content": "Yes."}]} for i in range(3)]
    drawn = proposed(write_jsonl(tmp_path / "chats.jsonl", chats))
    assert drawn.name == "messages" and prepared(drawn, tmp_path / "chats") | {"train": 2, "test": 1} == prepared(drawn, tmp_path / "again")
    with pytest.raises(UserError, match=r"two.jsonl: has too few rows"):
        proposed(write_jsonl(tmp_path / "two.jsonl", chats[:1]))


def test_a_look_says_types_empty_cells_and_different_values(tmp_path):
    rows: list[Row] = [{"a": "x", "b": i, "c": None if i < 5 else True, "d": ["u", "v"]} for i in range(10)]
    columns = {column.name: column for column in look_at(str(write_jsonl(tmp_path / "x.jsonl", rows))).columns}
    assert {name: (column.kind, column.distinct, column.empty) for name, column in columns.items()} == {
        "a": ("text", 1, 0.0),
        "b": ("number", 10, 0.0),
        "c": ("true/false", 1, 0.5),
        "d": ("list", 1, 0.0),
    }
    assert columns["d"].is_options and not columns["a"].is_options


def test_names_that_yaml_would_misread_survive_the_file(tmp_path):
    odd = {"question": "yes: #no", "answer": "null", "explanation": "a, b"}
    path = write_csv(tmp_path / "my data #1.csv", sums(**odd))
    proposal = proposed(path, **odd)
    models = [tmp_path / name for name in ("my: teacher", "student #1, {a}")]
    for folder in models:
        folder.mkdir()
        (folder / "config.json").write_text("{}")
    prepare_job, enhance_job, *_ = planned(pipeline_text(proposal, Models(*map(str, models)), Path("x.yaml")), Path("x.yaml"))
    config = prepare_job.config.model_dump()
    assert (config["dataset"]["columns"], config["source"]) == (odd, str(path))
    assert enhance_job.config.model_dump()["teacher"]["model"] == str(models[0])
