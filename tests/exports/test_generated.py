"""Outputs of distilabel and Curator in their documented columns: right answers from a column or from prepared questions."""

from pathlib import Path
from typing import Any

import pytest
from enhanced_rows import Row, dataset, done, lines, soups, write_lines

from teacherlm.errors import UserError
from teacherlm.exports.generated import Columns
from teacherlm.exports.imports import import_file

FRUIT = {"instruction": "Which is a fruit?", "options": ["stone", "pear"], "gold": "pear", "model_name": "big/model"}
METADATA = {"raw_output_text_generation_0": "x", "statistics_text_generation_0": {"input_tokens": 3, "output_tokens": 1}}


def imported(folder: Path, what: str, source: Path, **columns: Any) -> list[Row]:
    count = import_file(what, source, folder / "rows.jsonl", columns=Columns(**columns), overwrite=True)
    rows = lines(folder / "rows.jsonl")
    assert len(rows) == count
    return rows


def distilabel(folder: Path, *texts: Any) -> Path:
    return write_lines(folder / "distilabel.jsonl", [{**FRUIT, "generation": text, "distilabel_metadata": METADATA} for text in texts])


def test_a_row_becomes_what_prepare_and_enhance_would_have_made_of_it(tmp_path: Path):
    (row,) = imported(tmp_path, "distilabel", distilabel(tmp_path, "It grows. The answer is (B)."), answer="gold", choices="options")
    prompt = "Q: Which is a fruit? (A) stone (B) pear A:"
    assert (row["prompt"], row["choices"], row["answer"], row["answer_rule"]) == (prompt, ["stone", "pear"], "B", "letter")
    assert row["text"] == f"{prompt} The answer is (B)."
    assert row["cot_text"] == f"{prompt} The answer is (B). Let's think step by step."
    assert row["cot"] == " It grows. The answer is (B)."
    assert row["all"] == "Which is a fruit? It grows. The answer is (B)."
    assert (row["teacher"], row["found"], row["completion_index"]) == ("big/model", "B", 0)
    assert row["distilabel_metadata"] == METADATA and row["generation"] == "It grows. The answer is (B)."


def test_postprocess_judges_every_attempt_by_what_it_said(tmp_path: Path):
    texts = ["The answer is (B).", None, "It is a stone. The answer is (A).", "The answer is pear."]
    rows = imported(tmp_path, "distilabel", distilabel(tmp_path, *texts), answer="gold", choices="options")
    assert [(row["completion_index"], row["found"]) for row in rows] == [(0, "B"), (1, "A"), (2, "B")]
    assert len({row["id"] for row in rows}) == 1
    outcome = done(tmp_path / "out", tmp_path / "rows.jsonl")
    assert outcome.counts == {"in": 3, "out": 2, "dropped": 1}
    assert dataset(tmp_path / "out")["completion_index"][:] == [0, 2]


def test_grouped_generations_are_attempts_each_with_its_model(tmp_path: Path):
    rows = [{**FRUIT, "generation": ["One. The answer is 4.", None, "Two. The answer is 5."], "model_name": ["a", "b", "c"], "gold": 4}]
    found = imported(tmp_path, "distilabel", write_lines(tmp_path / "x.jsonl", rows), answer="gold")
    assert [(row["teacher"], row["found"], row["answer_rule"]) for row in found] == [("a", "4", "number"), ("c", "5", "number")]


@pytest.mark.parametrize("kind", ["jsonl", "parquet", "arrow", "saved", "distiset"])
def test_every_form_of_a_curator_dataset_is_read(tmp_path: Path, kind: str):
    from datasets import Dataset, DatasetDict

    turns = [{"role": "system", "content": "Be short."}, {"role": "user", "content": "Is ice cold?"}]
    rows = [{"messages": turns, "response": "Ice is frozen. The answer is yes.", "gold": "yes", "key": f"k{n}"} for n in range(3)]
    source = tmp_path / "curator"
    made = Dataset.from_list(rows)
    if kind == "jsonl":
        source = write_lines(tmp_path / "curator.jsonl", rows)
    elif kind == "parquet":
        source = tmp_path / "curator.parquet"
        made.to_parquet(str(source))
    elif kind == "distiset":
        DatasetDict({"train": made.select([0]), "test": made.select([1])}).save_to_disk(str(source / "one"))
        DatasetDict({"train": made.select([2])}).save_to_disk(str(source / "two"))
    else:
        made.save_to_disk(str(source))
        source = next(source.glob("*.arrow")) if kind == "arrow" else source
    found = imported(tmp_path, "curator", source, answer="gold", id="key", teacher="")
    assert sorted(row["id"] for row in found) == ["k0", "k1", "k2"]
    assert {(row["prompt"], row["answer"], row["answer_rule"], row["found"]) for row in found} == {
        ("Q: Is ice cold? A:", "yes", "yes_no", "yes")
    }
    assert all("messages" not in row and row["source_messages"] == turns for row in found)
    assert done(tmp_path / "out", tmp_path / "rows.jsonl").counts["out"] == 3


