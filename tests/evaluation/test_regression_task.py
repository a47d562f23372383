"""The task `regression`: scores from log-likelihoods, and numbers that equal those worked by hand."""

import json
import math
from pathlib import Path
from typing import Any

import pytest
from datasets import Dataset, DatasetDict

from teacherlm.errors import UserError
from teacherlm.evaluation.loading import TaskOptions, load_tasks
from teacherlm.evaluation.scoring import Answer, score
from teacherlm.evaluation.tasks import _regression as task

PAIRS = [(0.0, 0.1), (0.25, 0.4), (0.75, 0.3), (1.0, 0.9)]
"""(target, score): the two in the middle are the wrong way round."""


def rows(count: int = 4) -> list[dict[str, Any]]:
    return [{"id": f"r{i}", "prompt": f"Text {i}. ", "target": target, "stars": i} for i, (target, _) in enumerate(PAIRS[:count])]


@pytest.fixture
def data(tmp_path: Path) -> Path:
    path = tmp_path / "rows.jsonl"
    path.write_text("".join(json.dumps(row) + "\n" for row in rows()))
    return path


def test_correlations_and_distance_are_those_worked_by_hand():
    assert task.spearman(PAIRS) == pytest.approx(1 - 6 * 2 / (4 * 15))  # ranks 1 2 3 4 and 1 3 2 4
    assert 0 < task.spearman_p(PAIRS) < 1
    assert task.rmse(PAIRS) == pytest.approx(math.sqrt((0.01 + 0.0225 + 0.2025 + 0.01) / 4))
    targets, scores = zip(*PAIRS, strict=True)
    mean_t, mean_s = sum(targets) / 4, sum(scores) / 4
    product = sum((t - mean_t) * (s - mean_s) for t, s in PAIRS)
    spread = math.sqrt(sum((t - mean_t) ** 2 for t in targets) * sum((s - mean_s) ** 2 for s in scores))
    assert task.pearson(PAIRS) == pytest.approx(product / spread)


def test_auc_counts_pairs_in_the_right_order_and_half_of_ties():
    assert task.auc(PAIRS) == 3 / 4
    assert task.auc([(0.0, 0.5), (1.0, 0.5)]) == 0.5


def test_the_best_threshold_is_one_of_the_scores():
    pairs = [(0.0, 0.2), (0.0, 0.6), (1.0, 0.7), (1.0, 0.8), (0.0, 0.1)]
    assert (task.optimal_acc(pairs), task.optimal_threshold(pairs)) == (1.0, 0.7)
    assert (task.optimal_acc(PAIRS), task.optimal_threshold(PAIRS)) == (0.75, 0.3)
    assert (task.optimal_acc([(0.0, 0.3), (0.0, 0.3)]), task.optimal_threshold([(0.0, 0.3), (0.0, 0.3)])) == (1.0, 1.0)
    tied = [(0.0, 0.5), (1.0, 0.5), (1.0, 0.5)]
    assert (task.optimal_acc(tied), task.optimal_threshold(tied)) == (pytest.approx(2 / 3), 0.5)


def test_the_best_threshold_beats_every_other():
    import random

    dice = random.Random(0)
    for _ in range(50):
        pairs = [(dice.random(), round(dice.random(), 1)) for _ in range(12)]
        tried = [sum((t > 0.5) == (s >= at) for t, s in pairs) / 12 for at in [s for _, s in pairs] + [2.0]]
        assert task.optimal_acc(pairs) == pytest.approx(max(tried))


def test_calibration_is_by_tenths_of_the_score():
    pairs = [(0.2, 0.11), (0.4, 0.19), (1.0, 0.95), (0.9, 1.0)]
    assert task.calibration_map(pairs) == [
        {"from": 0.1, "to": 0.2, "n": 2, "score": pytest.approx(0.15), "target": pytest.approx(0.3)},
        {"from": 0.9, "to": 1.0, "n": 2, "score": pytest.approx(0.975), "target": pytest.approx(0.95)},
    ]
    assert task.calibration_error(pairs) == pytest.approx((2 * 0.15 + 2 * 0.025) / 4)


def test_what_is_not_defined_says_that_nothing_was_found():
    constant = [(0.1, 0.5), (0.9, 0.5), (0.4, 0.5)]
    assert (task.spearman(constant), task.spearman_p(constant), task.pearson(constant)) == (0.0, 1.0, 0.0)
    assert task.auc([(0.1, 0.2), (0.4, 0.9)]) == 0.5


def test_each_text_is_asked_for_its_two_words_and_scored_by_their_difference(data):
    (loaded,) = load_tasks(["regression"], [], TaskOptions(data=data))
    asked = [instance.args for instance in loaded.task.instances]
    assert asked[:2] == [("Text 0.", " no"), ("Text 0.", " yes")] and len(asked) == 8
    likely = [math.log(p) for _, s in PAIRS for p in (1 - s, s)]
    predictions, metrics = score(loaded, [[Answer((value, False))] for value in likely])
    found = {metric.name: metric.value for metric in metrics}
    assert [row["correct"]["score"] for row in predictions] == pytest.approx([s for _, s in PAIRS])
    assert found["spearman"] == pytest.approx(0.8) and found["acc"] == 0.75 and found["auc"] == 0.75
    assert found["optimal_threshold"] == pytest.approx(0.3) and found["rmse"] == pytest.approx(task.rmse(PAIRS))
    assert [row["item"] for row in predictions] == ["r0", "r1", "r2", "r3"]


