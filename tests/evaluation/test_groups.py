"""A group is measured as one: over all questions of its tasks, each once."""

import statistics
from pathlib import Path
from typing import Any

import pytest
from dataset_files import write_text

from teacherlm.parsing import parse_config
from teacherlm.stages.evaluate import EvaluateConfig, evaluate
from teacherlm.store.files import read_jsonl

GROUP = "group: gases\ntask: [mmlu_anatomy, mmlu_virology]\naggregate_metric_list: [{metric: acc, weight_by_size: true}]\n"


def rows(path: Path) -> list[dict[str, Any]]:
    return [row for _, row in read_jsonl(path)]


@pytest.mark.slow
@pytest.mark.real
def test_a_group_is_a_row_over_all_its_questions_and_its_tasks_keep_theirs(tmp_path: Path, stories260k: Path) -> None:
    for subject, count in (("anatomy", 3), ("virology", 8)):
        lines = "".join(f"Which of {n} is it,a{n},b{n},c{n},d{n},{n % 4}\n" for n in range(count))
        write_text(tmp_path / "data" / "val" / f"{subject}_val.csv", f"question,A,B,C,D,answer\n{lines}")
    write_text(tmp_path / "mine" / "gases.yaml", GROUP)
    words = {"input": str(stories260k), "data": tmp_path / "data", "output": tmp_path / "out", "dtype": "float32", "permute_options": True}
    asked = {**words, "tasks": ["mmlu_anatomy", "gases"], "include_path": [tmp_path / "mine"]}
    outcome = evaluate(parse_config(EvaluateConfig, asked))
    found = {(row["task"], row["metric"]): row for row in rows(tmp_path / "out" / "results.jsonl")}
    assert outcome.counts["tasks"] == 2 and outcome.metrics["stories260k.gases.acc"] == found["gases", "acc"]["value"]
    for metric in ("acc", "acc_permuted", "consistent"):
        group = found["gases", metric]
        parts = [found[task, metric] for task in ("mmlu_anatomy", "mmlu_virology")]
        assert group["n"] == 11 and group["value"] == pytest.approx(sum(row["value"] * row["n"] for row in parts) / 11)
        told = rows(tmp_path / "out" / group["predictions"])
        scores = [row["correct"][metric] for row in told]
        assert group["stderr"] == pytest.approx(statistics.stdev(scores) / 11**0.5)
        assert len({row["item"] for row in told}) == 11 and {row["item"].partition("/")[0] for row in told} == {
            row["task"] for row in parts
        }
    assert ("gases", "acc_spread") not in found, "no mean over questions"
    before = (tmp_path / "out" / "results.jsonl").read_bytes()
    assert evaluate(parse_config(EvaluateConfig, asked)).counts["measured"] == 0
    assert (tmp_path / "out" / "results.jsonl").read_bytes() == before
