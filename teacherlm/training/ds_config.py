"""DeepSpeed's settings: a name in ds_configs/ or a file, checked against what finetune itself decides."""

import json
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import torch

from teacherlm.errors import UserError
from teacherlm.log import say
from teacherlm.shipped import shipped_folder
from teacherlm.training.batches import Cut
from teacherlm.training.settings import Recipe

GATHER = "stage3_gather_16bit_weights_on_model_save"


def read_ds_config(name: str) -> dict[str, Any]:
    """A name in ds_configs/, or a path. Raises: UserError listing the names, or naming the file that cannot be read."""
    shipped = {path.stem: path for path in shipped_folder("ds_configs").glob("*.json")}
    path = shipped.get(name, Path(name))
    if not path.is_file():
        raise UserError(f"ds_config: no file '{name}', and no shipped config of that name. Known: {', '.join(sorted(shipped))}.")
    try:
        config = json.loads(path.read_text(encoding="utf-8"))
    except OSError as error:
        raise UserError(f"{path}: cannot be read ({error.strerror}).") from None
    except ValueError as error:
        raise UserError(f"{path}: not valid JSON ({error}).") from None
    if not isinstance(config, dict) or not isinstance(config.get("zero_optimization", {}), dict):
        raise UserError(f"{path}: expected a JSON object with DeepSpeed's settings.")
    return _on_cpu(_gathering(config, path))


def zero_stage(config: Mapping[str, Any]) -> int:
    return int(config.get("zero_optimization", {}).get("stage", 0))


def require_agreement(config: Mapping[str, Any], name: str, recipe: Recipe, cut: Cut) -> None:
    """Raises: UserError for the first value of a config that says something else than finetune's settings do."""
    for key, ours, setting in _decided(recipe, cut):
        theirs: Any = config
        for part in key.split("."):
            theirs = theirs.get(part) if isinstance(theirs, Mapping) else None
        if theirs not in (None, "auto", ours):
            spelled = json.dumps(ours)
            raise UserError(f'ds_config {name}: {key} is {json.dumps(theirs)}, but {setting} makes it {spelled}; write "auto" there.')
    if config.get("scheduler"):
        raise UserError(f"ds_config {name}: scheduler: the schedule is decided by the setting lr_scheduler; leave it out there.")


def _decided(recipe: Recipe, cut: Cut) -> Iterator[tuple[str, Any, str]]:
    """(key of the config, what it has to be, the setting that decides it)"""
    rows = cut.micro * cut.accumulation * cut.processes
    yield "train_batch_size", rows, f"batch_size {recipe.batch_size}"
    of = f"batch_size {recipe.batch_size} over {cut.processes} process{'es' if cut.processes > 1 else ''}"
    yield "train_micro_batch_size_per_gpu", cut.micro, f"{of} (micro_batch)"
    yield "gradient_accumulation_steps", cut.accumulation, f"{of} (accumulation)"
    yield "optimizer.params.lr", recipe.learning_rate, f"learning_rate {recipe.learning_rate}"
    for half in ("bf16", "fp16"):
        yield f"{half}.enabled", recipe.precision == half, f"precision {recipe.precision}"


def _gathering(config: dict[str, Any], path: Path) -> dict[str, Any]:
    """A checkpoint is a folder that transformers loads; ZeRO-3 has to gather the weights for it."""
    zero = config.get("zero_optimization", {})
    if zero_stage(config) != 3 or zero.get(GATHER) is True:
        return config
    say(f"{path}: {GATHER} is set to true, for a checkpoint is a folder that transformers loads.")
    return {**config, "zero_optimization": {**zero, GATHER: True}}


def _on_cpu(config: dict[str, Any]) -> dict[str, Any]:
    """On a CPU DeepSpeed would compile its Adam and its communication, which takes minutes; torch has both."""
    optimizer = config.get("optimizer")
    if torch.cuda.is_available() or not isinstance(optimizer, dict) or optimizer.get("type") not in ("Adam", "AdamW"):
        return config
    return {**config, "optimizer": {**optimizer, "params": {**optimizer.get("params", {}), "torch_adam": True}}}
