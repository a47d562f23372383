"""The datasets of Fine-tune-CoT: unified files, the published form, and the files that they were made from."""

import gzip
import json
from collections import Counter
from pathlib import Path
from typing import Any

import pytest

from teacherlm.answers import find_answer, normalise, same
from teacherlm.catalog import find
from teacherlm.errors import UserError
from teacherlm.prompts import template
from tests.dataset_files import prepared, read, rows_of, write_text

KEYS = {
    "svamp": "number",
    "addsub": "number",
    "multiarith": "number",
    "single_eq": "number",
    "date_understanding": "letter",
    "tracking_shuffled_objects": "letter",
    "last_letter_concatenation": "exact",
    "coin_flip": "yes_no",
}
SIZES = {"addsub": 395, "multiarith": 600, "svamp": 1000, "coin_flip": 500, "date_understanding": 369, "last_letter_concatenation": 500}
ANSWERS = {"number": "1,234.0", "letter": "B", "exact": "yajo", "yes_no": "no"}
CHOICES = " Answer choices: (A) red ball, (B) blue ball, (C) pink ball."


def write(path: Path, content: Any) -> Path:
    return write_text(path, json.dumps(content, indent=4))


def rows(key: str, n: int = 3) -> list[dict[str, Any]]:
    asked = f"Is it {{}}?{CHOICES}" if KEYS[key] == "letter" else "Is it {}?"
    return [{"question": asked.format(i), "answer": ANSWERS[KEYS[key]]} for i in range(n)]


@pytest.mark.real
@pytest.mark.parametrize("key", SIZES)
def test_every_real_row_is_a_question_whose_answer_is_found_in_its_own_text(key: str, test_data: Path) -> None:
    folder = test_data / "data" / "reasoning_teacher" / "dataset"
    source = json.loads((folder / f"{key}.json").read_text())
    ((split, questions),) = read(key, folder).items()
    assert (split, len(questions)) == ("train", SIZES[key])
    assert [dict(question.raw) for question in questions] == [{"sample_index": i, **row} for i, row in enumerate(source)]
    for row, question in zip(source, questions, strict=True):
        assert question.answer_rule == KEYS[key] and question.answer == row["answer"]
        stated = template("teacherlm").label(question)
        assert same(str(find_answer(stated, question.answer_rule, choices=question.choices)), row["answer"], question.answer_rule)
        assert find_answer(f" So --> {question.answer}", key, prefix="-->") == normalise(row["answer"], key)
    assert find("datasets", key).title == key.upper()


@pytest.mark.real
def test_the_prompt_of_a_date_question_lists_its_choices_once(test_data: Path, tmp_path: Path) -> None:
    source = test_data / "data" / "reasoning_teacher" / "dataset" / "date_understanding.json"
    written = prepared(tmp_path / "out", "date_understanding", source)
    assert Counter(len(row["choices"]) for row in written) == {5: 58, 6: 311}
    first = written[0]
    assert first["text"] == (
        "Q: Yesterday was April 30, 2021. What is the date today in MM/DD/YYYY?\nWhich choice is true? (A) 06/12/2021 (B) 03/11/2021 "
        "(C) 02/23/2021 (D) 05/09/2021 (E) 04/29/2021 (F) 05/01/2021 A: The answer is (F)."
    )
    assert (first["sample_index"], first["question"]) == (0, json.loads(source.read_text())[0]["question"])
    as_published = template("ft_cot_token")
    for row, question in zip(written, read("date_understanding", source)["train"], strict=True):
        assert as_published.prompt(question) == f"{row['question']} ###"


@pytest.mark.parametrize("key", KEYS)
def test_the_published_form_says_which_dataset_it_is(key: str, tmp_path: Path) -> None:
    data = [{"sample_index": 10 + i, **row, "rationale": " Because. "} for i, row in enumerate(rows(key))]
    path = write(tmp_path / "any.json", {"metadata": {"dataset_key": key}, "data": data})
    listed, published = read(key, write(tmp_path / f"{key}.json", rows(key)).parent)["train"], read(key, path)["train"]
    assert [(q.question, q.answer, q.choices, q.answer_rule) for q in published] == [
        (q.question, q.answer, q.choices, q.answer_rule) for q in listed
    ]
    assert [q.raw["sample_index"] for q in published] == [10, 11, 12] and [q.raw["sample_index"] for q in listed] == [0, 1, 2]
    assert {q.explanation.strip() for q in published} == {"Because."} and {q.explanation for q in listed} == {""}
    other = "addsub" if key != "addsub" else "svamp"
    with pytest.raises(UserError, match=rf"any\.json: metadata\.dataset_key is '{key}', expected '{other}'"):
        read(other, path)


def test_files_are_read_in_every_wrapping(tmp_path: Path) -> None:
    expected = [question.question for question in read("svamp", write(tmp_path / "svamp.json", rows("svamp")))["train"]]
    packed = tmp_path / "packed" / "svamp.json.gz"
    packed.parent.mkdir()
    packed.write_bytes(gzip.compress(json.dumps({"metadata": {"dataset_key": "svamp"}, "data": rows("svamp")}).encode()))
    lines = write_text(tmp_path / "lines.json", "".join(json.dumps(row) + "\n" for row in rows("svamp")))
    marked = tmp_path / "marked.json"
    marked.write_bytes(b"\xef\xbb\xbf" + json.dumps({"examples": rows("svamp")}).encode())
    below = write(tmp_path / "data" / "dataset" / "svamp.json", rows("svamp")).parent.parent
    for place in (packed, packed.parent, lines, marked, below):
        assert [question.question for question in read("svamp", place)["train"]] == expected
        assert [question.raw["sample_index"] for question in read("svamp", place)["train"]] == [0, 1, 2]


