"""One training from start, or from the last complete checkpoint, to its end."""

import json
import shutil
import time
from collections.abc import Callable, Mapping, Sequence
from contextlib import nullcontext
from dataclasses import dataclass, field, replace
from functools import partial
from pathlib import Path
from typing import Any

from transformers import TrainerCallback
from transformers.utils.logging import disable_progress_bar

from teacherlm import interrupt
from teacherlm.errors import UserError
from teacherlm.log import progress, say
from teacherlm.store.checkpoints import Checkpoint
from teacherlm.store.files import write_jsonl
from teacherlm.together import from_main, is_main
from teacherlm.training.adapting import Adapter
from teacherlm.training.arguments import build_arguments, total_steps
from teacherlm.training.batches import Cut, EpochLoader, MicroBatches, Rows, build_loader, cut
from teacherlm.training.best import Best
from teacherlm.training.checkpointing import (
    BRIDGE,
    STAGING,
    SavePlan,
    Written,
    clear_attempt,
    drop_old_states,
    find_start,
    is_last,
    require_same_shapes,
    require_same_state,
)
from teacherlm.training.ds_config import read_ds_config, require_agreement, zero_stage
from teacherlm.training.families import Family, Row
from teacherlm.training.head import require_head_first
from teacherlm.training.kernels import use_attention
from teacherlm.training.measuring import EVAL, HELD_OUT, Watch, Watcher
from teacherlm.training.metrics import MetricsFile
from teacherlm.training.objective import Objective, Prepares
from teacherlm.training.packing import pack_rows
from teacherlm.training.processes import training_environment, wandb_run
from teacherlm.training.settings import Recipe
from teacherlm.training.stopping import Clock, ended_early
from teacherlm.training.tally import Tally
from teacherlm.training.tensor_parallel import ShardedTrainer, copies_of_model, hide_from_accelerate
from teacherlm.training.texts import Text
from teacherlm.training.trainer import StudentTrainer


@dataclass(frozen=True)
class Job:
    """What is trained on what, and where the checkpoints go."""

    recipe: Recipe
    tokenizer: Any
    family: Family
    objective: Objective
    rows: Sequence[Row]
    held_out: Sequence[Row]
    facts: Mapping[str, Any]
    """Go into every checkpoint."""
    run: Path
    adapter: Adapter | None = None
    """None where all weights are trained."""
    watch: Watch = field(default_factory=Watch)
    """What is looked at beside the loss."""
    texts: Callable[[], Sequence[Text]] = list
    """Gives the text behind each row, for messages."""


def train(job: Job, build_model: Any) -> Mapping[str, float]:
    """Ends with a checkpoint of the last step; returns {train_loss, held_out_loss?, steps, trained_tokens, read_tokens, padding, seconds}.

    `build_model(checkpoint to start from)` is called only when there is something left to train.
    Raises: Stopped, after writing a checkpoint, at a signal or when the time is nearly up.
    """
    steps = total_steps(job.recipe, len(job.rows))
    require_head_first(job.recipe, steps)
    found = from_main(lambda: _begin(job.run))
    start = Checkpoint(Path(found["path"]), found["step"], found["epoch"], found["facts"]) if found else None
    if start is None or not is_last(start):
        with (
            training_environment(job.recipe.ds_config is not None),
            wandb_run(job.recipe.report_to, job.recipe.wandb_project, job.run),
            interrupt.interruptible(),
        ):
            _train(job, build_model, steps, start)
    from_main(lambda: _finish(job.run))
    return results(job.run)


def _begin(run: Path) -> dict[str, Any] | None:
    """Where all processes start; half-written things are gone."""
    run.mkdir(parents=True, exist_ok=True)
    start = find_start(run)
    if start is None or not is_last(start):
        clear_attempt(run, start)
    return {**vars(start), "path": str(start.path), "facts": dict(start.facts)} if start else None


def _finish(run: Path) -> None:
    drop_old_states(run, keep=0)
    shutil.rmtree(run / STAGING, ignore_errors=True)


def look(job: Job, build_model: Any) -> Mapping[str, float]:
    """The model as it is: what `watch` asks for, and the loss on the rows held out; into metrics.jsonl, and returned."""
    from_main(lambda: job.run.mkdir(parents=True, exist_ok=True))
    with training_environment(deepspeed=False), interrupt.interruptible():
        began = time.monotonic()
        trainer, watcher = _build_trainer(job, build_model, 0, None)
        measured = watcher.look_once(trainer.model)
        values = ", ".join(f"{name} {value:.4g}" for name, value in measured.items())
        say(f"{job.run.name}: nothing is trained; {values or 'samples are written'}.")
        row = {"step": 0, "epoch": 0.0, **measured, "seconds": round(time.monotonic() - began, 3)}
    if is_main():
        write_jsonl(job.run / "metrics.jsonl", [row])
        shutil.rmtree(job.run / STAGING, ignore_errors=True)
    return measured


