"""Names that others give our settings: precisions, strategies, arguments that transformers once had."""

from pathlib import Path
from typing import Any

import pytest
import torch
import typer
from safetensors.torch import load_file
from trainings import write_rows
from transformers import AutoModelForCausalLM
from typer.testing import CliRunner

from teacherlm.errors import UserError
from teacherlm.options import stage_callback
from teacherlm.parsing import parse_config
from teacherlm.stages.finetune import STAGE, FinetuneConfig, finetune
from teacherlm.store.checkpoints import find_checkpoints
from teacherlm.training import old_names
from teacherlm.training.checkpointing import require_same_shapes

TINY = {"hidden_size": 16, "layers": 1, "heads": 2, "context": 64}


def parsed(**given: Any) -> FinetuneConfig:
    return parse_config(FinetuneConfig, {"input": "rows", "output": "student", "scratch": TINY, **given})


def trained(tmp_path: Path, **given: Any) -> Path:
    settings = {"input": write_rows(tmp_path), "train_on": "text", "epochs": 1, "batch_size": 8, "learning_rate": 3e-3}
    run = tmp_path / str(given.pop("name", "student"))
    finetune(parsed(**{**settings, "output": run, **given}))
    return run


def weights(run: Path) -> dict[str, torch.Tensor]:
    found: dict[str, torch.Tensor] = load_file(find_checkpoints(run)[-1].path / "model.safetensors")
    return found


@pytest.mark.parametrize(
    ("name", "ours"),
    [
        ("32-true", "fp32"),
        ("32", "fp32"),
        (32, "fp32"),
        ("16-mixed", "fp16"),
        ("bf16-mixed", "bf16"),
        ("16-true", "fp16-true"),
        ("bf16-true", "bf16-true"),
        ("64-true", "fp64"),
        ("no", "fp32"),
        ("bfloat16", "bf16-true"),
    ],
)
def test_every_name_of_a_precision_is_understood(name: Any, ours: str) -> None:
    assert parsed(precision=name).precision == ours


@pytest.mark.parametrize(
    ("name", "message"),
    [("transformer-engine", "precision: transformer-engine (fp8) is not supported; bf16"), ("fp12", "No precision named")],
)
def test_a_precision_that_is_not_there_is_refused(name: str, message: str) -> None:
    with pytest.raises(UserError) as refused:
        parsed(precision=name)
    assert message in str(refused.value)


@pytest.mark.slow
@pytest.mark.parametrize(
    ("precision", "dtype"), [("bf16-true", torch.bfloat16), ("16-true", torch.float16), ("64-true", torch.float64), ("bf16", torch.float32)]
)
def test_weights_are_held_as_the_precision_says(tmp_path: Path, precision: str, dtype: torch.dtype) -> None:
    run = trained(tmp_path, precision=precision)
    assert {weight.dtype for weight in weights(run).values()} == {dtype}
    again = trained(tmp_path, name="again", model=str(run), scratch=None, precision=precision)  # and are read so
    assert {weight.dtype for weight in weights(again).values()} == {dtype}


@pytest.mark.skipif(torch.cuda.is_available(), reason="there is a GPU")
@pytest.mark.parametrize(
    ("given", "message"),
    [
        ({"precision": "16-mixed"}, "precision: fp16 needs a GPU"),
        ({"precision": "bf16-true", "ds_config": "zero2"}, "precision: bf16-true does not go with ds_config"),
        (
            {"attention": "flash_attention_2"},
            "attention: flash_attention_2 needs the package flash-attn (pip install flash-attn) and a GPU",
        ),
        ({"liger": True}, "liger needs the package liger-kernel (pip install liger-kernel) and a GPU, not there; leave it out."),
    ],
)
def test_kernels_that_are_not_there_are_refused_in_one_line(tmp_path: Path, given: dict[str, Any], message: str) -> None:
    with pytest.raises(UserError) as refused:
        trained(tmp_path, **given)
    assert message in str(refused.value) and "\n" not in str(refused.value)


@pytest.mark.slow
def test_eager_attention_learns_as_sdpa_does(tmp_path: Path) -> None:
    one, two = (weights(trained(tmp_path, name=name, attention=name)) for name in ("sdpa", "eager"))
    assert all(torch.allclose(one[name], two[name], atol=1e-4) for name in one)


