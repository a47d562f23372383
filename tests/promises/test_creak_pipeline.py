"""pipelines/creak.yaml on the published CREAK files and a real pretrained model, by `--set` alone."""

import json
import subprocess
import sys
from pathlib import Path

import pytest

SEEDS_COLUMNS = [
    *("ex_id", "sentence", "explanation", "label", "entity", "en_wiki_pageid", "entity_mention_loc"),
    *("text", "cot_text", "error_text", "fundamental_text", "cot", "all", "cot_tail"),
]


def run_creak(run: Path, test_data: Path, *settings: str) -> None:
    """The line of the README, with a folder of its own."""
    model, data = test_data / "models/stories260k", test_data / "data/creak"
    here = [f"prepare.source={data}", f"enhance.teacher.model={model}", "enhance.teacher.dtype=float32", "enhance.max_new_tokens=64"]
    here += [f"finetune.model={model}", "finetune.precision=fp32", "finetune.epochs=1", "finetune.learning_rate=3.0e-4"]
    here += ["finetune.max_source_length=512", "finetune.gradient_checkpointing=false", "finetune.matrix.seed=[0]"]
    here += [f"evaluate.data={data}", f"untrained.data={data}", f"untrained.input={model}"]
    here += ["evaluate.max_new_tokens=96", "untrained.max_new_tokens=96", f"run_dir={run}", *settings]
    words = [word for setting in here for word in ("--set", setting)]
    done = subprocess.run([sys.executable, "-m", "teacherlm.cli", "run", "creak", "--jobs", "2", *words], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr[-4000:]


def check(run: Path, rows: int, questions: int) -> None:
    from datasets import load_from_disk

    examples = load_from_disk(str(run / "postprocess"))
    assert examples.column_names[:14] == SEEDS_COLUMNS
    counts = json.loads((run / "postprocess/manifest.json").read_text())["counts"]
    assert counts["in"] == rows == counts["out"] + counts["dropped"]
    assert len(examples) == counts["out"]
    report = json.loads((run / "report/report.json").read_text())
    assert {row["trained_on"] for row in report["rows"]} == {"untrained", "text", "cot_tail", "cot_head"}
    assert {row["n"] for row in report["rows"]} == {questions}
    assert (run / "report/report.html").stat().st_size < 5_000_000


@pytest.mark.slow
@pytest.mark.real
@pytest.mark.timeout(1200)
def test_creak_runs_end_to_end_on_the_first_rows(tmp_path: Path, test_data: Path) -> None:
    less = ["prepare.limit=96", "evaluate.limit=40", "untrained.limit=40", "enhance.max_new_tokens=24"]
    run_creak(tmp_path / "run", test_data, *less, "evaluate.max_new_tokens=24", "untrained.max_new_tokens=24")
    check(tmp_path / "run", rows=96, questions=40)


@pytest.mark.long
@pytest.mark.real
@pytest.mark.timeout(3600)
def test_creak_runs_end_to_end_on_all_10176_rows(tmp_path: Path, test_data: Path) -> None:
    run_creak(tmp_path / "run", test_data)
    check(tmp_path / "run", rows=10_176, questions=1_371)
