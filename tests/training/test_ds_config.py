"""DeepSpeed's settings: what is shipped fits, what contradicts finetune's own is one clear line."""

import json
from pathlib import Path

import pytest

from teacherlm.errors import UserError
from teacherlm.training.batches import cut
from teacherlm.training.ds_config import read_ds_config, require_agreement, zero_stage
from teacherlm.training.settings import Recipe


def write(folder: Path, **values) -> str:
    path = folder / "mine.json"
    path.write_text(json.dumps({"zero_optimization": {"stage": 2}, **values}))
    return str(path)


@pytest.mark.parametrize(("name", "stage"), [("zero1", 1), ("zero2", 2), ("zero3", 3), ("zero3_offload", 3)])
def test_what_is_shipped_agrees_with_any_recipe(name, stage):
    config = read_ds_config(name)
    assert zero_stage(config) == stage
    for processes in (1, 3, 8):
        require_agreement(config, name, Recipe(batch_size=20, precision="bf16"), cut(20, None, None, processes))


@pytest.mark.parametrize(
    ("given", "message"),
    [
        ({"train_batch_size": 32}, 'train_batch_size is 32, but batch_size 64 makes it 64; write "auto" there.'),
        (
            {"train_micro_batch_size_per_gpu": 4},
            "train_micro_batch_size_per_gpu is 4, but batch_size 64 over 2 processes (micro_batch) makes it 16;",
        ),
        (
            {"gradient_accumulation_steps": 1},
            "gradient_accumulation_steps is 1, but batch_size 64 over 2 processes (accumulation) makes it 2;",
        ),
        ({"optimizer": {"type": "AdamW", "params": {"lr": 1e-3}}}, "optimizer.params.lr is 0.001, but learning_rate 6e-06 makes it 6e-06;"),
        ({"bf16": {"enabled": True}}, "bf16.enabled is true, but precision fp32 makes it false;"),
        ({"scheduler": {"type": "WarmupLR"}}, "scheduler: the schedule is decided by the setting lr_scheduler"),
    ],
)
def test_what_contradicts_the_recipe_is_named(tmp_path, given, message):
    file = write(tmp_path, **given)
    with pytest.raises(UserError) as caught:
        require_agreement(read_ds_config(file), file, Recipe(), cut(64, None, None, 2))
    assert f"ds_config {file}: {message}" in str(caught.value)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
    ("content", "message"),
    [(b"{", "mine.json: not valid JSON ("), (b"\xff\xfe", "mine.json: not valid JSON ("), (b"[1]", "mine.json: expected a JSON object")],
)
def test_a_file_that_cannot_be_read_is_named(tmp_path, content, message):
    (tmp_path / "mine.json").write_bytes(content)
    with pytest.raises(UserError) as caught:
        read_ds_config(str(tmp_path / "mine.json"))
    assert message in str(caught.value) and "\n" not in str(caught.value)


def test_zero3_always_gathers_the_weights_and_says_so(tmp_path, capsys):
    config = read_ds_config(write(tmp_path, zero_optimization={"stage": 3}))
    assert config["zero_optimization"] == {"stage": 3, "stage3_gather_16bit_weights_on_model_save": True}
    assert "is set to true" in capsys.readouterr().err
