"""Our settings as transformers' TrainingArguments."""

import dataclasses
import math
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch
from transformers import TrainingArguments
from transformers.trainer_utils import SchedulerType

from teacherlm.errors import UserError, unknown
from teacherlm.training.batches import Cut
from teacherlm.training.kernels import require_kernels
from teacherlm.training.settings import Recipe

OURS: Mapping[str, str] = {
    "output_dir": "output",
    "per_device_train_batch_size": "micro_batch",
    "gradient_accumulation_steps": "accumulation",
    "auto_find_batch_size": "micro_batch",
    "num_train_epochs": "epochs",
    "max_steps": "max_steps",
    "learning_rate": "learning_rate",
    "lr_scheduler_type": "lr_scheduler",
    "warmup_steps": "warmup",
    "seed": "seed",
    "data_seed": "seed",
    "bf16": "precision",
    "fp16": "precision",
    "save_strategy": "save_strategy",
    "save_steps": "save_steps",
    "save_only_model": "save_strategy",
    "save_total_limit": "save_every",
    "logging_steps": "logging_steps",
    "report_to": "report_to",
    "run_name": "run_name",
    "deepspeed": "ds_config",
    "gradient_checkpointing": "gradient_checkpointing",
    "activation_checkpointing": "gradient_checkpointing",
    "eval_strategy": "eval",
    "resume_from_checkpoint": "output",
    "label_smoothing_factor": "objective",
    "train_sampling_strategy": "group_by_length",
    "dataloader_drop_last": "batch_size",
    "push_to_hub": "output",
    "torch_compile": "torch_compile",
    "use_liger_kernel": "liger",
    "eval_steps": "eval",
    "load_best_model_at_end": "best",
    "metric_for_best_model": "best",
    "greater_is_better": "best",
}
"""Keys that a setting of ours decides (or whose effect our Trainer would not show)."""


HALF_EPSILON = 1e-5
"""Adam's, where its moments are fp16: the usual 1e-8 is 0 there, and a gradient too small for its square divides by it."""


def build_arguments(recipe: Recipe, staging: Path, cut: Cut, run_name: str, deepspeed: Mapping[str, Any] | None) -> TrainingArguments:
    """Raises: UserError for a schedule, precision or training argument that cannot work, naming what would."""
    require_training_args(recipe.training_args)
    require_schedule(recipe.lr_scheduler)
    require_kernels(recipe)
    known = {f.name for f in dataclasses.fields(TrainingArguments)}
    checkpointing = "activation_checkpointing" if "activation_checkpointing" in known else "gradient_checkpointing"
    ours: dict[str, Any] = {
        "output_dir": str(staging),
        "per_device_train_batch_size": cut.micro,
        "gradient_accumulation_steps": cut.accumulation,
        "num_train_epochs": recipe.epochs,
        "max_steps": recipe.max_steps or -1,
        "learning_rate": recipe.learning_rate,
        "lr_scheduler_type": recipe.lr_scheduler,
        "warmup_steps": recipe.warmup,
        "seed": recipe.seed,
        "bf16": recipe.precision == "bf16",
        "fp16": recipe.precision == "fp16",
        checkpointing: recipe.gradient_checkpointing,
        "save_strategy": "no",  # checkpoints are written by our own callback, beside and sealed
        "logging_steps": recipe.logging_steps,
        "logging_nan_inf_filter": False,  # a loss that is not a number must be seen
        "report_to": [] if recipe.report_to == "none" else [recipe.report_to],
        "run_name": recipe.run_name or run_name,
        "deepspeed": dict(deepspeed) if deepspeed else None,
        "torch_compile": recipe.torch_compile,
        "use_liger_kernel": recipe.liger,
        # Its fused loss would keep the logits, which every objective of ours reads.
        "liger_kernel_config": {"fused_linear_cross_entropy": False} if recipe.liger else None,
        "disable_tqdm": True,
        "remove_unused_columns": False,
    }
    try:
        defaults: dict[str, Any] = {"use_cpu": not has_accelerator(), "ddp_find_unused_parameters": False}
        if recipe.precision == "fp16-true":
            defaults["adam_epsilon"] = HALF_EPSILON
        return TrainingArguments(**{**defaults, **recipe.training_args, **ours})
    except (ValueError, TypeError) as error:
        raise UserError(f"training_args: {' '.join(str(error).split())}") from None


def require_training_args(given: Mapping[str, Any]) -> None:
    known = {f.name for f in dataclasses.fields(TrainingArguments) if f.init}
    for key in given:
        if key in OURS:
            raise UserError(f"training_args.{key}: decided by the setting '{OURS[key]}' of finetune; set that instead.")
        if key not in known:
            raise unknown("training argument", key, known - OURS.keys())


def require_schedule(name: str) -> None:
    known = [s.value for s in SchedulerType]
    if name not in known:
        raise unknown("lr_scheduler", name, known)


def has_accelerator() -> bool:
    return torch.cuda.is_available() or torch.backends.mps.is_available()


def total_steps(recipe: Recipe, rows: int) -> int:
    """Optimizer steps of the whole training."""
    return recipe.max_steps or math.ceil(recipe.epochs * math.ceil(rows / recipe.batch_size))