def test_arguments_of_old_become_settings_and_one_line_says_so(capsys: pytest.CaptureFixture[str]) -> None:
    old_names._say_once.cache_clear()
    given = {"warmup_ratio": 0.1, "group_by_length": False, "adafactor": True, "weight_decay": 0.1, "logging_dir": "logs", "no_cuda": True}
    for _ in range(2):  # settings are read more than once
        config = parsed(training_args=given)
    assert config.warmup == 0.1 and not config.group_by_length
    assert config.training_args == {"weight_decay": 0.1, "optim": "adafactor", "use_cpu": True}
    said = capsys.readouterr().err.splitlines()
    assert said.count("training_args.warmup_ratio became warmup.") == 1 and len(said) == 5


def test_a_setting_of_ours_wins_over_an_argument_of_old() -> None:
    assert parsed(warmup=7, training_args={"warmup_ratio": 0.1}).warmup == 7


def test_an_evaluation_strategy_says_when_is_measured() -> None:
    config = parsed(eval={"tasks": {"creak": 1}}, training_args={"evaluation_strategy": "epoch"})
    assert config.eval is not None and config.eval.every == "1 epochs" and config.eval.tasks == {"creak": 1}


@pytest.mark.parametrize(("name", "hint"), [("sharded_ddp", "set ds_config: zero1 or zero2"), ("use_ipex", "leave it out")])
def test_an_argument_that_nothing_stands_for_says_what_to_do(name: str, hint: str) -> None:
    with pytest.raises(UserError, match=rf"training_args.{name}: transformers no longer has it; .*{hint}"):
        parsed(training_args={name: True})


def test_no_old_name_is_one_that_transformers_still_has() -> None:
    import dataclasses

    from transformers import TrainingArguments

    still = {field.name for field in dataclasses.fields(TrainingArguments)}
    assert not (set(old_names.OLD) | set(old_names.GONE)) & still - {"do_train", "do_eval", "do_predict"}


@pytest.mark.parametrize(
    ("words", "key", "value"),
    [
        (["--lr", "5e-5"], "learning_rate", 5e-5),
        (["--lr", "constant"], "lr_scheduler", "constant"),
        (["--batch_size", "4", "--accumulate", "2"], "accumulation", 2),
        (["--devices", "0,1,2,3"], "processes", 4),
        (["--devices", "2"], "processes", 2),
        (["--strategy", "deepspeed_stage_2"], "ds_config", "zero2"),
        (["--strategy", "ddp"], "ds_config", None),
        (["--max_length", "256"], "max_source_length", 256),
        (["--disable_checkpointing"], "save_strategy", "no"),
        (["--precision", "bf16-true"], "precision", "bf16-true"),
        (["--weight_decay", "0.01"], "training_args", {"weight_decay": 0.01}),
        (["--no_train"], "no_train", True),
        (["--random_seed", "3"], "seed", 3),
    ],
)
def test_the_originals_switches_set_our_settings(words: list[str], key: str, value: Any) -> None:
    told: list[FinetuneConfig] = []
    app = typer.Typer()
    app.command()(stage_callback("finetune", STAGE, lambda name, stage, config, **_: told.append(config)))
    done = CliRunner().invoke(app, ["--input", "rows", "--output", "student", "--model", "gpt2", *words])
    assert done.exit_code == 0, done.output + str(done.exception)
    assert getattr(told[0], key) == value


def test_a_model_key_of_fine_tune_cot_is_a_hub_id() -> None:
    assert parse_config(FinetuneConfig, {"input": "rows", "output": "student", "model": "flan_t5_base"}).model == "google/flan-t5-base"
    assert parse_config(FinetuneConfig, {"input": "rows", "output": "student", "model": "gpt2_large"}).model == "gpt2-large"


@pytest.mark.long
def test_a_compiled_student_learns_what_a_plain_one_does(tmp_path: Path) -> None:
    plain, compiled = (weights(trained(tmp_path, name=str(on), torch_compile=on, save_strategy="no")) for on in (False, True))
    assert plain.keys() == compiled.keys()
    assert all(torch.allclose(plain[name], compiled[name], atol=1e-4) for name in plain)


def test_a_checkpoint_of_another_model_is_not_gone_on_from(tmp_path: Path) -> None:
    last = find_checkpoints(trained(tmp_path))[-1]
    model = AutoModelForCausalLM.from_pretrained(last.path)
    require_same_shapes(last, model)
    model.resize_token_embeddings(7)
    with pytest.raises(UserError, match=r"checkpoint-6: is of another model \(.* is \[\d+, 16\] there, \[7, 16\] in this student\)"):
        require_same_shapes(last, model)
