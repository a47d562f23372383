"""doctor, for real on this machine, and on machines that lack things."""

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from teacherlm.launch import doctor

KEY = "0123456789abcdef0123456789abcdef01234567"


def ask(*words: str, **environment: str) -> "subprocess.CompletedProcess[str]":
    return subprocess.run(
        [sys.executable, "-m", "teacherlm.cli", "doctor", *words],
        capture_output=True,
        text=True,
        timeout=120,
        env={**os.environ, **environment},
        check=False,
    )


@pytest.mark.slow
def test_it_looks_at_everything_and_shows_no_key(tmp_path):
    environment = {"WANDB_API_KEY": KEY, "HF_TOKEN": KEY, "HF_HUB_OFFLINE": "1", "HF_HOME": str(tmp_path / "hf")}
    done = ask("--json", **environment)
    assert done.returncode == 0, done.stdout + done.stderr
    findings = {finding["about"]: finding for finding in json.loads(done.stdout)}
    assert {"python", "packages", "torch", "GPU", "deepspeed", "slurm", "disk (here)", "HF cache", "HF hub", "wandb"} <= findings.keys()
    assert findings["torch"]["grade"] == findings["deepspeed"]["grade"] == "ok"
    assert findings["HF hub"]["grade"] == "warning" and "HF_HUB_OFFLINE" in findings["HF hub"]["found"]
    assert findings["HF cache"]["found"] == str(tmp_path / "hf" / "hub")
    assert all(finding["todo"] for finding in findings.values() if finding["grade"] != "ok")
    lines = ask(**environment)
    assert lines.returncode == 0
    assert KEY not in done.stdout + done.stderr + lines.stdout + lines.stderr
    assert lines.stdout.splitlines()[0].split()[:3] == ["ok", "python", ".".join(map(str, sys.version_info[:3]))]


def by_name(look) -> dict[str, doctor.Finding]:
    return {finding.about: finding for finding in look()}


def executable(folder: Path, name: str, script: str) -> None:
    path = folder / name
    path.write_text(f"#!/bin/sh\n{script}\n")
    path.chmod(0o755)


def test_a_full_disk_is_a_problem(monkeypatch):
    monkeypatch.setattr(doctor.shutil, "disk_usage", lambda place: doctor.shutil._ntuple_diskusage(10, 10, 5 << 20))
    assert {finding.grade for finding in doctor.disk()} == {"problem"}


def test_a_cache_that_cannot_be_written_is_a_problem(tmp_path, monkeypatch):
    (tmp_path / "file").touch()
    monkeypatch.setenv("HF_HOME", str(tmp_path / "file" / "hf"))
    monkeypatch.delenv("HF_HUB_CACHE", raising=False)
    assert by_name(doctor.hub)["HF cache"].grade == "problem"


def test_without_slurm_run_is_named(tmp_path, monkeypatch):
    monkeypatch.setenv("PATH", str(tmp_path))
    assert "teacherlm run" in by_name(doctor.slurm)["slurm"].found


def test_slurm_tells_its_limits_and_that_there_is_no_default_partition(tmp_path, monkeypatch):
    executable(tmp_path, "sbatch", "exit 1")
    executable(tmp_path, "squeue", "exit 1")
    executable(tmp_path, "scontrol", "echo 'MaxArraySize            = 1001'")
    executable(tmp_path, "sinfo", 'case "$*" in *%G*) for n in 1 2 3 4; do echo "big|gpu:a100:8|64"; done;; *) echo big;; esac')
    monkeypatch.setenv("PATH", f"{tmp_path}{os.pathsep}{os.environ['PATH']}")
    found = by_name(doctor.slurm)
    assert "1001" in found["slurm"].found and "big (4 nodes, GPUs)" in found["slurm"].found
    assert found["slurm partition"].grade == "warning"


@pytest.mark.slow
def test_a_driver_that_torch_does_not_use_is_a_problem(tmp_path, monkeypatch):
    import torch

    if torch.cuda.is_available():
        pytest.skip("this machine's torch uses its driver")
    executable(tmp_path, "nvidia-smi", "echo 550.54.15")
    monkeypatch.setenv("PATH", f"{tmp_path}{os.pathsep}{os.environ['PATH']}")
    found = by_name(doctor.torch_and_cards)["GPU"]
    assert found.grade == "problem" and "driver 550.54.15" in found.found and found.todo