def test_the_files_of_zero_shot_cot_and_of_the_hub_are_read_too(tmp_path: Path) -> None:
    body = {"ID": "chal-1", "Body": "Each pack costs 76 dollars.", "Question": "How much for 2?", "Equation": "x", "Answer": 152.0}
    (question,) = read("svamp", write(tmp_path / "SVAMP.json", [body]).parent)["train"]
    assert (question.question, question.answer, question.source_id) == ("Each pack costs 76 dollars. How much for 2?", "152.0", "chal-1")
    (question,) = read("addsub", write(tmp_path / "AddSub.json", [{"iIndex": 1, "sQuestion": "How many ?", "lSolutions": [3.0]}]))["train"]
    assert (question.question, question.answer, question.source_id) == ("How many ?", "3.0", "1")
    (question,) = read("multiarith", write(tmp_path / "x.json", [{"question": " How many?", "final_ans": "3"}]))["train"]
    assert (question.question, question.answer) == (" How many?", "3")
    (question,) = read("coin_flip", write(tmp_path / "x.json", [{"inputs": "Heads?", "targets": "Yes."}]))["train"]
    assert (question.question, question.answer) == ("Heads?", "yes")
    hard = {"canary": "x", "examples": [{"input": "Bob has the\nOptions:\n(A) red ball\n(B) blue ball", "target": "(B)"}]}
    (question,) = read("tracking_shuffled_objects", write(tmp_path / "x.json", hard))["train"]
    assert (question.question, question.choices, question.answer) == ("Bob has the", ("red ball", "blue ball"), "B")


@pytest.mark.parametrize(
    ("key", "content", "message"),
    [
        ("svamp", [{"question": "How many?"}], r"x\.json: item 1: column 'answer' is missing \(found: sample_index, question\)"),
        ("svamp", [{"answer": "3"}], r"x\.json: item 1: column 'question' is missing"),
        ("svamp", [{"question": "How many?", "answer": ""}], r"item 1: there is no answer"),
        ("svamp", [{"question": "How many?", "answer": "three"}], r"item 1: answer 'three' is no number"),
        ("addsub", [{"sQuestion": "How many?", "lSolutions": [1, 2]}], r"item 1: expected one right answer, found \[1, 2\]"),
        ("coin_flip", [{"question": "Heads?", "answer": "tails"}], r"item 1: answer 'tails' is neither 'yes' nor 'no'"),
        ("date_understanding", [{"question": "When?", "answer": "A"}], r"item 1: the question has no choices; they look like"),
        (
            "date_understanding",
            [{"question": f"When?{CHOICES}", "answer": "D"}],
            r"answer 'D' is outside the choices \(expected one of A, B, C\)",
        ),
        (
            "svamp",
            {"metadata": {"dataset_key": "svamp"}},
            r"x\.json: expected rows in a list under 'data' or 'examples' \(found: metadata\)",
        ),
        ("svamp", {"metadata": {"dataset_key": "svamp"}, "data": {"0": [{}]}}, r"holds completions, not questions; .*import"),
        ("svamp", {"data": ["x"]}, r"x\.json: data\[0\]: expected a JSON object, found str"),
    ],
)
def test_what_is_no_question_is_one_clear_line(key: str, content: Any, message: str, tmp_path: Path) -> None:
    with pytest.raises(UserError, match=message):
        read(key, write(tmp_path / "x.json", content))


def test_a_bad_row_does_not_shift_the_numbers_of_the_others(tmp_path: Path) -> None:
    one, two, three = rows("svamp")
    found = rows_of("svamp", write(tmp_path / "x.json", [one, {**two, "answer": "none"}, three]))["train"]
    assert [getattr(row, "raw", {}).get("sample_index") for row in found] == [0, None, 2]


@pytest.mark.parametrize(
    ("dataset", "key", "answer", "rule"),
    [
        ("gsm8k", "gsm8k", "1,234", "number"),
        ("aqua", "aqua", "B", "letter"),
        ("commonsense_qa", "commonsense_qa", "B", "letter"),
        ("strategyqa", "strategy_qa", "yes", "yes_no"),
    ],
)
def test_the_other_four_of_the_twelve_are_read_in_the_unified_form_too(
    dataset: str, key: str, answer: str, rule: str, tmp_path: Path
) -> None:
    row = {"question": f"Is it so?{CHOICES if rule == 'letter' else ''}", "answer": answer}
    listed = write(tmp_path / "dataset" / f"{key}.json", [row])
    published = write(tmp_path / "any.json", {"metadata": {"dataset_key": key}, "data": [row]})
    for place in (listed, listed.parent, tmp_path, published):
        (question,) = read(dataset, place)["train"]
        assert (question.question, question.answer, question.answer_rule) == ("Is it so?", answer, rule)
        assert question.raw["sample_index"] == 0
    with pytest.raises(UserError, match=r"metadata\.dataset_key is 'svamp', expected"):
        read(dataset, write(published, {"metadata": {"dataset_key": "svamp"}, "data": [row]}))


@pytest.mark.real
def test_the_authors_own_rows_in_a_file_of_that_name_are_read_as_theirs(test_data: Path, tmp_path: Path) -> None:
    for dataset, key, source in (("gsm8k", "gsm8k", "gsm8k/train.jsonl"), ("strategyqa", "strategy_qa", "strategyqa/train.json")):
        renamed = tmp_path / f"{key}.json"
        renamed.write_bytes((test_data / "data" / source).read_bytes())
        assert [q.explanation for q in read(dataset, renamed)["train"]] == [
            q.explanation for q in read(dataset, test_data / "data" / source)["train"]
        ]