def test_far_apart_log_likelihoods_are_a_sure_score():
    row = {"target": 1.0}
    assert task.score(row, [(-9000.0, False), (-1.0, True)])["score"] == 1.0
    assert task.score(row, [(-1.0, True), (-9000.0, False)])["score"] == 0.0


def test_what_the_student_was_taught_decides_words_columns_and_range(tmp_path):
    path = tmp_path / "stars.jsonl"
    path.write_text("".join(json.dumps({"review": f"R{i}", "stars": i}) + "\n" for i in (1, 3, 5)))
    taught = {"words": ["bad", "good"], "input": "review", "target": "stars", "renormalise": [1, 5]}
    (loaded,) = load_tasks(["regression"], [], TaskOptions(data=path, taught=taught))
    assert [instance.args for instance in loaded.task.instances][:2] == [("R1", "bad"), ("R1", "good")]
    assert [doc["target"] for doc in loaded.task.eval_docs] == [0.0, 0.5, 1.0]


def test_a_prepared_folder_is_measured_on_its_validation_split(tmp_path):
    DatasetDict({"train": Dataset.from_list(rows()), "validation": Dataset.from_list(rows(2))}).save_to_disk(str(tmp_path / "set"))
    (loaded,) = load_tasks(["regression"], [], TaskOptions(data=tmp_path / "set"))
    assert len(loaded.task.eval_docs) == 2
    (train,) = load_tasks(["regression"], [], TaskOptions(data=tmp_path / "set", split="train"))
    assert len(train.task.eval_docs) == 4


@pytest.mark.parametrize(
    ("row", "message"),
    [
        ({"prompt": "x", "target": 1.5}, "row 4: 'target' is 1.5, expected a number from 0 to 1"),
        ({"prompt": "x", "target": None}, "row 4: 'target' is None"),
        ({"prompt": "", "target": 1}, "row 4: 'prompt' is '', expected text"),
        ({"text": "x", "target": 1}, r"row 4 has no column 'prompt' \(found: text, target\)"),
    ],
)
def test_a_row_that_cannot_be_scored_is_named(data, row, message):
    with data.open("a") as file:
        file.write(json.dumps(row) + "\n")
    with pytest.raises(UserError, match=f"task 'regression': .*{message}"):
        load_tasks(["regression"], [], TaskOptions(data=data))


def preds(path: Path) -> Any:
    return json.loads(path.read_text())


@pytest.fixture
def student(data: Path, tmp_path: Path) -> Path:
    from teacherlm.stages.finetune import FinetuneConfig, finetune

    scratch = {"hidden_size": 16, "layers": 1, "heads": 2, "context": 64}
    watched = {"eval": {"tasks": {"regression": 0}, "every": "1 steps", "data": data}}
    given = {"input": data, "output": tmp_path / "run", "scratch": scratch, "objective": "regression", **watched}
    finetune(FinetuneConfig(**given, epochs=2, batch_size=4))
    return tmp_path / "run"


@pytest.mark.slow
def test_the_scores_of_every_row_lie_beside_it_in_the_originals_file(student: Path, data: Path, tmp_path: Path):
    from teacherlm.parsing import parse_config
    from teacherlm.stages.evaluate import EvaluateConfig, evaluate

    def measured(name: str, **given: Any) -> Path:
        evaluate(
            parse_config(EvaluateConfig, {"input": str(student), "tasks": ["regression"], "data": data, "output": tmp_path / name, **given})
        )
        return tmp_path / name / "preds"

    found = measured("all")
    names = ["checkpoint-1-preds.json", "checkpoint-2-preds.json"]
    assert sorted(path.name for path in found.iterdir()) == names == sorted(path.name for path in (student / "preds").iterdir())
    last = preds(found / names[1])
    assert [one["orig_d"] for one in last] == rows() and all(0 < one["pred_score"] < 1 for one in last)
    while_training = preds(student / "preds" / names[1])
    assert [one["orig_d"] for one in while_training] == rows()
    assert [one["pred_score"] for one in while_training] == pytest.approx([one["pred_score"] for one in last], abs=1e-6)

    place = tmp_path / "elsewhere/preds.json"
    assert not measured("one", checkpoints="last", pred_save_path=place, scores_only=True).exists()
    assert preds(place) == [one["pred_score"] for one in last]
    with pytest.raises(UserError, match=r"pred_save_path: .* is for the scores of one student on one task, but 2 measurements"):
        measured("many", pred_save_path=place)


def test_a_place_for_scores_that_nobody_gives_is_refused(tmp_path: Path):
    from teacherlm.evaluation.preds import require_one

    with pytest.raises(UserError, match="no task measured here scores its rows"):
        require_one([], tmp_path / "preds.json")
