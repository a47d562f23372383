"""Rows of ours as files of other systems, by the name of what is written."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from teacherlm.errors import UserError, unknown
from teacherlm.exports.files import read_rows
from teacherlm.exports.finetune_cot import write_completions
from teacherlm.exports.prompt_completion import STOP, write_prompt_completion
from teacherlm.exports.rationales import completion_dataset
from teacherlm.exports.training_files import TRAINING_FILES, write_parquet, write_training_file

OPTIONS: Mapping[str, frozenset[str]] = {
    "finetune_cot": frozenset({"base_model", "completion_key", "dataset_key", "train_key", "epoch", "finetune_key", "template"}),
    "prompt_completion": frozenset({"finetune_key", "template", "model_type", "kind", "stop_phrase"}),
    **dict.fromkeys(TRAINING_FILES, frozenset({"train_on"})),
    "llama_factory": frozenset({"train_on", "name"}),
    "parquet": frozenset(),
}
TRAIN_ON = "cot_tail"
"""What `finetune` trains on, too, where it is not told."""
PLATFORM = {"decoder": "openai"}
"""Folder of a finetune file where the model type does not name it."""


def export_rows(what: str, source: Path, output: Path, options: Mapping[str, Any], overwrite: bool = False) -> tuple[int, Path]:
    """How many rows were written, and where. Raises: UserError for an unknown name, an option that is not its own, other content."""
    name = what.replace("-", "_")
    if name not in OPTIONS:
        raise unknown("export", what, OPTIONS)
    for option in options:
        if option not in OPTIONS[name]:
            raise UserError(f"--{option.replace('_', '-')} does not belong to `export {name}`.")
    if name == "parquet":
        return write_parquet(source, output, overwrite)
    if name in TRAINING_FILES:
        return write_training_file(name, source, output, options.get("train_on", TRAIN_ON), options.get("name", ""), overwrite)
    return (_completions if name == "finetune_cot" else _finetune_file)(source, output, options, overwrite)


def _completions(source: Path, output: Path, options: Mapping[str, Any], overwrite: bool) -> tuple[int, Path]:
    given = {**options, "prediction_template": options.get("template")}
    dataset = completion_dataset(read_rows(source), given)
    path = write_completions(output, dataset, overwrite)
    return sum(len(samples) for samples in dataset.data.values()), path


def _finetune_file(source: Path, output: Path, options: Mapping[str, Any], overwrite: bool) -> tuple[int, Path]:
    if "template" not in options:
        raise UserError("--template is required, e.g. ft_cot_token.")
    model_type = options.get("model_type", "decoder")
    path = _finetune_path(output, options.get("finetune_key"), PLATFORM.get(model_type, model_type))
    kind, stop = options.get("kind", "cot"), options.get("stop_phrase", STOP)
    return write_prompt_completion(source, path, options["template"], model_type, kind, stop, overwrite), path


def _finetune_path(output: Path, key: str | None, platform: str) -> Path:
    if output.suffix == ".jsonl":
        if key is not None:
            raise UserError("--finetune-key names the file in a folder; --output is a file already.")
        return output
    if not key or "/" in key or "\\" in key:
        raise UserError("--finetune-key is required where --output is a folder, and may hold no slash: it names F_<key>.jsonl there.")
    return output / f"P_{platform}" / f"F_{key}.jsonl"
