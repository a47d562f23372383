"""`metrics.jsonl`: one row per logging step, appended while training, continued after a restart."""

import resource
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import orjson
import torch
from transformers import TrainerCallback

from teacherlm.log import Progress
from teacherlm.store.files import write_jsonl
from teacherlm.together import is_main
from teacherlm.training.tally import Tally


class MetricsFile(TrainerCallback):  # type: ignore[misc]
    """Rows {step, epoch, loss, learning_rate, grad_norm, tokens, read_tokens, padding, seconds, tokens_per_second, memory}, and what was
    measured at the step.

    Since the start: tokens that carried loss, tokens that were no padding, and the share of all places that was. Since the row before:
    tokens a second, padding left out. Memory: most bytes held so far, on the GPU where there is one.
    """

    def __init__(self, path: Path, tally: Callable[[], Tally], progress: Progress | None, start_step: int) -> None:
        self.path, self.tally, self.progress = path, tally, progress
        self.kept = _rows_until(path, start_step)
        """Those from before a stop."""
        if is_main():
            write_jsonl(path, self.kept)
        self.before = self.kept[-1]["seconds"] if self.kept else 0.0
        self.last = (self.before, self.kept[-1].get("read_tokens", 0) if self.kept else 0)
        """(seconds, tokens read) of the row before."""
        self.aside = 0.0
        """Seconds since then that went into measuring."""
        self.step_ended = self.before
        self.row: dict[str, Any] = {}
        self.start_of_row = 0
        self.started = time.monotonic()
        self.shown_step = start_step

    def on_log(self, args: Any, state: Any, control: Any, logs: dict[str, float] | None = None, **_: Any) -> None:
        if not state.is_world_process_zero or not logs or "loss" not in logs:
            return
        seconds, tally = self.seconds(), self.tally()
        rate = (tally.read_tokens - self.last[1]) / max(seconds - self.last[0] - self.aside, 1e-9)
        self.last, self.aside = (seconds, tally.read_tokens), 0.0
        self.row = {
            "step": state.global_step,
            "epoch": state.epoch,
            "loss": logs["loss"],
            "learning_rate": logs["learning_rate"],
            "grad_norm": logs.get("grad_norm"),
            "tokens": tally.trained_tokens,
            "read_tokens": tally.read_tokens,
            "padding": tally.padding,
            "seconds": round(seconds, 3),
            "tokens_per_second": round(rate, 1),
            "memory": (memory := peak_memory()),
        }
        self._write()
        assert self.progress is not None  # only other processes have none, and they stop above
        figures = {
            "loss": f"{logs['loss']:.4f}",
            "tokens/s": f"{rate:.0f}",
            "real": f"{1 - tally.padding:.0%}",
            "memory": f"{memory / 1e9:.2f} GB",
        }
        self.progress.advance(0, figures=figures)

    def on_step_end(self, args: Any, state: Any, control: Any, **_: Any) -> None:
        if self.progress is not None:
            self.progress.advance(state.global_step - self.shown_step)
        self.shown_step = state.global_step
        self.step_ended = self.seconds()

    def on_evaluate(self, args: Any, state: Any, control: Any, metrics: Any = None, **_: Any) -> None:
        """The step's row is written again, with what was measured; the time that took is nobody's rate."""
        self.aside += self.seconds() - self.step_ended
        if not metrics or not state.is_world_process_zero or self.row.get("step") != state.global_step:
            return
        self.row |= metrics
        with self.path.open("r+b") as file:
            file.truncate(self.start_of_row)
        self._write()

    def _write(self) -> None:
        with self.path.open("ab") as file:
            self.start_of_row = file.tell()
            file.write(orjson.dumps(self.row, option=orjson.OPT_APPEND_NEWLINE))

    def seconds(self) -> float:
        return self.before + time.monotonic() - self.started


def peak_memory() -> int:
    """Bytes: the most that the GPU of this process held, else the process itself."""
    if torch.cuda.is_available():
        return torch.cuda.max_memory_allocated()
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return peak if sys.platform == "darwin" else peak * 1024


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
