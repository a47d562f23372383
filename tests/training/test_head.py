"""head_first: at the first steps the output head alone learns, at those after them everything."""

from pathlib import Path
from typing import Any

import pytest
from safetensors.torch import load_file

from teacherlm.errors import UserError
from teacherlm.parsing import parse_config
from teacherlm.stages.finetune import FinetuneConfig, finetune
from tests.tiny_models import write_model, write_rows

RECIPE = {
    "epochs": 3,
    "batch_size": 8,
    "learning_rate": 1e-2,
    "save_strategy": "steps",
    "save_steps": 3,
    "training_args": {"weight_decay": 0.1},
}
"""Six steps; a checkpoint after three."""


def train(tmp_path: Path, architecture: str, **given: Any) -> Path:
    model = write_model(tmp_path / "model", architecture)
    data = write_rows(tmp_path / "rows.jsonl")
    settings = {"input": data, "output": tmp_path / "student", "model": str(model), "train_on": "text", **RECIPE, **given}
    finetune(parse_config(FinetuneConfig, settings))
    return tmp_path / "student"


def changed(before: Path, after: Path) -> tuple[set[str], set[str]]:
    """(names of the weights that are others, all names)."""
    one, other = (load_file(folder / "model.safetensors") for folder in (before, after))
    assert one.keys() == other.keys()
    return {name for name in one if not one[name].equal(other[name])}, set(one)


@pytest.mark.parametrize("micro", [8, 4])
def test_only_the_head_learns_before_the_rest(tmp_path: Path, micro: int) -> None:
    run = train(tmp_path, "llama", head_first=3, micro_batch=micro)
    first, _ = changed(tmp_path / "model", run / "checkpoint-3")
    assert first == {"lm_head.weight"}
    then, everything = changed(run / "checkpoint-3", run / "checkpoint-6")
    assert then == everything


@pytest.mark.slow
def test_a_head_that_is_tied_to_the_embeddings_changes_with_them(tmp_path: Path) -> None:
    run = train(tmp_path, "gpt2", head_first=3)
    first, everything = changed(tmp_path / "model", run / "checkpoint-3")
    assert first == {"transformer.wte.weight"}
    assert changed(run / "checkpoint-3", run / "checkpoint-6")[0] >= everything - {"transformer.wpe.weight"}


@pytest.mark.slow
def test_of_a_regression_the_head_is_that_of_its_two_words(tmp_path: Path) -> None:
    model = write_model(tmp_path / "model", "llama")
    data = tmp_path / "rows.jsonl"
    data.write_text("".join(f'{{"prompt": "Q: {i} plus 1? A:", "target": {i / 8}}}\n' for i in range(8)))
    words = ["The", "answer"]
    given = {
        "input": data,
        "output": tmp_path / "student",
        "model": str(model),
        "objective": {"name": "regression", "words": [" The", " answer"]},
    }
    recipe = {**RECIPE, "training_args": {}, "batch_size": 4, "save_steps": 2}
    finetune(parse_config(FinetuneConfig, {**given, **recipe, "head_first": 2}))
    assert changed(tmp_path / "model", tmp_path / "student/checkpoint-2")[0] == {"lm_head.weight"}
    one, other = (load_file(folder / "model.safetensors")["lm_head.weight"] for folder in (model, tmp_path / "student/checkpoint-2"))
    assert int((one != other).any(dim=1).sum()) == len(words)
    assert len(changed(model, tmp_path / "student/checkpoint-6")[0]) > 1


@pytest.mark.parametrize(
    ("given", "message"),
    [
        ({"head_first": 6}, "head_first: 6 steps, but the training has 6"),
        ({"head_first": 2, "ds_config": "zero2"}, "head_first: does not go with ds_config zero2"),
        ({"head_first": 2, "adapter": "lora"}, "head_first: adapter lora never trains the output head"),
    ],
)
def test_what_leaves_nothing_for_head_or_rest_is_refused(tmp_path: Path, given: dict[str, Any], message: str) -> None:
    with pytest.raises(UserError, match=message):
        train(tmp_path, "llama", **given)
    assert not list((tmp_path / "student").glob("checkpoint-*"))
