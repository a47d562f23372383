"""Scores: an oracle gets 100%, an anti-oracle 0%, through the same code a model goes through."""

import json
import math
from pathlib import Path
from typing import Any

import pytest
from datasets import Dataset, DatasetDict

from teacherlm.errors import UserError
from teacherlm.evaluation.loading import LoadedTask, TaskOptions, load_tasks
from teacherlm.evaluation.scoring import Answer, score
from teacherlm.prompts import template
from teacherlm.records import Question

TEACHERLM = template("teacherlm")


def creak_file(folder: Path, count: int = 10) -> Path:
    rows = [{"ex_id": f"dev_{n}", "sentence": f"Claim {n}.", "label": "true" if n % 3 else "false"} for n in range(count)]
    path = folder / "dev.json"
    path.write_text("".join(json.dumps(row) + "\n" for row in rows), encoding="utf-8")
    return path


def loaded(name: str, data: Path) -> LoadedTask:
    return load_tasks([name], [], TaskOptions(data=data))[0]


def by_letters(task: LoadedTask, right: bool) -> list[list[Answer]]:
    """Log-likelihoods that put the gold letter first, or another one."""
    answers = []
    for instance in task.task.instances:
        gold = task.task.doc_to_choice(instance.doc)[task.task.doc_to_target(instance.doc)]
        answers.append([Answer((-1.0 if (instance.args[1] == gold) == right else -9.0, False))])
    return answers


def in_words(task: LoadedTask, state: Any) -> list[list[Answer]]:
    """A rationale and an answer; `state` makes the text of the gold answer."""
    return [
        [Answer(f" Let's think step by step. Because 7. {state(task.task.doc_to_target(i.doc))}", tokens=9)] for i in task.task.instances
    ]


@pytest.mark.parametrize(("right", "value"), [(True, 1.0), (False, 0.0)])
def test_oracle_and_anti_oracle_by_letters(tmp_path: Path, right: bool, value: float) -> None:
    task = loaded("creak", creak_file(tmp_path))
    rows, (metric,) = score(task, by_letters(task, right))
    assert (metric.name, metric.value, metric.stderr, metric.n) == ("acc", value, 0.0, 10)
    assert rows[0] == {
        "item": "dev_0",
        "doc_id": 0,
        "prompt": "Q: Determine the correctness of the following sentence. Claim 0. (A) True (B) False A: The answer is (",
        "gold": "B",
        "answer": "B" if right else "A",
        "output": [-9.0, -1.0] if right else [-1.0, -9.0],
        "correct": {"acc": value},
        "tokens": 0,
        "choices": 2,
    }


def test_oracle_and_anti_oracle_in_words(tmp_path: Path) -> None:
    task = loaded("creak_generate", creak_file(tmp_path))
    rows, metrics = score(task, in_words(task, lambda gold: f"The answer is ({gold})."))
    assert {m.name: m.value for m in metrics} == {"acc": 1.0, "parsed": 1.0}
    assert all(row["answer"] == row["gold"] and row["tokens"] == 9 for row in rows)
    _, metrics = score(task, in_words(task, lambda gold: f"The answer is ({'B' if gold == 'A' else 'A'})."))
    assert {m.name: m.value for m in metrics} == {"acc": 0.0, "parsed": 1.0}
    rows, metrics = score(task, in_words(task, lambda gold: "The answer is True."))
    assert {m.name: m.value for m in metrics} == {"acc": 0.6, "parsed": 1.0} and {row["answer"] for row in rows} == {"A"}
    rows, metrics = score(task, in_words(task, lambda gold: "I cannot say."))
    assert {m.name: m.value for m in metrics} == {"acc": 0.0, "parsed": 0.0} and rows[0]["answer"] is None


def test_free_numbers_are_compared_as_numbers_whatever_the_layout(tmp_path: Path) -> None:
    prompt = TEACHERLM.prompt(Question("How much is it?", "1"))
    rows = [
        {"id": f"q{n}", "prompt": prompt, "choices": [], "answer": str(1000 + n), "answer_rule": "number", "template": "teacherlm"}
        for n in range(5)
    ]
    DatasetDict({"test": Dataset.from_list(rows)}).save_to_disk(tmp_path / "words")
    task = loaded("questions", tmp_path / "words")
    for layout in ("The answer is {}.", "The answer is {:,}.", "The answer is {}.0", "so it is {}"):
        found, metrics = score(task, in_words(task, lambda gold, layout=layout: layout.format(int(gold))))
        assert metrics[0].value == 1.0, layout
        assert [row["item"] for row in found] == [f"q{n}" for n in range(5)]
    _, metrics = score(task, in_words(task, lambda gold: f"The answer is {int(gold) + 1}."))
    assert [m.value for m in metrics] == [0.0, 1.0]


def test_the_standard_error_is_that_of_a_share(tmp_path: Path) -> None:
    task = loaded("creak", creak_file(tmp_path))
    right, wrong = by_letters(task, True), by_letters(task, False)
    _, (metric,) = score(task, right[:14] + wrong[14:])
    assert metric.value == pytest.approx(0.7)
    assert metric.stderr == pytest.approx(math.sqrt(0.7 * 0.3 / 9))


def test_rows_that_share_an_id_are_named_by_their_number(tmp_path: Path) -> None:
    path = tmp_path / "dev.json"
    path.write_text('{"ex_id": "x", "sentence": "a", "label": "true"}\n' * 2, encoding="utf-8")
    task = loaded("creak", path)
    rows, _ = score(task, by_letters(task, True))
    assert [row["item"] for row in rows] == ["0", "1"]


def test_a_metric_that_is_not_a_number_is_refused(tmp_path: Path) -> None:
    task = loaded("creak", creak_file(tmp_path))
    task.task._aggregation_list["acc"] = lambda values: float("nan")
    with pytest.raises(UserError, match="task 'creak': metric 'acc' is not a number, found nan"):
        score(task, by_letters(task, True))


def test_a_question_that_scores_nan_is_named_whatever_the_aggregation(tmp_path: Path) -> None:
    task = loaded("creak", creak_file(tmp_path))
    task.task._aggregation_list["acc"] = max
    task.task.process_results = lambda doc, results: {"acc": float("nan") if doc["id"] == "dev_4" else 1.0}
    with pytest.raises(UserError, match=r"task 'creak': metric 'acc' is not a number, found nan \(item 'dev_4'\)"):
        score(task, by_letters(task, True))


def test_scores_that_name_no_metric_are_refused(tmp_path: Path) -> None:
    task = loaded("creak", creak_file(tmp_path))
    task.task.process_results = lambda doc, results: {}
    with pytest.raises(UserError, match=r"task 'creak': its scores name no metric \(metric_list, process_results\)\."):
        score(task, by_letters(task, True))


def test_an_aggregation_that_is_none_is_refused(tmp_path: Path) -> None:
    task = loaded("creak", creak_file(tmp_path))
    task.task._aggregation_list["acc"] = None  # as lm-eval reads a name that it does not know
    with pytest.raises(UserError, match=r"task 'creak': metric 'acc' has no aggregation that lm-eval knows \(metric_list, aggregation\)"):
        score(task, by_letters(task, True))
