import json
import re
from pathlib import Path
from typing import Any

import pytest

from teacherlm.asking import Drop, Terms
from teacherlm.errors import UserError
from teacherlm.parsing import parse_config
from teacherlm.records import Completion, Sampling
from teacherlm.ways.few_shot import WAY

TERMS = Terms("T", ("cot",), 128, Sampling())
BLOCK = "Q: What is 1 + 1?\nA: One and one. The answer is 2.\nQ: What is 2 + 2?\nA: Two and two. The answer is 4."


def result(shots: Path, question: str, said: str = " So. The answer is 7.", **settings: Any) -> tuple[str, Any]:
    """(prompt, result) of one question."""
    way = WAY.build(parse_config(WAY.settings, {"shots": str(shots), **settings}))
    row = {"id": "1", "prompt": f"Q: {question} A:", "answer": "7", "answer_rule": "number", "template": "teacherlm"}
    conversation = way(row, TERMS, "T.jsonl:1", 0)
    try:
        (request,) = next(conversation)
        conversation.send([Completion("k", said)])
    except StopIteration as end:
        return (request.prompt if not isinstance(end.value, Drop) else "", end.value)
    raise AssertionError


def test_the_examples_stand_before_the_question(tmp_path: Path):
    (tmp_path / "shots.txt").write_text(BLOCK + "\n")
    prompt, row = result(tmp_path / "shots.txt", "What is 3 + 4?")
    assert prompt == f"{BLOCK}\nQ: What is 3 + 4?\nA:"
    assert (row["found"], row["cot"]) == ("7", " So. The answer is 7.")


def test_a_question_that_is_an_example_is_left_out_however_it_is_spaced(tmp_path: Path):
    (tmp_path / "shots.txt").write_text(BLOCK)
    assert result(tmp_path / "shots.txt", "What is  1+1 ?")[1] == Drop("it is one of the examples in the prompt")


@pytest.mark.parametrize("key", ["date_understanding", "last_letter_concatenation", "coin_flip", "multiarith"])
def test_of_the_published_prompts_just_the_rows_they_name_are_left_out(test_data: Path, key: str):
    shots = test_data / "data" / "reasoning_teacher" / "few_shot_cot_prompts.json"
    questions = [row["question"] for row in json.loads((test_data / "data/reasoning_teacher/dataset" / f"{key}.json").read_text())]
    way = WAY.build(parse_config(WAY.settings, {"shots": str(shots), "key": key}))
    left_out = []
    for number, question in enumerate(questions):
        row = {"prompt": f"Q: {re.sub(' +', ' ', question)} A:", "answer_rule": "exact"}
        if next(way(row, TERMS, "x", 0), None) is None:
            left_out.append(number)
    assert left_out == sorted(json.loads(shots.read_text())[key]["sample_indices"])


@pytest.mark.parametrize(
    "content, settings, message",
    [
        (
            '{"a": {"prompt": "Q: x\\nA: y"}, "b": {"prompt": "Q: x\\nA: y"}}',
            {},
            r"shots.json: holds several prompts; say which with key: a, b\.",
        ),
        ('{"a": {"prompt": "Q: x\\nA: y"}}', {"key": "aa"}, r"No few-shot prompt named 'aa'\. Did you mean 'a'\?"),
        ('{"a": {"prompt": "nothing"}}', {}, r"shots.json: holds no examples; they look like"),
        ('{"a": 3}', {}, r"shots.json: a.prompt: expected a text\."),
        ("[]", {}, r"shots.json: expected \{key: \{prompt: ...\}\}, found list\."),
    ],
)
def test_shots_that_are_none_are_named(tmp_path: Path, content: str, settings: dict[str, str], message: str):
    (tmp_path / "shots.json").write_text(content)
    with pytest.raises(UserError, match=message):
        result(tmp_path / "shots.json", "Why?", **settings)


def test_a_missing_file_is_one_line(tmp_path: Path):
    with pytest.raises(UserError, match=r"nowhere.txt: no such file\."):
        result(tmp_path / "nowhere.txt", "Why?")
