"""The best checkpoint by a measurement, and the end of a training in which nothing gets better."""

from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from transformers import TrainerCallback

from teacherlm.errors import UserError
from teacherlm.log import say
from teacherlm.store.checkpoints import BEST, COMPLETE
from teacherlm.store.files import read_json, write_json
from teacherlm.together import is_main
from teacherlm.training.measuring import EVAL

if TYPE_CHECKING:
    from teacherlm.training.trainer import StudentTrainer


def mark_best(run: Path, metric: str, higher: bool) -> None:
    """Write best.json {checkpoint, metric, value}: of the checkpoints there are, of equal ones the first."""
    seals = {folder: _seal(folder) for folder in run.glob("checkpoint-*")}
    found = [(seal["facts"][metric], seal["step"], folder.name) for folder, seal in seals.items() if metric in seal.get("facts", {})]
    if not found:
        (run / BEST).unlink(missing_ok=True)
        return
    value, _, name = min(found, key=lambda one: (-one[0] if higher else one[0], one[1]))
    write_json(run / BEST, {"checkpoint": name, "metric": metric.removeprefix(EVAL), "value": value})


def _seal(folder: Path) -> dict[str, Any]:
    try:
        seal: dict[str, Any] = read_json(folder / COMPLETE)
    except UserError:  # torn
        return {}
    return seal


class Best(TrainerCallback):  # type: ignore[misc]
    """Marks the best checkpoint; ends the training, with a checkpoint, after so many measurements without a better one."""

    def __init__(
        self, trainer: "StudentTrainer", metric: str, higher: bool, patience: int | None, rows: Iterable[Mapping[str, Any]]
    ) -> None:
        """`rows`: those of metrics.jsonl so far, after a stop."""
        self.trainer, self.metric, self.higher, self.patience = trainer, metric, higher, patience
        self.best: float | None = None
        self.without = 0
        for row in rows:
            self._see(row)

    def _see(self, measured: Mapping[str, Any]) -> None:
        value = measured.get(self.metric)
        if value is None:
            return
        if self.best is None or (value > self.best if self.higher else value < self.best):
            self.best, self.without = value, 0
        else:
            self.without += 1

    def on_save(self, args: Any, state: Any, control: Any, **_: Any) -> None:
        if is_main():
            mark_best(self.trainer.run, self.metric, self.higher)

    def on_evaluate(self, args: Any, state: Any, control: Any, metrics: Any = None, **_: Any) -> None:
        if self.metric not in (metrics or {}):
            return
        self._see(metrics)
        if self.patience and self.without >= self.patience and state.global_step < state.max_steps:
            since = f"no better {self.metric} than {self.best:.4g} for {self.without} measurements"
            say(f"step {state.global_step}: {since}; the training ends.")
            self.trainer.stopped_early = control.should_save = control.should_training_stop = True
