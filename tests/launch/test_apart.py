"""Jobs in processes of their own: each sees its card and no other; several train together; how they end is said in one line."""

import itertools
import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import pytest
import yaml
from trainings import SETTINGS, learnt, write_rows

from teacherlm.errors import Stopped, UserError
from teacherlm.launch import cards
from teacherlm.launch.apart import Broken, perform_apart
from teacherlm.launch.job import FrozenJob, write_frozen
from teacherlm.store.manifest import read_manifest

STAGE = '''"""Writes which card it sees, and when."""

import os
import time
from pathlib import Path

from teacherlm.stage import Outcome, Stage, StageConfig


class CardConfig(StageConfig):
    value: int
    seconds: float = 0.5


def card(config: CardConfig) -> Outcome:
    began = time.time()
    time.sleep(config.seconds)
    if config.value == 13:
        os.kill(os.getpid(), 9)
    if config.value == 14:
        raise ZeroDivisionError("fourteen")
    facts = {"card": os.environ.get("CUDA_VISIBLE_DEVICES", ""), "began": began, "ended": time.time(), "process": os.getpid()}
    config.output.mkdir(parents=True, exist_ok=True)
    return Outcome(facts={**facts, "world": os.environ.get("WORLD_SIZE", "")})


STAGE = Stage(card, CardConfig)
'''


@pytest.fixture
def plugins(tmp_path: Path) -> Path:
    folder = tmp_path / "plugins"
    (folder / "stages").mkdir(parents=True)
    (folder / "stages/card.py").write_text(STAGE)
    return folder


@pytest.fixture
def two_cards(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A driver's command that lists two."""
    folder = tmp_path / "bin"
    folder.mkdir()
    (folder / "nvidia-smi").write_text("#!/bin/sh\necho 'GPU 0: X (UUID: a)'\necho 'GPU 1: X (UUID: b)'\n")
    (folder / "nvidia-smi").chmod(0o755)
    monkeypatch.setenv("PATH", f"{folder}{os.pathsep}{os.environ['PATH']}")
    monkeypatch.delenv("CUDA_VISIBLE_DEVICES", raising=False)


def pipeline(folder: Path, steps: list[Any]) -> str:
    path = folder / "pipeline.yaml"
    path.write_text(yaml.safe_dump({"run_dir": str(folder / "run"), "steps": steps}))
    return str(path)


def run(*words: str, code: int = 0) -> str:
    command = [sys.executable, "-m", "teacherlm.cli", "run", *words]
    done = subprocess.run(command, capture_output=True, text=True, timeout=200, env={**os.environ, "OMP_NUM_THREADS": "1"}, check=False)
    assert done.returncode == code, done.stderr
    return done.stderr


def facts(folder: Path, *names: str) -> list[dict[str, Any]]:
    found = [read_manifest(folder / "run" / name) for name in names]
    assert None not in found
    return [dict(manifest.facts) for manifest in found if manifest is not None]


def test_the_cards_of_this_machine(tmp_path, two_cards, monkeypatch):
    cards.find_cards.cache_clear()
    assert cards.find_cards() == ("0", "1")
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "3,GPU-a7")
    cards.find_cards.cache_clear()
    assert cards.find_cards() == ("3", "GPU-a7")
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "")
    cards.find_cards.cache_clear()
    assert cards.find_cards() == ()
    cards.find_cards.cache_clear()


