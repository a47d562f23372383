"""When checkpoints are written, and from which one a stopped training continues."""

import shutil
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from transformers import TrainerCallback

from teacherlm.errors import UserError
from teacherlm.log import say
from teacherlm.store.checkpoints import Checkpoint, drop_files, find_checkpoints, read_checkpoint

STATE_NAMES = ("optimizer.pt", "scheduler.pt", "scaler.pt", "rng_state*.pth", "global_step*", "latest", "zero_to_*.py")
"""What only a continuation needs; twice to six times as large as the weights."""
KEPT_STATES = 2
"""Should the last checkpoint turn out torn, the one before still continues exactly."""
STAGING = ".writing"
BRIDGE = "bridge"
"""Fact of a checkpoint that nobody asked for: it carries a training over a stop, and goes when a later one is there."""


@dataclass(frozen=True)
class Written:
    """What the trainer adds to every checkpoint of a run."""

    facts: Mapping[str, Any]
    of_steps: int
    """Steps of the whole training; a checkpoint of that step ends it."""
    state: str = "plain"
    """How the optimizer's state is kept: `plain`, or `zero2 x 4` in parts that only as many processes put together again."""


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


def require_same_state(checkpoint: Checkpoint, state: str) -> None:
    """Raises: UserError when its optimizer's state cannot be read by this cut into processes."""
    theirs = checkpoint.facts.get("state", state)
    if theirs != state:
        raise UserError(
            f"{checkpoint.path}: was written under {theirs}, and only the same can go on from it; this run has {state}"
            " (ds_config x processes). Go on with the same, or --overwrite to begin anew."
        )


def require_same_shapes(checkpoint: Checkpoint, model: Any) -> None:
    """Raises: UserError for a checkpoint of another model, naming the first weight that is not the same."""
    from safetensors import safe_open

    own = {name: list(weight.shape) for name, weight in model.state_dict().items()}
    for file in sorted(checkpoint.path.glob("*.safetensors")):
        with safe_open(file, framework="pt") as weights:
            for name in weights.keys():  # noqa: SIM118
                theirs = list(weights.get_slice(name).get_shape())
                if own.get(name) != theirs:
                    ours = f"{own[name]} in this student" if name in own else "not in this student"
                    raise UserError(
                        f"{checkpoint.path}: is of another model ({name} is {theirs} there, {ours}); --overwrite begins anew,"
                        " or choose another --output."
                    )


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
    """Free the disk from optimizer states that no continuation will read, and from checkpoints that only bridged a stop."""
    with_state = [c for c in sorted(_numbered(run)) if any(c[1].glob("optimizer.pt")) or (c[1] / "latest").is_file()]
    for _, folder in with_state[: len(with_state) - keep]:
        checkpoint = read_checkpoint(folder)
        if checkpoint is not None and checkpoint.facts.get(BRIDGE):
            (run / STAGING).mkdir(exist_ok=True)
            folder.rename(run / STAGING / folder.name)
            shutil.rmtree(run / STAGING / folder.name)
        elif checkpoint is not None:  # a torn one stays as it is: nothing reads it
            drop_files(folder, STATE_NAMES)


def _numbered(run: Path) -> list[tuple[int, Path]]:
    return [(int(f.name.removeprefix("checkpoint-")), f) for f in run.glob("checkpoint-*") if f.name.removeprefix("checkpoint-").isdigit()]


class SavePlan(TrainerCallback):  # type: ignore[misc]
    """Asks for a checkpoint at the chosen epochs or steps, at the last step, and where the training is to end early."""

    def __init__(self, strategy: str, every_epochs: int, every_steps: int, is_stopping: Callable[[], bool]) -> None:
        self.strategy, self.every_epochs, self.every_steps, self.is_stopping = strategy, every_epochs, every_steps, is_stopping
        self.is_bridge = False
        """That the checkpoint asked for is not one of the plan."""

    def on_step_end(self, args: Any, state: Any, control: Any, **_: Any) -> None:
        if self._wanted(state):
            # Logged at the same step, so that a continued run writes the same rows as one that never stopped.
            control.should_save = control.should_log = True
        if self.is_stopping():
            self.is_bridge = not self._wanted(state)
            control.should_save = control.should_training_stop = True

    def _wanted(self, state: Any) -> bool:
        if state.global_step >= state.max_steps:
            return True
        if self.strategy == "steps":
            return bool(state.global_step % self.every_steps == 0)
        whole = abs(state.epoch - round(state.epoch)) < 1e-9
        return bool(self.strategy == "epoch" and whole and round(state.epoch) % self.every_epochs == 0)
