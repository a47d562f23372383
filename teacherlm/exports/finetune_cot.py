"""Completion files of Fine-tune-CoT: where they lie, what they hold, and that the two agree.

    B_{base_model}__C_{completion_key}/D_{dataset_key}[__T_{train_key}][__E_{epoch:03d}].json
    {"metadata": {"base_model", "dataset_key", "completion_key", "finetune_key", "train_key", "epoch", "prediction_template", ...},
     "data": {"<sample_index>": [{"sample_index", "completion_index", "question", "answer", "prompt", "completion", ...}]}}

`F_{finetune_key}__D_{dataset_key}.json` and `F_{finetune_key}__T_{train_key}__D_{dataset_key}.json` are read too.
"""

import json
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from teacherlm.errors import UserError
from teacherlm.exports.files import write_once
from teacherlm.store.files import read_json

FOLDER = re.compile(r"B_(?P<base_model>.+)__C_(?P<completion_key>.+)")
CODE_FORM = re.compile(r"D_(?P<dataset_key>.+?)(?:__T_(?P<train_key>.+?))?(?:__E_(?P<epoch>\d{3,}))?\.json")
README_FORM = re.compile(r"F_(?P<finetune_key>.+?)(?:__T_(?P<train_key>.+?))?__D_(?P<dataset_key>.+?)(?:__E_(?P<epoch>\d{3,}))?\.json")
METADATA = ("base_model", "dataset_key", "completion_key", "finetune_key", "train_key", "epoch", "prediction_template")
"""In the original's order. Any of the last four may be null."""
SAMPLE = ("sample_index", "completion_index", "question", "answer", "prompt", "completion", "finish_reason")
REASONING = ("reasoning_prompt", "reasoning_completion", "reasoning_finish_reason")
"""The first of zero-shot-CoT's two steps."""

Sample = dict[str, Any]


@dataclass(frozen=True)
class CompletionDataset:
    """One file."""

    metadata: Mapping[str, Any]
    data: Mapping[str, list[Sample]]
    """Samples of each question, in the order of their completion_index."""

    def samples(self) -> Iterator[tuple[str, Sample]]:
        """(place in the file, sample)."""
        for index, samples in self.data.items():
            for position, sample in enumerate(samples):
                yield f'data "{index}"[{position}]', {"sample_index": int(index), "completion_index": position, **sample}


def read_completions(path: Path) -> CompletionDataset:
    """Raises: UserError for another schema, and for metadata that contradicts the path."""
    found = read_json(path)
    if not is_completion_file(found):
        raise UserError(f"{path}: expected {{'metadata': {{...}}, 'data': {{'0': [...]}}}} as Fine-tune-CoT writes it.")
    for index, samples in found["data"].items():
        if not index.isdecimal():
            raise UserError(f'{path}: data "{index}": expected the number of a question.')
        if not isinstance(samples, list) or not all(isinstance(sample, dict) for sample in samples):
            raise UserError(f'{path}: data "{index}": expected a list of samples.')
        for position, sample in enumerate(samples):
            if str(sample.get("sample_index", index)) != index:
                where = f'{path}: data "{index}"[{position}]'
                raise UserError(f"{where}: key 'sample_index' is {sample['sample_index']}, it stands under \"{index}\".")
    if not any(found["data"].values()):
        raise UserError(f"{path}: the file has no completions.")
    _check_place(path, found["metadata"])
    return CompletionDataset(found["metadata"], found["data"])


def is_completion_file(content: Any) -> bool:
    return isinstance(content, dict) and all(isinstance(content.get(key), dict) for key in ("metadata", "data"))


def _check_place(path: Path, metadata: Mapping[str, Any]) -> None:
    """A file outside the layout has no identifier to contradict; nor has metadata that lacks a key."""
    for key, said in identifier(path).items():
        if key in metadata and metadata[key] != said:
            raise UserError(f"{path}: metadata key '{key}' is {metadata[key]!r}, its path says {said!r}.")


def identifier(path: Path) -> dict[str, Any]:
    """What a path says of its file; of a name in the original code's form also that there is no train_key or no epoch."""
    folder = FOLDER.fullmatch(path.absolute().parent.name)
    code, readme = CODE_FORM.fullmatch(path.name), README_FORM.fullmatch(path.name)
    found: dict[str, Any] = dict(folder.groupdict()) if folder else {}
    if code:
        found |= code.groupdict()
    elif readme:
        found |= {key: value for key, value in readme.groupdict().items() if value is not None}
    return found | ({"epoch": int(found["epoch"])} if found.get("epoch") else {})


def place(folder: Path, metadata: Mapping[str, Any]) -> Path:
    """Where a completion file with this metadata belongs.

    Raises: UserError for a missing key, and for a value that cannot be part of a file's name.
    """
    for key in METADATA[:3]:
        if not isinstance(metadata.get(key), str) or not metadata[key]:
            raise UserError(f"--{key.replace('_', '-')} is required: the rows do not say it.")
    for key in METADATA[:5]:
        if isinstance(metadata.get(key), str) and not re.fullmatch(r"[^/\\\0]*[^/\\\0.][^/\\\0]*", metadata[key]):
            raise UserError(f"--{key.replace('_', '-')} {metadata[key]!r} becomes part of a file's name; it may hold no slash.")
    name = f"D_{metadata['dataset_key']}"
    name += f"__T_{metadata['train_key']}" if metadata.get("train_key") is not None else ""
    name += f"__E_{metadata['epoch']:03d}" if metadata.get("epoch") is not None else ""
    path = folder / f"B_{metadata['base_model']}__C_{metadata['completion_key']}" / f"{name}.json"
    _check_place(path, metadata)  # a key with "__T_" in it would be read back as another
    return path


def write_completions(folder: Path, dataset: CompletionDataset, overwrite: bool = False) -> Path:
    """Returns where. Raises: UserError when another content lies there."""
    path = place(folder, dataset.metadata)
    content = json.dumps({"metadata": dict(dataset.metadata), "data": dict(dataset.data)}, indent=4)
    write_once(path, [content.encode()], overwrite)
    return path
