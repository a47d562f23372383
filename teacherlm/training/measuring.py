"""What is looked at while a student trains, and that looking changes nothing in the training."""

import random
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from transformers import TrainerCallback

from teacherlm.log import say
from teacherlm.together import from_main, is_main
from teacherlm.training.watched import is_due

if TYPE_CHECKING:
    from teacherlm.training.trainer import StudentTrainer

HELD_OUT = "held_out_loss"
EVAL = "eval/"
"""Before the name of a task's metric in metrics.jsonl and in the facts of checkpoints."""


@dataclass(frozen=True)
class Watch:
    """What is looked at beside the loss; nothing by default. Only the first process looks, the others wait."""

    tasks: Callable[[Any, int], Mapping[str, float]] | None = None
    """The model, and the step -> {task/metric: value}."""
    tasks_often: str = ""
    """Also at these times (`500 steps`), not only at checkpoints."""
    sample: Callable[[Any, int], None] | None = None
    """Writes texts of the model at a step."""
    samples_often: str = ""
    best: str = ""
    """Of which measurement the best is kept: held_out_loss or eval/task/metric."""
    higher: bool = False
    """That more of it is better."""
    patience: int | None = None


@contextmanager
def undisturbed(model: Any) -> Iterator[None]:
    """After the block everything is as before that a training would notice: random numbers, each module's mode, gradients."""
    modes = {module: module.training for module in model.modules()}
    python, numbers = random.getstate(), np.random.get_state()
    try:
        with torch.random.fork_rng(), torch.no_grad():
            yield
    finally:
        for module, mode in modes.items():
            module.training = mode
        random.setstate(python)
        np.random.set_state(numbers)


def _tell_wandb(measured: Mapping[str, float], step: int) -> None:
    """As `creak/acc`; transformers would call it `train/creak/acc`."""
    import wandb

    if wandb.run is not None:
        wandb.log({**{name.removeprefix(EVAL): value for name, value in measured.items()}, "train/global_step": step})


class Watcher(TrainerCallback):  # type: ignore[misc]
    """Asks the trainer to look when it is time; stands behind the plan of checkpoints, at each of which is measured too."""

    def __init__(self, trainer: "StudentTrainer", watch: Watch, held_out: Callable[[Any], float] | None) -> None:
        self.trainer, self.watch, self.held_out = trainer, watch, held_out
        self.measures = bool(held_out or watch.tasks)
        self.is_measuring = self.is_sampling = False

    def on_train_begin(self, args: Any, state: Any, control: Any, **_: Any) -> None:
        if state.global_step == 0 and self.watch.sample:
            with undisturbed(self.trainer.model):
                self._sample(0)

    def on_step_end(self, args: Any, state: Any, control: Any, **_: Any) -> None:
        kept = control.should_save and not (self.trainer.plan and self.trainer.plan.is_bridge)

        def wanted(often: str) -> bool:
            return bool(often) and is_due(often, state.global_step, state.epoch)

        self.is_measuring = self.measures and (kept or wanted(self.watch.tasks_often))
        often = self.watch.samples_often
        self.is_sampling = self.watch.sample is not None and (wanted(often) if often else kept)
        if self.is_measuring or self.is_sampling:
            control.should_evaluate = True
        if self.is_measuring:
            control.should_log = True  # so that the step has a row, which the measurements join

    def look(self, model: Any) -> dict[str, float]:
        """`model`: as the trainer has wrapped it. In every process the same."""
        found: dict[str, float] = {}
        with undisturbed(self.trainer.model):
            if self.is_measuring and self.held_out:
                found[HELD_OUT] = self.held_out(model)
            if self.is_measuring and self.watch.tasks:
                found |= self._on_tasks(self.watch.tasks)
            if self.is_sampling:
                self._sample(self.trainer.state.global_step)
        if "wandb" in self.trainer.args.report_to and found and is_main():
            _tell_wandb(found, self.trainer.state.global_step)
        return found

    def look_once(self, model: Any) -> dict[str, float]:
        """At everything, whatever the time."""
        self.is_measuring, self.is_sampling = self.measures, self.watch.sample is not None
        return self.look(model)

    def _on_tasks(self, tasks: Callable[[Any, int], Mapping[str, float]]) -> dict[str, float]:
        step = self.trainer.state.global_step
        values = from_main(lambda: dict(tasks(self.trainer.model, step)))
        say(f"step {step}: {', '.join(f'{name} {value:.4g}' for name, value in values.items())}")
        return {EVAL + name: value for name, value in values.items()}

    def _sample(self, step: int) -> None:
        def write() -> None:
            assert self.watch.sample is not None
            self.watch.sample(self.trainer.model, step)

        from_main(write)
