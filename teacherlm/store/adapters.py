"""Adapters on the disk: folders in peft's layout (`adapter_config.json`, `adapter_model.safetensors`) that name the model beneath."""

import os
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from teacherlm.errors import UserError
from teacherlm.store.files import read_json

CONFIG = "adapter_config.json"
WEIGHTS = "adapter_model.safetensors"
BASE, PLACE = "base_model_name_or_path", "from_run"
SEAL = "complete.json"


@dataclass(frozen=True)
class AdapterFolder:
    """An adapter, and where its base is found now."""

    path: Path
    base: str
    """Folder (perhaps an adapter itself) or hub id."""
    revision: str
    config: Mapping[str, Any]
    """adapter_config.json."""
    facts: Mapping[str, Any] = field(default_factory=dict)
    """What our training noted about the base: model, from_run, content; empty for an adapter made elsewhere."""
    name: str = ""
    """full, lora, qlora or bottleneck; "" for an adapter made elsewhere."""

    @property
    def method(self) -> str:
        """As peft calls it: LORA, ...; ours is BOTTLENECK."""
        return str(self.config.get("peft_type", ""))

    @property
    def is_quantised(self) -> bool:
        """That it was trained over weights in 4 bits."""
        return self.name == "qlora"


def is_adapter_folder(path: Path) -> bool:
    return (path / CONFIG).is_file()


def read_adapter(path: Path) -> AdapterFolder:
    """Raises: UserError for a config that names no base, and where the base is gone."""
    config = read_json(path / CONFIG)
    noted = config.get(BASE) if isinstance(config, dict) else None
    if not noted:
        raise UserError(f"{path / CONFIG}: names no model that the adapter belongs to ({BASE}).")
    seal = read_json(path / SEAL) if (path / SEAL).is_file() else {}
    facts = seal.get("facts", {}) if isinstance(seal, dict) else {}
    about = facts.get("base") or {}
    place = _find(path, str(noted), about.get(PLACE))
    name = str((facts.get("adapter") or {}).get("name", ""))
    return AdapterFolder(path, place, str(config.get("revision") or "main"), config, about, name)


def find_adapter(place: str) -> AdapterFolder | None:
    """The adapter in a folder; None for whole models and hub ids."""
    return read_adapter(Path(place)) if is_adapter_folder(Path(place)) else None


def base_place(place: str) -> str:
    """The whole model beneath a model or adapter: where the config of its architecture lies."""
    found = find_adapter(place)
    return base_place(found.base) if found else place


def from_run(base: Path, run: Path) -> str:
    """Where a base lies, seen from an output: still right when both have moved together."""
    return os.path.relpath(base.resolve(), run.resolve())


def _find(path: Path, noted: str, beside: str | None) -> str:
    """The noted place; else where it lay as seen from the run."""
    local = noted.startswith(("/", ".", "~")) or noted.count("/") > 1
    if Path(noted).exists() or not (local or beside):
        return noted
    if beside and (moved := path.resolve().parent / beside).exists():
        return str(moved.resolve())
    raise UserError(f"{path}: is an adapter over {noted}, which is not there any more; put it back, or set {BASE} in {path / CONFIG}.")
