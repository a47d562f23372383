"""An adapter written out together with its base, as a plain model folder."""

import shutil
from pathlib import Path
from typing import Any

import torch
from transformers import AutoConfig
from transformers.utils.logging import disable_progress_bar, set_verbosity_error

from teacherlm.engines.bodies.adapted import merged
from teacherlm.errors import UserError
from teacherlm.log import say
from teacherlm.store.adapters import base_place, is_adapter_folder, read_adapter
from teacherlm.store.checkpoints import Checkpoint, read_checkpoint, resolve_model, seal_checkpoint
from teacherlm.training.pretrained import read_tokenizer, read_whole
from teacherlm.training.processes import training_environment

ABOUT_THE_ADAPTER = ("adapter", "base", "trainable")
"""Facts of a checkpoint that are no longer true of the whole model."""


def merge(checkpoint: str, output: Path, dtype: str = "auto", trust_remote_code: bool = False) -> None:
    """Writes config, safetensors and tokenizer into `output`, all or nothing.

    Raises: UserError for what is no adapter or cannot be merged, and an output that is not empty.
    """
    place = Path(resolve_model(checkpoint))
    if not place.exists():
        raise UserError(f"{checkpoint}: no such folder.")
    if not is_adapter_folder(place):
        raise UserError(f"{place}: holds a whole model, no adapter (no adapter_config.json); there is nothing to merge.")
    if output.exists() and (not output.is_dir() or any(output.iterdir())):
        raise UserError(f"{output}: is there already; name a folder that is not, or empty it.")
    disable_progress_bar()
    set_verbosity_error()
    model = merged(str(place), "main", lambda base, at, in_4_bits: read_whole(base, trust_remote_code, 1, in_4_bits, at))
    chosen = _saved_dtype(place, trust_remote_code) if dtype == "auto" else getattr(torch, dtype)
    _write(model.to(chosen), read_tokenizer(_words(place), trust_remote_code), output, read_checkpoint(place))
    say(f"{output}: {sum(p.numel() for p in model.parameters()):,} weights in {str(chosen).removeprefix('torch.')}, merged from {place}.")


def _saved_dtype(place: Path, trust_remote_code: bool) -> Any:
    found = read_adapter(place)
    config = AutoConfig.from_pretrained(base_place(str(place)), revision=found.revision, trust_remote_code=trust_remote_code)
    noted = getattr(config, "dtype", None)
    return noted if isinstance(noted, torch.dtype) else torch.float32


def _words(place: Path) -> str:
    """Where the tokenizer is: beside the adapter, or with its base."""
    return str(place) if any(place.glob("tokenizer*")) else base_place(str(place))


def _write(model: Any, tokenizer: Any, output: Path, trained: Checkpoint | None) -> None:
    """What the adapter's training noted (template, prompt prefix, ...) goes along: the student is still asked as it was taught."""
    beside = output.parent / f".{output.name}.writing"
    shutil.rmtree(beside, ignore_errors=True)
    with training_environment(deepspeed=False):  # save_pretrained would import DeepSpeed to see whether it is at work
        model.save_pretrained(beside)
    tokenizer.save_pretrained(beside)
    if trained is not None:
        facts = {name: value for name, value in trained.facts.items() if name not in ABOUT_THE_ADAPTER}
        seal_checkpoint(beside, trained.step, trained.epoch, facts)
    if output.exists():
        output.rmdir()
    beside.rename(output)
