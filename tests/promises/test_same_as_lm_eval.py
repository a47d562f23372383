"""Numbers by letters are those of plain `lm_eval`, to the item: same prompts, same log-likelihoods, same score."""

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from teacherlm.evaluation.content import OURS
from teacherlm.parsing import parse_config
from teacherlm.stages.evaluate import EvaluateConfig, evaluate
from teacherlm.store.files import read_jsonl

SUBJECTS = ("mmlu_anatomy", "mmlu_formal_logic", "mmlu_astronomy")
TASKS = ("creak", "ecqa", *SUBJECTS)
SPLITS = {"creak": "validation", "ecqa": "validation", "mmlu": "test"}
QUESTIONS = {"creak": 1371, "ecqa": 1090, "mmlu_anatomy": 135, "mmlu_formal_logic": 126, "mmlu_astronomy": 152}
Items = dict[str, list[dict[str, Any]]]


@pytest.fixture
def data(test_data: Path, tmp_path: Path) -> dict[str, Path]:
    """By dataset; ECQA's table with CommonsenseQA's key beside it."""
    published, ecqa = test_data / "data", tmp_path / "ecqa"
    ecqa.mkdir()
    (ecqa / "cqa_data_val.csv").symlink_to(published / "ecqa" / "cqa_data_val.csv")
    (ecqa / "train_rand_split.jsonl").symlink_to(published / "commonsenseqa" / "train_rand_split.jsonl")
    return {"creak": published / "creak" / "dev.json", "ecqa": ecqa, "mmlu": published / "mmlu"}


def plain_lm_eval(folder: Path, model: Path, data: dict[str, Path], *more: str) -> tuple[Items, dict[str, Any]]:
    """Items and scores of the real command line."""
    folder.mkdir()
    metadata = json.dumps({"data": {name: str(path) for name, path in data.items()}, "split": SPLITS})
    command = [str(Path(sys.executable).parent / "lm_eval"), "--model", "hf", "--model_args", f"pretrained={model},dtype=float32"]
    command += ["--device", "cpu", "--include_path", str(OURS), "--tasks", ",".join(TASKS), "--metadata", metadata, "--log_samples"]
    done = subprocess.run(
        [*command, "--output_path", str(folder), *more],
        cwd=folder,
        env={**os.environ, "OMP_NUM_THREADS": "1"},
        capture_output=True,
        text=True,
    )
    assert done.returncode == 0, done.stderr[-2000:]
    (results,) = folder.rglob("results_*.json")
    items = {}
    for task in TASKS:
        (samples,) = folder.rglob(f"samples_{task}_2*.jsonl")
        items[task] = sorted(map(json.loads, samples.open(encoding="utf-8")), key=lambda row: int(row["doc_id"]))
    return items, json.loads(results.read_text(encoding="utf-8"))["results"]


@pytest.mark.real
@pytest.mark.parametrize(
    ("limit", "batch_size"),
    [pytest.param(25, 7, marks=pytest.mark.slow, id="25 questions each"), pytest.param(None, 64, marks=pytest.mark.long, id="all")],
)
def test_letters_of_creak_ecqa_and_three_subjects_of_mmlu_equal_plain_lm_eval(
    tmp_path: Path, data: dict[str, Path], stories260k: Path, limit: int | None, batch_size: int
) -> None:
    """Within float32, at another batch size."""
    output, paths = tmp_path / "ours", {task: data["mmlu" if task in SUBJECTS else task] for task in TASKS}
    splits = {task: SPLITS["mmlu" if task in SUBJECTS else task] for task in TASKS}
    words = {"input": str(stories260k), "output": output, "tasks": list(TASKS), "data": paths, "split": splits, "limit": limit}
    evaluate(parse_config(EvaluateConfig, {**words, "dtype": "float32", "device": "cpu", "batch_size": 32}))
    rows = {row["task"]: row for _, row in read_jsonl(output / "results.jsonl")}
    more = ["--batch_size", str(batch_size), *(["--limit", str(limit)] if limit else [])]
    theirs, results = plain_lm_eval(tmp_path / "plain", stories260k, data, *more)
    for task in TASKS:
        ours = [row for _, row in read_jsonl(output / rows[task]["predictions"])]
        assert len(ours) == len(theirs[task]) == (limit or QUESTIONS[task])
        for mine, plain in zip(ours, theirs[task], strict=True):
            assert mine["prompt"] == plain["arguments"]["gen_args_0"]["arg_0"]
            assert mine["correct"]["acc"] == plain["acc"]
            assert mine["output"] == pytest.approx([float(answer[0][0]) for answer in plain["resps"]], abs=1e-4)
        assert rows[task]["value"] == results[task]["acc,none"] and rows[task]["encoding"] == "together, BOS"
        assert rows[task]["stderr"] == pytest.approx(results[task]["acc_stderr,none"])
