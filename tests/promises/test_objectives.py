"""What students of several objectives learn, asked as they were taught: from rows to scores, by the stages alone."""

import json
import random
from pathlib import Path
from typing import Any

import pytest
import torch

from teacherlm.stages.evaluate import EvaluateConfig, evaluate
from teacherlm.stages.finetune import FinetuneConfig, finetune
from tests.steps import write_rows

SCRATCH = {"hidden_size": 32, "layers": 2, "heads": 2, "context": 64}
EVERY_KIND = pytest.mark.parametrize("architecture", ["llama", "gpt2", "t5"])


@pytest.fixture(autouse=True)
def one_thread() -> None:
    torch.set_num_threads(1)


def measured(folder: Path, student: Path, task: str, data: Path, **given: Any) -> dict[str, float]:
    evaluate(EvaluateConfig(output=folder, input=str(student), tasks=[task], data=data, checkpoints="last", **given))
    return {row["metric"]: row["value"] for row in map(json.loads, (folder / "results.jsonl").read_text().splitlines())}


def asked(folder: Path) -> list[dict[str, Any]]:
    [file] = folder.glob("measured/*/predictions.jsonl")
    return [json.loads(line) for line in file.read_text().splitlines()]


def lengths(count: int, seed: int) -> list[dict[str, Any]]:
    """A text of 1 to 20 words; its target is how long it is."""
    dice = random.Random(seed)
    words = ["sun", "rain", "wind", "snow", "tree", "lake", "hill", "bird", "fish", "stone"]
    sizes = [dice.randint(1, 20) for _ in range(count)]
    return [{"prompt": " ".join(dice.choice(words) for _ in range(size)), "target": size} for size in sizes]


@pytest.mark.slow
@EVERY_KIND
def test_a_regression_learns_how_long_a_text_is(tmp_path, architecture):
    data, test = write_rows(tmp_path / "train.jsonl", lengths(500, 0)), write_rows(tmp_path / "test.jsonl", lengths(100, 1))
    objective = {"name": "regression", "renormalise": [0, 20]}
    settings = {"epochs": 10, "batch_size": 16, "learning_rate": 5e-3, "lr_scheduler": "cosine", "warmup": 0.1, "save_strategy": "no"}
    finetune(
        FinetuneConfig(
            input=data, output=tmp_path / "student", scratch={**SCRATCH, "architecture": architecture}, objective=objective, **settings
        )
    )
    found = measured(tmp_path / "evaluated", tmp_path / "student", "regression", test)
    assert found["spearman"] > 0.9
    assert found["rmse"] < 0.15 and found["auc"] > 0.95 and found["optimal_acc"] >= found["acc"] > 0.8


def flips(count: int, seed: int) -> list[dict[str, Any]]:
    """Two flips of a coin: the answer is whether the coin still shows heads."""
    dice = random.Random(seed)
    rows = []
    for i in range(count):
        turned = [dice.random() < 0.5 for _ in range(2)]
        prompt = "Q: A coin is heads up. " + " ".join("Ann flips it." if one else "Bob rests." for one in turned) + " A:"
        answer = "yes" if sum(turned) % 2 == 0 else "no"
        told = f" It was flipped {sum(turned)} times."
        rows.append({"id": f"f{i}", "prompt": prompt, "text": f"{prompt} The answer is {answer}.", "cot": told})
    rules = {"answer_rule": "yes_no", "choices": [], "template": "teacherlm"}
    return [{**row, **rules, "answer": row["text"].rsplit(" ", 1)[1].strip(".")} for row in rows]


@pytest.mark.slow
@EVERY_KIND
def test_a_student_of_two_tasks_is_asked_for_labels_as_it_was_taught(tmp_path, architecture):
    data = write_rows(tmp_path / "rows.jsonl", flips(32, 0))
    settings = {"epochs": 40, "batch_size": 16, "learning_rate": 5e-3, "save_strategy": "no"}
    finetune(
        FinetuneConfig(
            input=data, output=tmp_path / "student", scratch={**SCRATCH, "architecture": architecture}, objective="step_by_step", **settings
        )
    )
    found = measured(tmp_path / "evaluated", tmp_path / "student", "questions", data, max_new_tokens=12)
    rows = asked(tmp_path / "evaluated")
    assert all(row["prompt"].startswith("predict: Q: A coin") for row in rows)
    assert {row["output"] for row in rows} == {" The answer is yes.", " The answer is no."}
    assert found["acc"] > 0.95
