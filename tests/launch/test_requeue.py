"""A job that Slurm warns saves, asks to be queued again, and goes on: real signals to real processes, scontrol played by a script."""

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from trainings import SETTINGS, learnt, write_rows

from teacherlm.errors import OUT_OF_TIME, Stopped
from teacherlm.launch.requeue import REQUEUES, requeue
from teacherlm.resources import Resources, find_seconds
from teacherlm.store.manifest import read_manifest


@pytest.fixture
def slurm(tmp_path: Path) -> Path:
    """A folder with a scontrol that writes down what it is asked; `asked` holds one request a line."""
    folder = tmp_path / "bin"
    folder.mkdir()
    scontrol = folder / "scontrol"
    scontrol.write_text(f'#!/bin/sh\necho "$*" >> {folder}/asked\ncase "$1" in requeue) exit 0;; esac\ncat {folder}/job 2>/dev/null\n')
    scontrol.chmod(0o755)
    return folder


def start(slurm: Path, *words: str, restarts: int = 0, most: int | None = 10, **more: str) -> "subprocess.Popen[str]":
    environment = {
        **os.environ,
        "PATH": f"{slurm}{os.pathsep}{os.environ['PATH']}",
        "OMP_NUM_THREADS": "1",
        "SLURM_JOB_ID": "712",
        "SLURM_ARRAY_JOB_ID": "700",
        "SLURM_ARRAY_TASK_ID": "12",
        "SLURM_JOB_NODELIST": "n1",
        **({"SLURM_RESTART_COUNT": str(restarts)} if restarts else {}),
        **({REQUEUES: str(most)} if most is not None else {}),
        **more,
    }
    command = [sys.executable, "-m", "teacherlm.cli", *words]
    return subprocess.Popen(command, env=environment, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)


def wait_until(holds: Callable[[], Any], process: "subprocess.Popen[str]") -> None:
    while not holds():
        assert process.poll() is None, process.communicate()[0]
        time.sleep(0.005)


def requeues(slurm: Path) -> list[str]:
    asked = (slurm / "asked").read_text().splitlines() if (slurm / "asked").exists() else []
    return [line for line in asked if line.startswith("requeue")]


def finetune_words(data: Path, output: Path, **given: Any) -> list[str]:
    file = output.with_suffix(".json")
    file.write_text(json.dumps({**SETTINGS, "input": str(data), "output": str(output), **given}))
    return ["finetune", "--config", str(file)]


def warned(slurm: Path, words: list[str], ready: Callable[[], Any], number: int = signal.SIGUSR1, **how: Any) -> str:
    process = start(slurm, *words, **how)
    wait_until(ready, process)
    process.send_signal(number)
    said = process.communicate(timeout=60)[0]
    assert process.returncode == 128 + number, said
    assert "Traceback" not in said
    return said


@pytest.mark.slow
def test_a_warned_training_saves_and_is_queued_again_and_ends_as_if_it_had_not_been(tmp_path, slurm):
    data = write_rows(tmp_path)
    whole, cut = tmp_path / "whole", tmp_path / "cut"
    assert start(slurm, *finetune_words(data, whole)).wait() == 0
    words = finetune_words(data, cut)
    said = warned(slurm, words, lambda: len(list(cut.glob("checkpoint-*"))) > 1)
    assert "cut: stopped by SIGUSR1 at step" in said and said.endswith("job 700_12 is queued again (1 of 10).\n")
    assert requeues(slurm) == ["requeue 712"]
    job = ["job", str(cut / "job.json")]  # as the next attempt of `submit` would
    process = start(slurm, *job, restarts=1)
    said = process.communicate(timeout=120)[0]
    assert process.returncode == 0, said
    assert learnt(cut) == learnt(whole)
    manifest = read_manifest(cut)
    assert manifest is not None and manifest.slurm == {"job": "712", "element": "700_12", "restarts": 1, "nodes": "n1"}
    assert requeues(slurm) == ["requeue 712"]


@pytest.mark.slow
def test_time_is_counted_from_the_start_of_the_allocation(tmp_path, slurm):
    """No signal comes: Slurm says that the job began long ago and ends in some seconds."""
    data, output = write_rows(tmp_path), tmp_path / "student"
    end = time.time() + 25
    began, ends = (time.strftime("%Y-%m-%dT%H:%M:%S", time.localtime(at)) for at in (end - 3600, end))
    (slurm / "job").write_text(f"JobId=712 StartTime={began} EndTime={ends} Deadline=N/A\n")
    process = start(slurm, *finetune_words(data, output, epochs=10000, save_strategy="no"))
    said = process.communicate(timeout=60)[0]
    assert process.returncode == OUT_OF_TIME, said
    assert time.time() < end, "it ended in time"
    assert "student: stopped by the end of its time at step" in said
    assert requeues(slurm) == ["requeue 712"]
    assert len(list(output.glob("checkpoint-*"))) == 1


