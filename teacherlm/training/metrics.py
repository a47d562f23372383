"""`metrics.jsonl`: one row per logging step, appended while training, continued after a restart."""

import time
from pathlib import Path
from typing import Any

import orjson
from transformers import TrainerCallback

from teacherlm.log import Progress
from teacherlm.store.files import write_jsonl
from teacherlm.together import is_main


class MetricsFile(TrainerCallback):  # type: ignore[misc]
    """Rows {step, epoch, loss, learning_rate, grad_norm, tokens, seconds}; tokens are those that carried loss, since the start."""

    def __init__(self, path: Path, trainer_tokens: Any, progress: Progress | None, start_step: int) -> None:
        self.path, self.tokens, self.progress = path, trainer_tokens, progress
        kept = _rows_until(path, start_step)
        if is_main():
            write_jsonl(path, kept)
        self.before = kept[-1]["seconds"] if kept else 0.0
        self.started = time.monotonic()
        self.shown_step = start_step

    def on_log(self, args: Any, state: Any, control: Any, logs: dict[str, float] | None = None, **_: Any) -> None:
        if not state.is_world_process_zero or not logs or "loss" not in logs:
            return
        row = {
            "step": state.global_step,
            "epoch": state.epoch,
            "loss": logs["loss"],
            "learning_rate": logs["learning_rate"],
            "grad_norm": logs.get("grad_norm"),
            "tokens": self.tokens(),
            "seconds": round(self.seconds(), 3),
        }
        with self.path.open("ab") as file:
            file.write(orjson.dumps(row, option=orjson.OPT_APPEND_NEWLINE))
        assert self.progress is not None  # only other processes have none, and they stop above
        self.progress.advance(state.global_step - self.shown_step, f"loss {logs['loss']:.4f}")
        self.shown_step = state.global_step

    def seconds(self) -> float:
        return self.before + time.monotonic() - self.started


def _rows_until(path: Path, step: int) -> list[dict[str, Any]]:
    """The rows up to a step; a torn last line is left out."""
    rows = []
    for line in path.read_bytes().splitlines() if path.is_file() else []:
        try:
            row = orjson.loads(line)
        except orjson.JSONDecodeError:
            continue
        if row["step"] <= step:
            rows.append(row)
    return rows
