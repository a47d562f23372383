"""The quickstart by `submit` on two nodes gives the numbers it gives by `run`."""

import json
from pathlib import Path
from typing import Any

import pytest
from slurm_cluster import Cluster

from teacherlm.launch.run import run_pipeline
from teacherlm.launch.status import read_status
from teacherlm.launch.submit import submit_pipeline

SMALLER = [
    "textbook.dataset={name: word_problems, textbook: 200, practice: 120, test: 60}",
    "questions.dataset={name: word_problems, textbook: 200, practice: 120, test: 60}",
    "teacher.epochs=2",
    "enhance.max_new_tokens=64",
    "enhance.shards=2",
    "postprocess.verify=[]",
    "report.baseline=cot_tail",
    "students.matrix={train_on: {cot_tail: {train_on: cot_tail, epochs: 2}}, seed: [0]}",
    "evaluate.max_new_tokens=64",
]


def submitted(slurm: Cluster, run: Path, sets: list[str]) -> None:
    submit_pipeline("quickstart", [f"run_dir={run}", *sets, "slurm.cpus=2"], [], dry_run=False)
    slurm.wait_idle(2400)
    assert read_status(run)[1] == {}


def numbers(run: Path) -> list[dict[str, Any]]:
    """Of the report, without what a clock decides."""
    rows = json.loads((run / "report/report.json").read_text())["rows"]
    timed = ("seconds", "answer_seconds", "tokens_per_second", "path", "place")
    return [{key: value for key, value in row.items() if key not in timed} for row in rows]


def measured(run: Path) -> dict[str, Any]:
    """Of every job: losses, accuracies, rows, tokens."""
    found = {}
    for path in sorted(run.rglob("manifest.json")):
        manifest = json.loads(path.read_text())
        found[str(path.parent.relative_to(run))] = {**manifest["counts"], **manifest["metrics"], "seconds": None}
    return found


@pytest.mark.real
@pytest.mark.slow
@pytest.mark.timeout(900)
def test_a_smaller_quickstart_by_submit_reports_the_numbers_of_run(slurm: Cluster, tmp_path: Path) -> None:
    submitted(slurm, tmp_path / "slurm", SMALLER)
    assert run_pipeline("quickstart", [f"run_dir={tmp_path / 'here'}", *SMALLER], [], dry_run=False, workers=2, only=[]) == {}
    assert numbers(tmp_path / "slurm") == numbers(tmp_path / "here")
    assert measured(tmp_path / "slurm") == measured(tmp_path / "here")
    assert numbers(tmp_path / "here")


@pytest.mark.real
@pytest.mark.long
@pytest.mark.timeout(2700)
def test_the_whole_quickstart_by_submit_reports_the_numbers_of_run(slurm: Cluster, tmp_path: Path) -> None:
    submitted(slurm, tmp_path / "slurm", [])
    assert run_pipeline("quickstart", [f"run_dir={tmp_path / 'here'}"], [], dry_run=False, workers=2, only=[]) == {}
    assert numbers(tmp_path / "slurm") == numbers(tmp_path / "here")
    assert measured(tmp_path / "slurm") == measured(tmp_path / "here")