@pytest.mark.slow
def test_a_warned_teacher_finishes_what_it_has_in_hand_and_is_queued_again(tmp_path, slurm):
    rows = [{"id": str(n), "cot_text": f"Q: Is {n} odd? A: The answer is {n % 2}. Let's think step by step."} for n in range(120)]
    file = tmp_path / "ODD.jsonl"
    file.write_text("".join(json.dumps({**row, "text": row["cot_text"][:40]}) + "\n" for row in rows))
    output = tmp_path / "cot"
    words = ["enhance", "--input", str(file), "--output", str(output), "--kinds", "cot", "--teacher", "{name: scripted, delay: 0.02}"]

    def keys() -> list[str]:
        return [json.loads(line)["key"] for s in (output / "ledger").glob("*.jsonl") for line in s.read_bytes().split(b"\n")[:-1]]

    said = warned(slurm, words, lambda: len(keys()) > 8)
    assert "is queued again (1 of 10)" in said and requeues(slurm) == ["requeue 712"]
    assert 8 < len(keys()) < 120
    assert start(slurm, *words, restarts=1).wait(timeout=60) == 0
    assert len(keys()) == len(set(keys())) == 120


@pytest.mark.long
def test_several_processes_are_queued_again_once(tmp_path, slurm):
    output = tmp_path / "student"
    training = finetune_words(write_rows(tmp_path), output, epochs=10000, processes=2)
    said = warned(slurm, training, lambda: len(list(output.glob("checkpoint-*"))) > 0)
    assert said.endswith("job 700_12 is queued again (1 of 10).\n")
    assert requeues(slurm) == ["requeue 712"]


@pytest.mark.slow
def test_no_more_often_than_it_may(tmp_path, slurm):
    output = tmp_path / "student"
    training = finetune_words(write_rows(tmp_path), output, epochs=10000)
    said = warned(slurm, training, lambda: len(list(output.glob("checkpoint-*"))) > 0, restarts=3, most=3)
    assert said.endswith("job 700_12 was queued again 3 times; requeues allows no more. Submit again to go on.\n")
    assert requeues(slurm) == []


@pytest.mark.parametrize(
    ("code", "environment", "again"),
    [
        (OUT_OF_TIME, {}, True),
        (128 + signal.SIGTERM, {}, False),
        (OUT_OF_TIME, {REQUEUES: ""}, False),
        (OUT_OF_TIME, {"SLURM_JOB_ID": ""}, False),
        (OUT_OF_TIME, {"RANK": "1"}, False),
    ],
    ids=["warned", "told to end", "not a job of submit", "not in Slurm", "not the first process"],
)
def test_who_is_queued_again(slurm, monkeypatch, code, environment, again):
    given = {"PATH": f"{slurm}{os.pathsep}{os.environ['PATH']}", "SLURM_JOB_ID": "712", REQUEUES: "10", **environment}
    for name, value in given.items():
        monkeypatch.setenv(name, value)
    assert requeue(Stopped("x", code)) is again
    assert requeues(slurm) == ["requeue 712"] * again


def test_a_refusal_of_slurm_is_told(slurm, monkeypatch, capsys):
    (slurm / "scontrol").write_text("#!/bin/sh\necho 'Job is not requeueable' >&2\nexit 1\n")
    for name, value in {"PATH": str(slurm), "SLURM_JOB_ID": "712", REQUEUES: "10"}.items():
        monkeypatch.setenv(name, value)
    assert not requeue(Stopped("x", OUT_OF_TIME))
    assert "warning: job 712 could not be queued again (Job is not requeueable); submit again." in capsys.readouterr().err


@pytest.mark.slow
def test_a_warning_before_the_work_has_begun_is_not_lost(tmp_path, slurm):
    output = tmp_path / "student"
    words = finetune_words(write_rows(tmp_path), output)
    job = tmp_path / "job.json"
    warned(slurm, words, lambda: (output / "job.json").exists())  # while it imports
    job.write_bytes((output / "job.json").read_bytes())
    assert requeues(slurm) == ["requeue 712"]
    assert start(slurm, "job", str(job), restarts=1).wait(timeout=60) == 0


def test_the_warning_comes_early_enough_and_never_eats_a_short_job():
    assert [find_seconds(time) for time in ("90", "1:30", "1:30:00", "2-12", "2-12:30", "UNLIMITED", None)] == [
        5400,
        90,
        5400,
        216000,
        217800,
        None,
        None,
    ]
    assert [Resources(time=time).warning_seconds for time in ("1:30:00", "2", "0:02", None)] == [120, 30, 1, 120]
