"""One training from start, or from the last complete checkpoint, to its end."""

import json
import shutil
from collections.abc import Mapping
from contextlib import nullcontext
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

from transformers.utils.logging import disable_progress_bar

from teacherlm.log import progress, say
from teacherlm.store.checkpoints import Checkpoint
from teacherlm.training.arguments import build_arguments, total_steps
from teacherlm.training.batches import Cut, EpochLoader, MicroBatches, Rows, build_loader, cut
from teacherlm.training.checkpointing import STAGING, SavePlan, Written, clear_attempt, drop_old_states, find_start, is_last
from teacherlm.training.families import Row, padded
from teacherlm.training.metrics import MetricsFile
from teacherlm.training.objective import Objective
from teacherlm.training.processes import is_main, read_ds_config, training_environment, wandb_run, world_size
from teacherlm.training.settings import Recipe
from teacherlm.training.trainer import StudentTrainer


@dataclass(frozen=True)
class Job:
    """What is trained on what, and where the checkpoints go."""

    recipe: Recipe
    tokenizer: Any
    objective: Objective
    rows: list[Row]
    held_out: list[Row]
    facts: Mapping[str, Any]
    """Go into every checkpoint."""
    run: Path


def train(job: Job, build_model: Any) -> Mapping[str, float]:
    """Ends with a checkpoint of the last step; returns {train_loss, held_out_loss?, steps, trained_tokens, seconds}.

    `build_model()` is called only when there is something left to train.
    """
    steps = total_steps(job.recipe, len(job.rows))
    job.run.mkdir(parents=True, exist_ok=True)
    start = find_start(job.run)
    if start is None or not is_last(start):
        if is_main():
            clear_attempt(job.run, start)
        with training_environment(job.recipe.ds_config is not None), wandb_run(job.recipe.report_to, job.recipe.wandb_project, job.run):
            _train(job, build_model, steps, start)
    if is_main():
        drop_old_states(job.run, keep=0)
        shutil.rmtree(job.run / STAGING, ignore_errors=True)
    return results(job.run)


def _train(job: Job, build_model: Any, steps: int, start: Checkpoint | None) -> None:
    recipe = job.recipe
    disable_progress_bar()  # of transformers, at every file it writes; ours shows the steps
    pieces = cut(recipe.batch_size, recipe.micro_batch, recipe.accumulation, world_size())
    deepspeed = read_ds_config(recipe.ds_config) if recipe.ds_config else None
    arguments = build_arguments(recipe, job.run / STAGING, pieces, job.run.name, deepspeed)
    trainer = StudentTrainer(
        objective=job.objective,
        loader=_loader(job, job.rows, pieces, arguments.process_index),
        run=job.run,
        written=Written(job.facts, steps),
        model=build_model(),
        args=arguments,
        processing_class=job.tokenizer,
    )
    if job.held_out:
        held_out = _loader(job, job.held_out, pieces, arguments.process_index)
        trainer.measure = lambda model: {"held_out_loss": trainer.mean_loss(model, held_out)}
    trainer.trained_tokens = int(start.facts["trained_tokens"]) if start else 0
    done = start.step if start else 0
    with progress(job.run.name, steps, "steps") if is_main() else nullcontext() as bar:
        if bar is not None:
            bar.skip(done)
        trainer.add_callback(MetricsFile(job.run / "metrics.jsonl", lambda: trainer.trained_tokens, bar, done))
        trainer.add_callback(SavePlan(recipe.save_strategy, recipe.save_every, recipe.save_steps))
        trainer.train(resume_from_checkpoint=str(start.path) if start else None)


def _loader(job: Job, rows: list[Row], pieces: Cut, process: int) -> EpochLoader:
    table = Rows(rows)
    batches = MicroBatches(table.lengths(), pieces, job.recipe.seed, process, job.recipe.group_by_length)
    return build_loader(table, batches, partial(_collate, pad=job.tokenizer.pad_token_id))


def _collate(rows: list[Row], pad: int) -> Any:
    return padded(rows, pad)


def results(run: Path) -> dict[str, float]:
    """Of a finished training, from its last checkpoint and metrics: the same after a restart."""
    last = find_start(run)
    if last is None:
        say(f"{run}: no checkpoint was written.")
        return {}
    rows = [json.loads(line) for line in (run / "metrics.jsonl").read_text(encoding="utf-8").splitlines()]
    found = {name: last.facts[name] for name in ("trained_tokens", "held_out_loss") if name in last.facts}
    return {"train_loss": rows[-1]["loss"], "steps": last.step, "seconds": rows[-1]["seconds"], **found}