def _build_trainer(job: Job, build_model: Any, steps: int, start: Checkpoint | None) -> tuple[StudentTrainer, Watcher]:
    """`build_model(checkpoint to start from)`."""
    recipe = job.recipe
    disable_progress_bar()  # of transformers, at every file it writes; ours shows the steps
    copies = copies_of_model(recipe.tensor_parallel)
    pieces = cut(recipe.batch_size, recipe.micro_batch, recipe.accumulation, copies)
    deepspeed = read_ds_config(recipe.ds_config) if recipe.ds_config else None
    if deepspeed is not None:
        require_agreement(deepspeed, str(recipe.ds_config), recipe, pieces)
    state = "plain" if deepspeed is None else f"zero{zero_stage(deepspeed)} x {copies}"
    state = "tensor_parallel" if recipe.tensor_parallel > 1 else state
    if start is not None:
        require_same_state(start, state)
    arguments = build_arguments(recipe, job.run / STAGING, pieces, job.run.name, deepspeed)
    if isinstance(objective := job.objective, Prepares):
        job = replace(job, rows=list(job.rows), held_out=list(job.held_out))  # it may add to them
        objective.prepare([*job.rows, *job.held_out], arguments.device)
    model = build_model(start.path if start else None)
    use_attention(model, recipe.attention, job.run.name)
    if start is not None and job.adapter is None and recipe.tensor_parallel == 1:
        require_same_shapes(start, model)
    if recipe.packing:
        pack_rows(model, can_try=recipe.tensor_parallel == 1 and (deepspeed is None or zero_stage(deepspeed) < 3))
    trainer = (ShardedTrainer if recipe.tensor_parallel > 1 else StudentTrainer)(
        objective=job.objective,
        loader=_loader(job, job.rows, pieces, arguments.process_index % copies, arguments.dataloader_num_workers),
        run=job.run,
        written=Written(job.facts, steps, state),
        clock=Clock(recipe.max_minutes),
        adapter=job.adapter,
        model=hide_from_accelerate(model),
        args=arguments,
        processing_class=job.tokenizer,
    )
    trainer.texts, trainer.head_first = job.texts, recipe.head_first
    held_out = _loader(job, job.held_out, pieces, arguments.process_index % copies) if job.held_out else None
    watcher = Watcher(trainer, job.watch, (lambda model: trainer.mean_loss(model, held_out)) if held_out else None)
    trainer.measure = watcher.look
    trainer.tally = Tally.from_facts(start.facts if start else {})
    return trainer, watcher


def _train(job: Job, build_model: Any, steps: int, start: Checkpoint | None) -> None:
    recipe, done = job.recipe, start.step if start else 0
    trainer, watcher = _build_trainer(job, build_model, steps, start)
    with progress(job.run.name, steps, "steps") if is_main() else nullcontext() as bar:
        if bar is not None:
            bar.skip(done)
        metrics = MetricsFile(job.run / "metrics.jsonl", lambda: trainer.tally, bar, done)
        trainer.add_callback(metrics)
        trainer.plan = SavePlan(recipe.save_strategy, recipe.save_every, recipe.save_steps, lambda: bool(trainer.stop_reason))
        trainer.add_callback(trainer.plan)
        trainer.add_callback(watcher)
        if job.watch.best:
            trainer.add_callback(Best(trainer, job.watch.best, job.watch.higher, job.watch.patience, metrics.kept))
        if start is not None and (bridge := start.facts.get(BRIDGE)):
            trainer.add_callback(_GoOnCounting(trainer, bridge))
        _run(trainer, start)
    if trainer.stop_reason and trainer.state.global_step < steps and not trainer.stopped_early:
        reason = interrupt.wanted() or trainer.stop_reason  # a signal that reached another process first has come here meanwhile
        raise ended_early(job.run.name, reason, trainer.state.global_step, steps)


def _run(trainer: StudentTrainer, start: Checkpoint | None) -> None:
    """Raises: UserError for settings of DeepSpeed that transformers finds contradicting; it sees them only now."""
    try:
        trainer.train(resume_from_checkpoint=str(start.path) if start else None)
    except ValueError as error:
        if "DeepSpeed config values" not in str(error):
            raise
        raise UserError(f"ds_config: {' '.join(str(error).split())}") from None


class _GoOnCounting(TrainerCallback):  # type: ignore[misc]
    def __init__(self, trainer: StudentTrainer, bridge: Mapping[str, Any]) -> None:
        self.trainer, self.bridge = trainer, bridge

    def on_train_begin(self, *_: Any, **__: Any) -> None:
        self.trainer.go_on_counting(self.bridge)


def _loader(job: Job, rows: Sequence[Row], pieces: Cut, process: int, workers: int = 0) -> EpochLoader:
    table = Rows(rows, job.family)
    batches = MicroBatches(table.lengths(), pieces, job.recipe.seed, process, job.recipe.group_by_length, table.together())
    return build_loader(table, batches, partial(job.family.batch, pad=job.tokenizer.pad_token_id), workers)


def results(run: Path) -> dict[str, float]:
    """Of a finished training, from its last checkpoint and metrics: the same after a restart."""
    last = find_start(run)
    if last is None:
        say(f"{run}: no checkpoint was written.")
        return {}
    rows = [json.loads(line) for line in (run / "metrics.jsonl").read_text(encoding="utf-8").splitlines()]
    kept = ("trained_tokens", "read_tokens", HELD_OUT)
    found = {name: value for name, value in last.facts.items() if name in kept or name.startswith(EVAL)}
    found["padding"] = Tally.from_facts(last.facts).padding
    return {"train_loss": rows[-1]["loss"], "steps": last.step, "seconds": rows[-1]["seconds"], **found}
