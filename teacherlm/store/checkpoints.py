"""The checkpoints of a student: folders `checkpoint-<step>` that transformers loads, each with a list of its files.

`complete.json` is written last inside a checkpoint: one without it, or whose files differ from its list, is torn and never used.
"""

import hashlib
import os
import shutil
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from teacherlm.errors import UserError
from teacherlm.log import say
from teacherlm.store.adapters import is_adapter_folder
from teacherlm.store.files import read_json, write_json

COMPLETE = "complete.json"
BEST = "best.json"
"""In a run: {checkpoint, metric, value} of the one that is best by a measurement."""
SMALL_BYTES = 1 << 20
"""Up to this size a file is listed with its hash too; larger ones would take as long to check as to load."""


@dataclass(frozen=True)
class Checkpoint:
    path: Path
    step: int
    epoch: float
    facts: Mapping[str, Any] = field(default_factory=dict)
    """What evaluation needs to know: template, train_on, loss on the held-out rows, ..."""


def seal_checkpoint(folder: Path, step: int, epoch: float, facts: Mapping[str, Any]) -> None:
    """List the files of a written checkpoint and mark it complete; they are on the disk before the mark is."""
    files = [path for path in sorted(folder.rglob("*")) if path.is_file() and path.name != COMPLETE]
    for path in files:
        _sync(path)
    sizes = {str(path.relative_to(folder)): path.stat().st_size for path in files}
    hashes = {name: _hash(folder / name) for name, size in sizes.items() if size <= SMALL_BYTES}
    write_json(folder / COMPLETE, {"step": step, "epoch": epoch, "facts": facts, "files": sizes, "sha256": hashes})


def read_checkpoint(folder: Path) -> Checkpoint | None:
    """The checkpoint in a folder, or None when it is torn (unsealed, or a file is missing, of another size, or not what was listed)."""
    try:
        seal = read_json(folder / COMPLETE)
    except UserError:  # no seal, or half of one
        return None
    hashes = seal.get("sha256", {})
    for name, size in seal["files"].items():
        file = folder / name
        if not file.is_file() or file.stat().st_size != size or (name in hashes and _hash(file) != hashes[name]):
            return None
    return Checkpoint(folder, seal["step"], seal["epoch"], seal["facts"])


def _sync(path: Path) -> None:
    """A machine that loses power must not leave a complete list of incomplete files."""
    file = os.open(path, os.O_RDONLY)
    try:
        os.fsync(file)
    finally:
        os.close(file)


def _hash(path: Path) -> str:
    return hashlib.sha256(path.read_bytes()).hexdigest()


def drop_files(folder: Path, names: Iterable[str]) -> None:
    """Remove files or folders (by pattern) of a complete checkpoint, which stays complete at every moment."""
    dropped = sorted({path for name in names for path in folder.glob(name)})
    gone = {str(file.relative_to(folder)) for path in dropped for file in (path, *path.rglob("*"))}
    seal = read_json(folder / COMPLETE)
    left = {part: {name: mark for name, mark in seal.get(part, {}).items() if name not in gone} for part in ("files", "sha256")}
    write_json(folder / COMPLETE, {**seal, **left})
    for path in dropped:
        if path.is_dir():
            shutil.rmtree(path)
        else:
            path.unlink()


def find_checkpoints(run: Path) -> list[Checkpoint]:
    """The complete checkpoints in a `finetune` output, by step; torn ones are named in a warning and left out."""
    found = []
    for folder in sorted(run.glob("checkpoint-*")):
        checkpoint = read_checkpoint(folder)
        if checkpoint is None:
            say(f"warning: {folder} is torn (its files are not those that were written); it is not used.")
        else:
            found.append(checkpoint)
    return sorted(found, key=lambda c: c.step)


def is_model_folder(path: Path) -> bool:
    """A whole model, or an adapter that names the model it lies over."""
    return (path / "config.json").is_file() or is_adapter_folder(path)


def resolve_model(model: str) -> str:
    """What `from_pretrained` should be given for a setting: the last checkpoint of a `finetune` output, else the setting itself.

    Raises: UserError for a folder that holds neither a model nor a checkpoint.
    """
    path = Path(model)
    if not path.exists() or is_model_folder(path):
        return model
    checkpoints = find_checkpoints(path) if path.is_dir() else []
    if not checkpoints:
        raise UserError(f"{path}: holds no model (no config.json) and no complete checkpoint-<step> folder.")
    return str(checkpoints[-1].path)
