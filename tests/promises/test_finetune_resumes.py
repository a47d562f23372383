"""A training killed at any moment and started again ends with the very weights of one that was never stopped."""

import json
import os
import random
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from teacherlm.store.checkpoints import find_checkpoints, read_checkpoint

RUN = """
import sys, torch
torch.set_num_threads(1)
from teacherlm.stages.finetune import FinetuneConfig, finetune
scratch = {"hidden_size": 16, "layers": 1, "heads": 2, "context": 64}
finetune(FinetuneConfig(input=sys.argv[1], output=sys.argv[2], scratch=scratch, train_on="text", epochs=12, batch_size=4, micro_batch=3,
    learning_rate=3e-3, lr_scheduler="cosine", warmup=0.1, save_strategy="steps", save_steps=5, held_out=0.1, logging_steps=3))
"""
LAST = "checkpoint-132"


def start(data: Path, output: Path) -> subprocess.Popen[bytes]:
    environment = {**os.environ, "OMP_NUM_THREADS": "1"}
    return subprocess.Popen([sys.executable, "-c", RUN, str(data), str(output)], env=environment, stderr=subprocess.PIPE)


def finish(data: Path, output: Path) -> str:
    process = start(data, output)
    said = process.communicate()[1].decode()
    assert process.returncode == 0, said
    return said


def kill_after(data: Path, output: Path, checkpoints: int, delay: float) -> None:
    process = start(data, output)
    while process.poll() is None and len(list(output.glob("checkpoint-*"))) < checkpoints:
        time.sleep(0.002)
    time.sleep(delay)
    process.send_signal(signal.SIGKILL)
    process.communicate()
    assert not (output / LAST).exists(), "killed too late: the training had ended"


def learnt(output: Path) -> tuple[bytes, list[dict[str, float]], dict[str, object]]:
    """Weights, metrics without their times, and facts."""
    rows = [json.loads(line) for line in (output / "metrics.jsonl").read_text().splitlines()]
    timeless = [{k: v for k, v in row.items() if k != "seconds"} for row in rows]
    checkpoint = read_checkpoint(output / LAST)
    assert checkpoint is not None
    return (output / LAST / "model.safetensors").read_bytes(), timeless, dict(checkpoint.facts)


@pytest.mark.slow
def test_a_killed_training_ends_with_the_same_weights(tmp_path):
    rows = [{"prompt": f"Q: {i} plus 1? A:", "text": f"Q: {i} plus 1? A: The answer is {i + 1}."} for i in range(48)]
    data = tmp_path / "rows.jsonl"
    data.write_text("".join(json.dumps(row) + "\n" for row in rows))
    finish(data, tmp_path / "whole")

    dice = random.Random(0)
    broken = tmp_path / "broken"
    kill_after(data, broken, checkpoints=3, delay=dice.random() * 0.1)
    kill_after(data, broken, checkpoints=len(list(broken.glob("checkpoint-*"))) + 2, delay=dice.random() * 0.1)
    torn = find_checkpoints(broken)[-1].path
    with (torn / "model.safetensors").open("r+b") as file:
        file.truncate(1000)
    said = finish(data, broken)

    assert f"{torn} is torn" in said and "continues from checkpoint-" in said
    assert learnt(broken) == learnt(tmp_path / "whole")
    assert [c.step for c in find_checkpoints(broken)] == [c.step for c in find_checkpoints(tmp_path / "whole")]
    assert not list(broken.rglob("optimizer.pt")) and not (broken / ".writing").exists()