def test_prepared_questions_are_found_by_id_and_by_any_of_their_wordings(tmp_path: Path):
    prepared = soups(tmp_path)
    one = prepared[1]
    bare = one["prompt"].removeprefix("Q: ").partition(" (A)")[0]
    wordings = [
        one["prompt"],
        one["cot_text"],
        bare,
        f"  {bare.replace(' ', '  ')}\n",
        one["prompt"].removeprefix("Q: ").removesuffix(" A:"),
    ]
    rows = [{"prompt": text, "response": "So. The answer is (A)."} for text in wordings]
    found = imported(tmp_path, "curator", write_lines(tmp_path / "x.jsonl", rows), questions=tmp_path / "questions")
    assert [(row["id"], row["completion_index"]) for row in found] == [("t1", number) for number in range(len(wordings))]
    assert all({name: row[name] for name in one} == one for row in found)
    by_id = write_lines(tmp_path / "y.jsonl", [{"prompt": "reworded", "name": "t2", "response": " Yes."}])
    (row,) = imported(tmp_path, "curator", by_id, questions=tmp_path / "questions", id="name")
    assert (row["id"], row["cot"], row["answer"], row["found"]) == ("t2", " Yes.", "A", None)
    with pytest.raises(UserError, match=r"x\.jsonl:1: 'Why\?' is none of the questions in .*questions; say where to look: --id-column"):
        imported(
            tmp_path, "curator", write_lines(tmp_path / "x.jsonl", [{"prompt": "Why?", "response": "."}]), questions=tmp_path / "questions"
        )


def test_two_prepared_questions_of_one_text_are_told_apart_by_id_alone(tmp_path: Path):
    prepared = soups(tmp_path)
    double = {**prepared[0], "id": "other", "answer": "B"}
    questions = write_lines(tmp_path / "q.jsonl", [*prepared, double, {**prepared[1], "id": "again"}])
    asked = write_lines(tmp_path / "x.jsonl", [{"prompt": prepared[0]["prompt"], "response": "."}])
    with pytest.raises(UserError, match=r"x\.jsonl:1: several questions in .*q\.jsonl have this text \(t0, other\); name"):
        imported(tmp_path, "curator", asked, questions=questions)
    same = write_lines(tmp_path / "x.jsonl", [{"prompt": prepared[1]["prompt"], "response": "."}])
    assert imported(tmp_path, "curator", same, questions=questions)[0]["id"] == "t1"


@pytest.mark.parametrize(
    ("columns", "said"),
    [
        ({}, "distilabel knows no right answers: name their column with --answer-column, or prepared questions with --questions"),
        (
            {"answer": "golden"},
            "distilabel.jsonl:1: column 'golden' is missing; name the right one with --answer-column (found: instruction",
        ),
        ({"answer": "gold", "choices": "c"}, "column 'c' is missing; name the right one with --choices-column"),
        ({"answer": "gold", "rationale": "r"}, "column 'r' is missing; name the right one with --rationale-column"),
        ({"answer": "gold", "question": "q"}, "column 'q' is missing; name the right one with --question-column"),
        (
            {"answer": "gold", "question": "options"},
            "there is no question (found ['stone', 'pear']); name its column with --question-column",
        ),
        ({"answer": "gold", "id": "i"}, "column 'i' is missing; name the right one with --id-column"),
        ({"answer": "gold", "teacher": "t"}, "column 't' is missing; name the right one with --teacher-column"),
        ({"answer": "gold", "rationale": "distilabel_metadata"}, "expected a text of the teacher"),
        ({"answer": "model_name", "choices": "options"}, "'big/model' is outside the choices"),
        ({"answer": "gold", "questions": Path("q.jsonl")}, "--questions brings the answers and choices; leave out --answer-column"),
    ],
)
def test_what_is_missing_is_said_with_the_option_that_gives_it(tmp_path: Path, columns: dict[str, Any], said: str):
    with pytest.raises(UserError) as refused:
        imported(tmp_path, "distilabel", distilabel(tmp_path, "So."), **columns)
    assert said in str(refused.value) and "\n" not in str(refused.value)
    assert not (tmp_path / "rows.jsonl").exists()


def test_options_of_the_other_systems_are_refused(tmp_path: Path):
    source = distilabel(tmp_path, "So.")
    with pytest.raises(UserError, match="--dataset-key belongs to zero_shot_cot, not to distilabel"):
        import_file("distilabel", source, tmp_path / "rows.jsonl", "svamp", columns=Columns(answer="gold"))
    with pytest.raises(UserError, match="belong to distilabel and curator, not to finetune_cot"):
        import_file("finetune_cot", source, tmp_path / "rows.jsonl", columns=Columns(answer="gold"))
