"""A training stopped or killed at any moment, its last checkpoint damaged or not, ends with the very weights of one never stopped."""

import os
import random
import shutil
import signal
import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from trainings import LAST, SETTINGS, STEPS, finish, learnt, start, wait_until, write_rows

from teacherlm.errors import OUT_OF_TIME, Stopped
from teacherlm.stages.finetune import FinetuneConfig, finetune
from teacherlm.store.checkpoints import find_checkpoints, read_checkpoint


@pytest.fixture(autouse=True)
def one_thread() -> None:
    torch.set_num_threads(1)


@pytest.fixture(scope="module")
def data(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_rows(tmp_path_factory.mktemp("data"))


@pytest.fixture(scope="module")
def whole(data: Path) -> Path:
    torch.set_num_threads(1)
    output = data.parent / "whole"
    go_on(data, output)
    return output


def go_on(data: Path, output: Path, **given: Any) -> None:
    """In this process."""
    finetune(FinetuneConfig(**{**SETTINGS, "input": data, "output": output, **given}))


def stop_at(data: Path, output: Path, ready: Callable[[], Any], number: int) -> Stopped:
    """A real signal to this very process while it trains."""

    def watch() -> None:
        while not ready():
            time.sleep(0.001)
        os.kill(os.getpid(), number)

    threading.Thread(target=watch, daemon=True).start()
    with pytest.raises(Stopped) as caught:
        go_on(data, output)
    return caught.value


def steps(output: Path) -> list[int]:
    return [c.step for c in find_checkpoints(output)]


def rows(output: Path) -> int:
    file = output / "metrics.jsonl"
    return file.read_bytes().count(b"\n") if file.is_file() else 0


@pytest.mark.slow
def test_the_warning_writes_a_checkpoint_at_once_and_nothing_shows_that_it_was_there(data, whole, tmp_path):
    broken = tmp_path / "broken"
    last = -1
    for number in (signal.SIGUSR1, signal.SIGTERM, signal.SIGINT, signal.SIGUSR1):
        seen = rows(broken)
        stopped = stop_at(data, broken, lambda seen=seen: rows(broken) > seen + 3, number)
        assert stopped.exit_code == 128 + number
        assert f"stopped by {signal.Signals(number).name} at step {steps(broken)[-1]} of {STEPS}" in str(stopped)
        assert steps(broken)[-1] > last
        last = steps(broken)[-1]
    assert OUT_OF_TIME == 128 + signal.SIGUSR1
    go_on(data, broken)
    assert learnt(broken) == learnt(whole)


@pytest.mark.slow
def test_time_that_is_up_ends_it_with_a_checkpoint_each_time(data, whole, tmp_path):
    broken, stops = tmp_path / "broken", 0
    minutes = 0.01
    while not (broken / LAST).exists():
        try:
            go_on(data, broken, max_minutes=minutes)
        except Stopped as stopped:
            assert stopped.exit_code == OUT_OF_TIME and "stopped by the end of its time at step" in str(stopped)
            assert steps(broken), "every attempt gets further"
            stops += 1
            minutes *= 2
    assert stops
    assert learnt(broken) == learnt(whole)


def cut_off(file: Path) -> None:
    os.truncate(file, file.stat().st_size // 2)


def flip(file: Path) -> None:
    content = bytearray(file.read_bytes())
    content[len(content) // 2] ^= 1
    file.write_bytes(content)


@pytest.mark.slow
@pytest.mark.parametrize(
    ("name", "damage"),
    [
        ("model.safetensors", cut_off),
        ("model.safetensors", Path.unlink),
        ("optimizer.pt", cut_off),
        ("optimizer.pt", flip),
        ("scheduler.pt", Path.unlink),
        ("rng_state.pth", flip),
        ("trainer_state.json", cut_off),
        ("complete.json", cut_off),
        ("complete.json", Path.unlink),
    ],
)
def test_a_torn_checkpoint_is_skipped_and_named(data, whole, stopped_once, tmp_path, capsys, name, damage):
    broken = tmp_path / "broken"
    shutil.copytree(stopped_once, broken)
    torn = find_checkpoints(broken)[-1].path
    before = find_checkpoints(broken)[-2].path
    damage(torn / name)
    assert read_checkpoint(torn) is None
    go_on(data, broken)
    said = capsys.readouterr().err
    assert f"{torn} is torn" in said and f"continues from {before.name}" in said
    assert learnt(broken) == learnt(whole)


@pytest.fixture(scope="module")
def stopped_once(data: Path, whole: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    output = tmp_path_factory.mktemp("stopped") / "student"
    stop_at(data, output, lambda: rows(output) > 12, signal.SIGUSR1)
    assert len(steps(output)) > 2
    return output


@pytest.mark.slow
def test_killed_while_it_trains_and_while_it_saves(data, whole, tmp_path):
    dice = random.Random(0)
    broken = tmp_path / "broken"
    for moment in ("training", "saving", "saving"):
        process = start(data, broken)
        seen = len(list(broken.glob("checkpoint-*")))
        wait_until(lambda seen=seen: len(list(broken.glob("checkpoint-*"))) > seen, process)
        if moment == "saving":
            wait_until(lambda: any((broken / ".writing").glob("checkpoint-*/*")), process, every=0.0)
        else:
            time.sleep(dice.random() * 0.05)
        process.send_signal(signal.SIGKILL)
        process.communicate()
        assert not (broken / LAST).exists(), "killed too late: the training had ended"
    said = finish(data, broken)
    assert "continues from checkpoint-" in said
    assert learnt(broken) == learnt(whole)
    assert not list(broken.rglob("optimizer.pt")) and not (broken / ".writing").exists()


def test_a_finished_training_does_nothing_more(data, whole):
    before = (whole / LAST / "model.safetensors").stat().st_mtime_ns
    go_on(data, whole)
    assert (whole / LAST / "model.safetensors").stat().st_mtime_ns == before
