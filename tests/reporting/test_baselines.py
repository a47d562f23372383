"""What a score has to beat."""

from pathlib import Path
from typing import Any

import pytest

from teacherlm.reporting.baselines import always, copying, guessing, solved_by_teacher, teachers_of
from teacherlm.reporting.history import Job
from teacherlm.reporting.measured import read_results
from teacherlm.reporting.predictions import Predictions, read_predictions
from teacherlm.store.files import write_jsonl
from teacherlm.store.manifest import Manifest, write_manifest


def answers(folder: Path, golds: str, **more: Any) -> Predictions:
    rows = [{"item": str(i), "prompt": "?", "gold": gold, "correct": {"acc": 1}, **more} for i, gold in enumerate(golds.split())]
    write_jsonl(folder / "predictions.jsonl", rows)
    return read_predictions(folder / "predictions.jsonl")


def test_a_random_choice_is_right_once_in_as_many_times_as_there_are_choices(tmp_path: Path) -> None:
    assert [row["value"] for row in guessing(answers(tmp_path, "A B", choices=["a", "b", "c", "d"]))] == [0.25]
    assert [row["value"] for row in guessing(answers(tmp_path, "A B", output=[-1.5, -2.0]))] == [0.5]
    assert not list(guessing(answers(tmp_path, "A B", output="The answer is A.")))


def test_always_the_same_answer_needs_few_answers_or_numbers(tmp_path: Path) -> None:
    assert [(row["answer"], row["value"]) for row in always(answers(tmp_path, "B A B B"))] == [("B", 0.75)]
    assert [(row["answer"], row["value"]) for row in always(answers(tmp_path, "yes no no", output=[-1.0, -2.0]))] == [
        ("no", pytest.approx(2 / 3))
    ]
    assert [(row["answer"], row["value"]) for row in always(answers(tmp_path, "12 17 12 1,000 -3/4"))] == [("12", 0.4)]
    assert [(row["answer"], row["value"]) for row in always(answers(tmp_path, "3+4=7####7 $1,000 7. 1000"))] == [("1000", 0.5)]
    assert not list(always(answers(tmp_path, "Paris London Paris")))
    assert not list(always(answers(tmp_path, "12 seventeen 12")))


def test_what_a_task_scores_for_copying_is_a_baseline_of_its_metric(tmp_path: Path) -> None:
    scores = [{"rougeL": 1, "rouge1_of_copy_input": 1, "rougeL_of_copy_input": n / 2, "rougeL_of_copy_demonstration": 1} for n in range(3)]
    rows = [{"item": str(i), "prompt": "?", "gold": "a", "correct": score} for i, score in enumerate(scores)]
    write_jsonl(tmp_path / "predictions.jsonl", rows)
    found = list(copying(read_predictions(tmp_path / "predictions.jsonl"), "rougeL"))
    assert found == [{"name": "copy input", "value": 0.5, "n": 3}, {"name": "copy demonstration", "value": 1.0, "n": 3}]


def test_a_metric_in_percent_is_a_fraction_in_a_report(tmp_path: Path) -> None:
    write_manifest(tmp_path, Manifest("evaluate", 1, "", {"input": "base/model"}, {}))
    row = {"checkpoint": "model", "task": "t", "metric": "rougeL", "value": 54.33, "stderr": None, "n": 3, "predictions": "p"}
    write_jsonl(tmp_path / "results.jsonl", [{**row, "scale": 100}, {**row, "metric": "acc", "value": 0.5}])
    assert [result.value for result in read_results([tmp_path])] == [pytest.approx(0.5433), 0.5]


def jobs(way: str) -> list[Job]:
    asked = Manifest("enhance", 1, "", {"way": {"name": way}, "teacher": {"name": "vllm", "model": "big/teacher"}}, {})
    judged = Manifest(
        "postprocess", 1, "", {}, {"run/enhance": ""}, facts={"funnel": {"agreement": {"right": 60, "wrong": 30, "unparsed": 10}}}
    )
    return [Job(Path("run/enhance"), asked), Job(Path("run/postprocess"), judged)]


def test_a_teacher_counts_only_where_it_did_not_see_the_answer() -> None:
    assert solved_by_teacher(jobs("solve")) == [{"name": "teacher, on 100 training questions", "value": 0.6, "n": 100}]
    assert solved_by_teacher(jobs("rationalise")) == []
    assert teachers_of(jobs("solve")) == ["big/teacher"]
