"""When checkpoints are written, and from which one a stopped training continues."""

import shutil
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from transformers import TrainerCallback

from teacherlm.log import say
from teacherlm.store.checkpoints import Checkpoint, drop_files, find_checkpoints

STATE_NAMES = ("optimizer.pt", "scheduler.pt", "scaler.pt", "rng_state*.pth", "global_step*", "latest", "zero_to_*.py")
"""What only a continuation needs; twice to six times as large as the weights."""
KEPT_STATES = 2
"""Should the last checkpoint turn out torn, the one before still continues exactly."""
STAGING = ".writing"


@dataclass(frozen=True)
class Written:
    """What the trainer adds to every checkpoint of a run."""

    facts: Mapping[str, Any]
    of_steps: int
    """Steps of the whole training; a checkpoint of that step ends it."""


def can_continue(checkpoint: Checkpoint) -> bool:
    has_state = (checkpoint.path / "optimizer.pt").is_file() or (checkpoint.path / "latest").is_file()
    return has_state and (checkpoint.path / "trainer_state.json").is_file()


def find_start(run: Path) -> Checkpoint | None:
    """The last complete checkpoint that holds what is needed to continue, or the one that ended the training."""
    checkpoints = find_checkpoints(run)
    if checkpoints and is_last(checkpoints[-1]):
        return checkpoints[-1]
    return next((c for c in reversed(checkpoints) if can_continue(c)), None)


def is_last(checkpoint: Checkpoint) -> bool:
    return checkpoint.step == checkpoint.facts.get("of_steps")


def clear_attempt(run: Path, start: Checkpoint | None) -> None:
    """Remove half-written folders, and checkpoints behind the start: they will be written again."""
    shutil.rmtree(run / STAGING, ignore_errors=True)
    for folder in run.glob("checkpoint-*"):
        step = folder.name.removeprefix("checkpoint-")
        if step.isdigit() and int(step) > (start.step if start else -1):
            shutil.rmtree(folder)
    if start is not None:
        say(f"{run}: continues from {start.path.name}.")


def drop_old_states(run: Path, keep: int) -> None:
    """Free the disk from optimizer states that no continuation will read."""
    with_state = [c for c in sorted(_numbered(run)) if any(c[1].glob("optimizer.pt")) or (c[1] / "latest").is_file()]
    for _, folder in with_state[: len(with_state) - keep]:
        drop_files(folder, STATE_NAMES)


def _numbered(run: Path) -> list[tuple[int, Path]]:
    return [(int(f.name.removeprefix("checkpoint-")), f) for f in run.glob("checkpoint-*") if f.name.removeprefix("checkpoint-").isdigit()]


class SavePlan(TrainerCallback):  # type: ignore[misc]
    """Asks for a checkpoint at the chosen epochs or steps, and always at the last step."""

    def __init__(self, strategy: str, every_epochs: int, every_steps: int) -> None:
        self.strategy, self.every_epochs, self.every_steps = strategy, every_epochs, every_steps

    def on_step_end(self, args: Any, state: Any, control: Any, **_: Any) -> None:
        if self._wanted(state):
            # Logged at the same step, so that a continued run writes the same rows as one that never stopped.
            control.should_save = control.should_log = True

    def _wanted(self, state: Any) -> bool:
        if state.global_step >= state.max_steps:
            return True
        if self.strategy == "steps":
            return bool(state.global_step % self.every_steps == 0)
        whole = abs(state.epoch - round(state.epoch)) < 1e-9
        return bool(self.strategy == "epoch" and whole and round(state.epoch) % self.every_epochs == 0)
