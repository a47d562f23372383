"""On a real Slurm: a training cut by its time limit is queued again and ends the same; two nodes train the student of one."""

import json
import math
import time
from pathlib import Path
from typing import Any

import pytest
import yaml
from slurm_cluster import Cluster
from trainings import SETTINGS, STEPS, furthest, learnt, losses, write_rows

from teacherlm.launch.run import run_pipeline
from teacherlm.launch.submit import submit_pipeline
from teacherlm.store.checkpoints import find_checkpoints
from teacherlm.store.manifest import read_manifest

pytestmark = [pytest.mark.real, pytest.mark.long]
QUIET = {"save_strategy": "no", "logging_steps": 1000}
ON_CPUS = ["export DS_ACCELERATOR=cpu OMP_NUM_THREADS=1 GLOO_SOCKET_IFNAME=lo"]


def write(folder: Path, run: str, finetune: dict[str, Any]) -> str:
    settings = {**SETTINGS, "input": str(write_rows(folder)), **finetune}
    path = folder / f"{run}.yaml"
    path.write_text(yaml.safe_dump({"run_dir": str(folder / run), "steps": [{"finetune": settings}]}))
    return str(path)


def logs_of(run_dir: Path) -> str:
    return "\n".join(path.read_text() for path in sorted((run_dir / "slurm/logs").iterdir()))


def epochs_of(seconds: float, folder: Path) -> int:
    """As many as this machine trains in that time."""
    few = 100
    assert not run_pipeline(write(folder, "short", {**QUIET, "epochs": few}), [], [], dry_run=False, workers=1, only=[])
    took = json.loads((folder / "short/finetune/metrics.jsonl").read_text().splitlines()[-1])["seconds"]
    return math.ceil(few * seconds / took)


def test_a_training_cut_by_its_time_is_queued_again_and_ends_with_the_same_weights(slurm: Cluster, tmp_path: Path) -> None:
    """Slurm gives it two minutes at a time, and warns it after 60 to 90 seconds; it sleeps 20 of them and trains 130 in all, however
    busy the machine becomes meanwhile.
    """
    long = {**QUIET, "epochs": epochs_of(130, tmp_path)}
    assert not run_pipeline(write(tmp_path, "whole", long), [], [], dry_run=False, workers=1, only=[])
    file = write(tmp_path, "cut", {**long, "slurm": {"time": "2", "requeues": 30, "setup": [*ON_CPUS, "sleep 20"]}})
    submit_pipeline(file, [], [], dry_run=False)
    end, output = time.monotonic() + 1800, tmp_path / "cut/finetune"
    while read_manifest(output) is None:
        assert time.monotonic() < end, logs_of(tmp_path / "cut") + slurm.ask("scontrol", "show", "job")
        time.sleep(2)
    slurm.wait_idle()
    manifest, said = read_manifest(output), logs_of(tmp_path / "cut")
    assert manifest is not None and manifest.slurm["restarts"] >= 1, said
    assert "finetune: stopped by" in said and "is queued again (1 of 30)" in said
    steps = long["epochs"] * STEPS // SETTINGS["epochs"]
    assert learnt(output, steps) == learnt(tmp_path / "whole/finetune", steps)


def test_zero3_over_two_nodes_has_the_losses_of_one_process(slurm: Cluster, tmp_path: Path) -> None:
    short = {"epochs": 3}
    assert not run_pipeline(write(tmp_path, "alone", short), [], [], dry_run=False, workers=1, only=[])
    file = write(tmp_path, "both", {**short, "ds_config": "zero3", "slurm": {"nodes": 2, "setup": ON_CPUS}})
    submit_pipeline(file, [], [], dry_run=False)
    slurm.wait_idle(180)
    one, two = tmp_path / "alone/finetune", tmp_path / "both/finetune"
    manifest = read_manifest(two)
    assert manifest is not None, logs_of(tmp_path / "both")
    assert manifest.slurm["nodes"] == "n[1-2]"
    assert find_checkpoints(two)[-1].facts["state"] == "zero3 x 2"
    assert losses(two) == pytest.approx(losses(one), abs=2e-5)
    assert furthest(two, one) < 2e-4