@pytest.mark.slow
def test_jobs_that_ask_for_a_card_have_one_each_and_the_others_go_one_by_one(tmp_path, plugins, two_cards):
    with_cards = {"name": "with", "matrix": {"value": [1, 2, 3, 4]}, "slurm": {"gpus": 1}, "seconds": 1}
    run(pipeline(tmp_path, [{"card": with_cards}, {"card": {"matrix": {"value": [5, 6]}}}]), "--plugins", str(plugins))
    mine = facts(tmp_path, *(f"with/{n}" for n in (1, 2, 3, 4)))
    assert {fact["card"] for fact in mine} == {"0", "1"}
    for card in "01":
        times = sorted((fact["began"], fact["ended"]) for fact in mine if fact["card"] == card)
        assert all(ended <= began for (_, ended), (began, _) in itertools.pairwise(times)), "one at a time on a card"
    spans = sorted((fact["began"], fact["ended"]) for fact in mine)
    assert any(began < ended for (_, ended), (began, _) in itertools.pairwise(spans)), "two cards work at once"
    others = sorted((fact["began"], fact["ended"]) for fact in facts(tmp_path, "card/5", "card/6"))
    assert others[0][1] <= others[1][0]


@pytest.mark.slow
def test_a_job_is_given_as_many_cards_as_there_are(tmp_path, plugins, two_cards):
    run(pipeline(tmp_path, [{"card": {"value": 1, "slurm": {"gpus": "a100:8"}}}]), "--plugins", str(plugins))
    assert facts(tmp_path, "card")[0]["card"] == "0,1"


@pytest.mark.slow
def test_processes_that_fail_say_why_in_one_line(tmp_path, plugins, two_cards):
    steps = [{"card": {"name": f"v{value}", "value": value, "seconds": 0, "slurm": {"gpus": 1}}} for value in (13, 14)]
    told = run(pipeline(tmp_path, steps), "--plugins", str(plugins), code=1)
    assert "v13: FAILED: its process was killed (out of memory?) (see " in told
    assert "v14: FAILED: ZeroDivisionError: fourteen (see " in told
    assert "ZeroDivisionError: fourteen" in (tmp_path / "run/logs/v14.log").read_text(), "with its traceback"


@pytest.mark.long
def test_run_trains_over_processes_and_a_signal_stops_them_together(tmp_path):
    data = write_rows(tmp_path)
    settings = {**SETTINGS, "input": str(data)}
    steps = [{"finetune": {**settings, "name": "whole", "processes": 2}}, {"finetune": {**settings, "name": "cut", "processes": 2}}]
    file = pipeline(tmp_path, steps)
    run(file, "--only", "whole")
    command = [sys.executable, "-m", "teacherlm.cli", "run", file, "--only", "cut"]
    process = subprocess.Popen(command, stderr=subprocess.PIPE, text=True, env={**os.environ, "OMP_NUM_THREADS": "1"})
    cut = tmp_path / "run/cut"
    while len(list(cut.glob("checkpoint-*"))) < 2:
        assert process.poll() is None
        time.sleep(0.01)
    process.send_signal(signal.SIGTERM)
    told = process.communicate(timeout=60)[1]
    assert process.returncode == 143, told
    assert "cut: stopped: cut: stopped by SIGTERM at step" in told and "Traceback" not in told
    run(file, "--only", "cut")
    ours, theirs = learnt(cut), learnt(tmp_path / "run/whole")
    assert ours[0] == theirs[0] and ours[2:] == theirs[2:]
    assert "[cut] cut: 132/132 steps" in (tmp_path / "run/logs/cut.log").read_text()


@pytest.mark.slow
def test_what_a_user_caused_in_the_processes_is_a_users_mistake_here(tmp_path):
    values = {**SETTINGS, "input": str(write_rows(tmp_path)), "output": str(tmp_path / "out"), "train_on": "texd"}
    from teacherlm.launch.perform import job_fingerprint
    from teacherlm.parsing import parse_config
    from teacherlm.stages.finetune import STAGE as FINETUNE

    mark = job_fingerprint("finetune", FINETUNE, parse_config(FINETUNE.config, values))
    file = write_frozen(tmp_path, FrozenJob("finetune", json.loads(json.dumps(values)), mark))
    with pytest.raises(UserError, match="no column 'texd' to train on"):
        perform_apart(file, 2)
    assert not issubclass(Broken, (UserError, Stopped))
