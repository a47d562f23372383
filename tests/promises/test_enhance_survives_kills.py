"""Enhance may be killed at any moment, cut into any shards, batched in any way: the file is the same, byte for byte."""

import json
import os
import random
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import pytest

from teacherlm.prompts import SUFFIX

PROGRAM = """
import json, sys
from teacherlm.parsing import parse_config
from teacherlm.stages.enhance import EnhanceConfig, enhance
enhance(parse_config(EnhanceConfig, json.loads(sys.argv[1])))
"""
KINDS = ("cot", "error", "fundamental")


def start(config: dict[str, Any], told: Any = subprocess.DEVNULL) -> "subprocess.Popen[bytes]":
    environment = {**os.environ, "OMP_NUM_THREADS": "1"}
    return subprocess.Popen([sys.executable, "-c", PROGRAM, json.dumps(config)], stderr=told, env=environment)


def finish(config: dict[str, Any]) -> None:
    assert start(config).wait(timeout=300) == 0


def asked_keys(output: Path) -> list[str]:
    """Keys of the whole lines in all segments."""
    found = []
    for segment in (output / "ledger").glob("*.jsonl"):
        found += [json.loads(line)["key"] for line in segment.read_bytes().split(b"\n")[:-1]]
    return found


def kill_once_at_work(config: dict[str, Any], output: Path, after: int, delay: float) -> bool:
    """Waits until the ledger has grown by `after` lines, then `delay` seconds, then kills; False when the run was over first."""
    before = len(asked_keys(output))
    process = start(config)
    try:
        while process.poll() is None and len(asked_keys(output)) < before + after:
            time.sleep(0.001)
        time.sleep(delay)
        process.kill()
        return process.wait(timeout=60) == -signal.SIGKILL
    finally:
        process.kill()


def questions(path: Path, count: int) -> Path:
    rows = []
    for number in range(count):
        text = f"Q: Is {number} more than {number // 2 * 3}? (A) True (B) False A: The answer is (B)."
        rows.append({"id": str(number), "text": text, **{f"{kind}_text": text + SUFFIX[kind] for kind in KINDS}})
    path.write_text("".join(json.dumps(row) + "\n" for row in rows))
    return path


@pytest.mark.slow
def test_fifty_kills_with_shards_and_batches_redrawn_leave_no_trace(tmp_path: Path):
    source = questions(tmp_path / "MORE.jsonl", 1200)
    output, draw = tmp_path / "killed", random.Random(50)
    quick = {"input": str(source), "output": str(output), "teacher": "scripted"}
    finish({**quick, "output": str(tmp_path / "whole")})
    kills = 0
    while kills < 50:
        shards = draw.choice([1, 3, 16])
        cut = {} if shards == 1 else {"shard": f"{draw.randrange(shards)}/{shards}"}
        config = {**quick, **cut, "teacher": {"name": "scripted", "delay": 0.005}, "batch_size": draw.choice([1, 2, 7, 64, 2000])}
        if draw.random() < 0.3:
            kills += kill_once_at_work(config, output, 0, draw.uniform(0, 0.5))
        else:
            kills += kill_once_at_work(config, output, draw.randrange(1, 30), draw.uniform(0, 0.01))
    assert 0 < len(asked_keys(output)) < 3600, "all kills have to come while there is work left"
    finish(quick)
    name = "MORE_cot_error_fundamental.jsonl"
    assert (output / name).read_bytes() == (tmp_path / "whole" / name).read_bytes()
    assert len(asked_keys(output)) == len(set(asked_keys(output))) == 3600, "no finished request was asked again"


@pytest.mark.slow
def test_kills_while_the_rows_are_written_leave_no_half_file(tmp_path: Path):
    source = questions(tmp_path / "MORE.jsonl", 2000)
    config = {"input": str(source), "output": str(tmp_path / "killed"), "teacher": "scripted"}
    finish({**config, "output": str(tmp_path / "whole")})
    name = "MORE_cot_error_fundamental.jsonl"
    whole = (tmp_path / "whole" / name).read_bytes()
    draw = random.Random(3)
    for _ in range(6):
        kill_once_at_work(config, tmp_path / "killed", 0, draw.uniform(0.3, 1.2))
        written = tmp_path / "killed" / name
        assert not written.exists() or written.read_bytes() == whole
    finish(config)
    assert written.read_bytes() == whole


@pytest.mark.slow
def test_two_processes_on_the_same_output_share_the_work_and_ask_nothing_twice(tmp_path: Path):
    source = questions(tmp_path / "MORE.jsonl", 300)
    config = {"input": str(source), "output": str(tmp_path / "both"), "teacher": {"name": "scripted", "delay": 0.002}}
    told = (tmp_path / "told").open("w+")
    running = [start(config, told), start({**config, "batch_size": 3}, told)]
    assert [process.wait(timeout=60) for process in running] == [0, 0]
    finish({**config, "output": str(tmp_path / "whole")})
    name = "MORE_cot_error_fundamental.jsonl"
    assert (tmp_path / "both" / name).read_bytes() == (tmp_path / "whole" / name).read_bytes()
    segments = [path.read_bytes().count(b"\n") for path in (tmp_path / "both" / "ledger").glob("*.jsonl")]
    assert len(segments) == 2 and min(segments) > 100, "both were at work"
    assert len(asked_keys(tmp_path / "both")) == len(set(asked_keys(tmp_path / "both"))) == 900
    told.seek(0)
    assert any(f"process {process.pid} on " in line and "is at work on the same" in line for line in told for process in running)


def test_what_a_killed_process_had_taken_is_asked_by_the_one_beside_it(tmp_path: Path):
    source = questions(tmp_path / "MORE.jsonl", 100)
    output = tmp_path / "both"
    config = {"input": str(source), "output": str(output), "teacher": {"name": "scripted", "delay": 0.01}, "kinds": ["cot"]}
    first = start(config)
    while len(asked_keys(output)) < 5:
        time.sleep(0.01)
    second = start(config)
    time.sleep(0.5)
    first.kill()
    first.wait(timeout=60)
    assert second.wait(timeout=60) == 0
    assert len(asked_keys(output)) == len(set(asked_keys(output))) == 100


@pytest.mark.slow
@pytest.mark.real
def test_kills_of_a_real_model_leave_no_trace(tmp_path: Path, stories260k: Path, creak: Path):
    from teacherlm.stages.prepare import PrepareConfig, prepare

    prepare(PrepareConfig.model_validate({"dataset": "creak", "source": str(creak), "output": tmp_path / "prepared", "limit": 64}))
    base = {"input": str(tmp_path / "prepared"), "teacher": {"model": str(stories260k)}, "kinds": "cot,error", "max_new_tokens": 24}
    finish({**base, "output": str(tmp_path / "whole")})
    output, draw, kills = tmp_path / "killed", random.Random(4), 0
    while kills < 4:
        cut = draw.choice([{}, {"shard": f"{draw.randrange(3)}/3"}])
        config = {**base, **cut, "output": str(output), "batch_size": draw.choice([1, 3, 5])}
        kills += kill_once_at_work(config, output, draw.randrange(1, 12), draw.uniform(0, 0.05))
    assert 0 < len(set(asked_keys(output))) < 128
    finish({**base, "output": str(output)})
    assert (output / "CREAK_cot_error.jsonl").read_bytes() == (tmp_path / "whole" / "CREAK_cot_error.jsonl").read_bytes()
    assert len(asked_keys(output)) == len(set(asked_keys(output))) == 128
