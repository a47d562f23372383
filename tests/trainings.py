"""A small training for the tests that stop one, damage it, or do it in several processes."""

import json
import os
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

from safetensors.torch import load_file

from teacherlm.store.checkpoints import find_checkpoints, read_checkpoint

STEPS = 132
LAST = f"checkpoint-{STEPS}"
SETTINGS: dict[str, Any] = {
    "scratch": {"hidden_size": 16, "layers": 1, "heads": 2, "context": 64},
    "train_on": "text",
    "epochs": 12,
    "batch_size": 4,
    "micro_batch": 2,
    "learning_rate": 3e-3,
    "lr_scheduler": "cosine",
    "warmup": 0.1,
    "save_strategy": "steps",
    "save_steps": 12,
    "held_out": 0.1,
    "logging_steps": 5,
}


OF_THE_MACHINE = ("seconds", "tokens_per_second", "memory")
"""What metrics.jsonl holds that no two runs share."""


def write_rows(folder: Path) -> Path:
    rows = [{"prompt": f"Q: {i} plus 1? A:", "text": f"Q: {i} plus 1? A: The answer is {i + 1}."} for i in range(48)]
    path = folder / "rows.jsonl"
    path.write_text("".join(json.dumps(row) + "\n" for row in rows))
    return path


def start(data: Path, output: Path, **given: Any) -> "subprocess.Popen[str]":
    """`teacherlm finetune` in a process of its own."""
    file = output.with_suffix(".json")
    file.write_text(json.dumps({**SETTINGS, "input": str(data), "output": str(output), **given}))
    environment = {**os.environ, "OMP_NUM_THREADS": "1"}
    words = [sys.executable, "-m", "teacherlm.cli", "finetune", "--config", str(file)]
    return subprocess.Popen(words, env=environment, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)


def finish(data: Path, output: Path, **given: Any) -> str:
    process = start(data, output, **given)
    said = process.communicate(timeout=300)[0]
    assert process.returncode == 0, said
    return said


def wait_until(holds: Callable[[], Any], process: "subprocess.Popen[str]", every: float = 0.002) -> None:
    while not holds():
        assert process.poll() is None, process.communicate()[0]
        time.sleep(every)


def learnt(output: Path, steps: int = STEPS) -> tuple[bytes, list[dict[str, float]], dict[str, object], list[int]]:
    """Weights, metrics without their times, facts, and the steps of the checkpoints."""
    rows = [json.loads(line) for line in (output / "metrics.jsonl").read_text().splitlines()]
    timeless = [{k: v for k, v in row.items() if k not in OF_THE_MACHINE} for row in rows]
    last = output / f"checkpoint-{steps}"
    checkpoint = read_checkpoint(last)
    assert checkpoint is not None
    return (last / "model.safetensors").read_bytes(), timeless, dict(checkpoint.facts), [c.step for c in find_checkpoints(output)]


def losses(output: Path) -> list[float]:
    return [json.loads(line)["loss"] for line in (output / "metrics.jsonl").read_text().splitlines()]


def furthest(one: Path, other: Path) -> float:
    """The largest difference between two students' weights."""
    first, second = (load_file(find_checkpoints(output)[-1].path / "model.safetensors") for output in (one, other))
    assert first.keys() == second.keys()
    return max(float((first[name] - second[name]).abs().max()) for name in first)
