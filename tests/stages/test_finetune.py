"""finetune: the whole stage on small real inputs, and what it refuses."""

import json
import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
import torch
from datasets import Dataset, DatasetDict
from pydantic import ValidationError
from transformers import AutoModelForCausalLM, AutoTokenizer

from teacherlm.errors import UserError
from teacherlm.stages.finetune import FinetuneConfig, finetune
from teacherlm.store.checkpoints import find_checkpoints
from teacherlm.training.tokens import rows_held_out

TINY = {"hidden_size": 16, "layers": 1, "heads": 2, "context": 64}


def rows(count: int = 24) -> list[dict[str, str]]:
    made = []
    for i in range(count):
        prompt = f"Q: What is {i} plus 1? A:"
        head = f"{prompt} Let's think step by step. {i} and 1 make {i + 1}. The answer is {i + 1}."
        made.append(
            {"id": f"q{i}", "prompt": prompt, "text": f"{prompt} The answer is {i + 1}.", "cot_head": head, "template": "teacherlm"}
        )
    return made


@pytest.fixture(autouse=True)
def one_thread() -> None:
    torch.set_num_threads(1)


@pytest.fixture
def data(tmp_path: Path) -> Path:
    path = tmp_path / "rows.jsonl"
    path.write_text("".join(json.dumps(row) + "\n" for row in rows()))
    return path


def config(data: Path, **given) -> FinetuneConfig:
    usual = {"train_on": "cot_head", "epochs": 2, "batch_size": 8, "learning_rate": 3e-3, "output": data.parent / "student"}
    student = {} if "model" in given else {"scratch": TINY}
    return FinetuneConfig(**{"input": data, **usual, **student, **given})


def test_a_student_from_scratch_learns_and_is_saved_each_epoch(data):
    outcome = finetune(config(data, epochs=3, held_out=0.25))
    checkpoints = find_checkpoints(data.parent / "student")
    assert [(c.step, c.epoch) for c in checkpoints] == [(3, 1.0), (6, 2.0), (9, 3.0)]
    losses = [c.facts["held_out_loss"] for c in checkpoints]
    assert losses == sorted(losses, reverse=True)
    assert outcome.counts | {"tokens": 0} == {"rows": 24, "trained": 18, "held_out": 6, "truncated": 0, "completions_cut": 0, "tokens": 0}
    facts = checkpoints[-1].facts
    assert {k: facts[k] for k in ("template", "train_on", "loss_on", "seed", "student")} == {
        "template": "teacherlm",
        "train_on": "cot_head",
        "loss_on": "completion",
        "seed": 0,
        "student": "scratch 1x16",
    }
    assert facts["trained_tokens"] == outcome.metrics["trained_tokens"] > 0
    assert outcome.metrics["held_out_loss"] == losses[-1]


def test_rows_of_several_templates_name_them_all_and_those_that_differ_in_settings_once(data):
    specs = ["teacherlm", *(f'tk_instruct{{"definition":"{n}"}}' for n in range(23))]
    data.write_text("".join(json.dumps({**row, "template": spec}) + "\n" for row, spec in zip(rows(), specs, strict=True)))
    finetune(config(data, epochs=1))
    facts = find_checkpoints(data.parent / "student")[-1].facts
    assert facts["template"] == "teacherlm+tk_instruct{*}"
    assert facts["templates"] == ["teacherlm", "tk_instruct{*}"]


def test_a_checkpoint_is_a_plain_folder_without_pickles(data):
    finetune(config(data))
    folder = data.parent / "student" / "checkpoint-6"
    assert sorted(p.name for p in folder.iterdir()) == [
        "complete.json",
        "config.json",
        "generation_config.json",
        "model.safetensors",
        "tokenizer.json",
        "tokenizer_config.json",
        "trainer_state.json",
    ]
    model, tokenizer = AutoModelForCausalLM.from_pretrained(folder), AutoTokenizer.from_pretrained(folder)
    assert model.generate(**tokenizer("Q: What is", return_tensors="pt"), max_new_tokens=3).shape[1] > 3


def test_metrics_have_a_row_per_logging_step_and_per_checkpoint(data):
    finetune(config(data, epochs=3, logging_steps=2))
    found = [json.loads(line) for line in (data.parent / "student" / "metrics.jsonl").read_text().splitlines()]
    assert [row["step"] for row in found] == [2, 3, 4, 6, 8, 9]
    learnt = {"step", "epoch", "loss", "learning_rate", "grad_norm"}
    assert set(found[0]) == learnt | {"tokens", "read_tokens", "padding", "seconds", "tokens_per_second", "memory"}
    assert [row["tokens"] for row in found] == sorted(row["tokens"] for row in found)


@pytest.mark.parametrize(
    ("given", "steps"),
    [({"save_strategy": "no"}, [6]), ({"save_strategy": "steps", "save_steps": 4}, [4, 6]), ({"epochs": 3, "save_every": 2}, [6, 9])],
)
def test_the_last_step_always_has_a_checkpoint(data, given, steps):
    finetune(config(data, **given))
    assert [c.step for c in find_checkpoints(data.parent / "student")] == steps


@pytest.mark.slow
def test_workers_that_put_batches_together_change_nothing(data):
    weights = []
    for workers in (0, 2):
        output = data.parent / f"workers{workers}"
        finetune(config(data, output=output, training_args={"dataloader_num_workers": workers}))
        weights.append((find_checkpoints(output)[-1].path / "model.safetensors").read_bytes())
    assert weights[0] == weights[1]


@pytest.mark.slow
def test_a_number_of_steps_takes_the_place_of_epochs(data):
    outcome = finetune(config(data, max_steps=5, lr_scheduler="linear", logging_steps=1))
    assert outcome.metrics["steps"] == 5
    assert [(c.step, round(c.epoch, 2)) for c in find_checkpoints(data.parent / "student")] == [(3, 1.0), (5, 1.67)]
    rates = [json.loads(line)["learning_rate"] for line in (data.parent / "student/metrics.jsonl").read_text().splitlines()]
    assert rates == pytest.approx([3e-3 * (1 - step / 5) for step in range(5)])


@pytest.mark.slow
def test_defect_8_the_same_seed_gives_the_same_student_and_another_seed_another(data):
    weights = []
    for name, seed in (("a", 0), ("b", 0), ("c", 1)):
        finetune(config(data, seed=seed, save_strategy="no", output=data.parent / name))
        weights.append((data.parent / name / "checkpoint-6" / "model.safetensors").read_bytes())
    assert weights[0] == weights[1] != weights[2]


@pytest.mark.slow
def test_the_micro_batch_does_not_change_the_loss(data):
    whole = finetune(config(data, save_strategy="no", output=data.parent / "a"))
    parts = finetune(config(data, save_strategy="no", micro_batch=3, output=data.parent / "b"))
    assert parts.metrics["train_loss"] == pytest.approx(whole.metrics["train_loss"], abs=1e-5)


def test_a_finished_training_is_not_done_again(data):
    first = finetune(config(data))
    assert finetune(config(data)) == first


def test_a_dataset_dict_gives_its_train_split(data, capsys):
    DatasetDict({"train": Dataset.from_list(rows(16)), "validation": Dataset.from_list(rows(5))}).save_to_disk(str(data.parent / "dict"))
    assert finetune(config(data.parent / "dict", epochs=1)).counts["rows"] == 16
    assert "training uses 'train'" in capsys.readouterr().err


def test_students_of_one_dataset_share_a_tokenizer(data):
    finetune(config(data, train_on="text", output=data.parent / "a", epochs=1))
    finetune(config(data, train_on="cot_head", output=data.parent / "b", epochs=1))
    one, two = ((data.parent / name / "checkpoint-3" / "tokenizer.json").read_bytes() for name in "ab")
    assert one == two


@pytest.mark.real
def test_a_real_model_continues_to_learn(data, stories260k):
    outcome = finetune(config(data, model=str(stories260k), learning_rate=1e-3, precision="bf16", gradient_checkpointing=True))
    checkpoint = find_checkpoints(data.parent / "student")[-1]
    assert checkpoint.facts["student"] == "stories260k"
    assert outcome.facts["parameters"] == 260_032
    assert outcome.metrics["train_loss"] < 3


def test_a_student_can_start_from_another_students_output(data):
    finetune(config(data))
    outcome = finetune(config(data, model=str(data.parent / "student"), output=data.parent / "second", epochs=1))
    assert outcome.metrics["steps"] == 3


@pytest.mark.real
def test_defect_10_bin_weights_are_read_without_pickled_code_and_safetensors_written(data, stories260k, capsys):
    folder = data.parent / "bin"
    shutil.copytree(stories260k, folder)
    folder.chmod(0o755)
    from safetensors.torch import load_file

    torch.save(load_file(folder / "model.safetensors"), folder / "pytorch_model.bin")
    (folder / "model.safetensors").unlink()
    finetune(config(data, model=str(folder), epochs=1, save_strategy="no"))
    assert "weights_only" in capsys.readouterr().err
    assert (data.parent / "student" / "checkpoint-3" / "model.safetensors").is_file()


@pytest.mark.real
def test_a_tokenizer_without_pad_token_uses_eos(data, stories260k, capsys):
    folder = _copy_with_tokenizer_config(stories260k, data.parent / "padless", drop=("pad_token",))
    finetune(config(data, model=str(folder), epochs=1, save_strategy="no"))
    assert "no pad token; EOS fills short rows" in capsys.readouterr().err


@pytest.mark.real
def test_a_tokenizer_without_eos_is_refused(data, stories260k):
    folder = _copy_with_tokenizer_config(stories260k, data.parent / "endless", drop=("pad_token", "eos_token"))
    with pytest.raises(UserError, match="the tokenizer has no EOS token"):
        finetune(config(data, model=str(folder)))


def _copy_with_tokenizer_config(model: Path, folder: Path, drop: tuple[str, ...]) -> Path:
    folder.mkdir()
    for file in model.iterdir():
        (folder / file.name).write_bytes(file.read_bytes())
    settings = json.loads((folder / "tokenizer_config.json").read_text())
    (folder / "tokenizer_config.json").write_text(json.dumps({k: v for k, v in settings.items() if k not in drop}))
    return folder


@pytest.mark.real
def test_a_model_folder_without_weights_is_one_clear_line(data, stories260k):
    folder = data.parent / "empty"
    folder.mkdir()
    for name in ("config.json", "tokenizer.json", "tokenizer_config.json"):
        (folder / name).write_bytes((stories260k / name).read_bytes())
    with pytest.raises(UserError, match=r"empty: a model folder without weights"):
        finetune(config(data, model=str(folder)))


def test_a_missing_model_is_one_clear_line(data):
    with pytest.raises(UserError, match=r"nothing/here: no such model folder"):
        finetune(config(data, model="./nothing/here"))


@pytest.mark.parametrize(
    ("given", "message"),
    [
        ({"train_on": "cot_tale"}, "no column 'cot_tale' to train on; columns of text: id, prompt, text, cot_head, template"),
        ({"training_args": {"weight_decai": 0.1}}, "No training argument named 'weight_decai'. Did you mean 'weight_decay'"),
        ({"training_args": {"learning_rate": 0.1}}, "training_args.learning_rate: decided by the setting 'learning_rate'"),
        ({"lr_scheduler": "cosin"}, "No lr_scheduler named 'cosin'. Did you mean 'cosine'"),
        ({"ds_config": "zero4"}, "no shipped config of that name. Known: zero1, zero2, zero3, zero3_offload"),
        ({"held_out": 0.01}, "held_out 0.01 of 24 rows leaves none held out"),
        ({"micro_batch": 2, "accumulation": 2}, "set batch_size to 4"),
        ({"scratch": {**TINY, "tokenizer_columns": ["nope"]}}, "no column 'nope'"),
    ],
)
def test_a_wrong_setting_is_one_clear_line(data, given, message):
    with pytest.raises(UserError) as caught:
        finetune(config(data, **given))
    assert message in str(caught.value)
    assert "\n" not in str(caught.value)
    assert not find_checkpoints(data.parent / "student")


@pytest.mark.skipif(torch.cuda.is_available(), reason="fp16 works here")
def test_fp16_without_a_gpu_is_refused(data):
    with pytest.raises(UserError, match="fp16 needs a GPU"):
        finetune(config(data, precision="fp16"))


@pytest.mark.parametrize("precision", ["fp16-true", "bf16-true"])
def test_a_student_of_half_precision_learns_on_a_cpu(data, precision):
    """In fp16 Adam's usual epsilon is 0, and the loss soon no number."""
    finetune(config(data, precision=precision, train_on="text", epochs=8, logging_steps=1))
    losses = [json.loads(line)["loss"] for line in (data.parent / "student/metrics.jsonl").read_text().splitlines()]
    assert losses[-1] < 0.8 * losses[0]


def test_exactly_one_of_model_and_scratch(data):
    with pytest.raises(ValidationError, match="exactly one of model"):
        FinetuneConfig(input=data, output=data.parent / "x")
    with pytest.raises(ValidationError, match="exactly one of model"):
        FinetuneConfig(input=data, output=data.parent / "x", model="a", scratch={})


def test_a_row_that_does_not_start_with_its_prompt_is_named(data):
    broken = rows(3)
    broken[1]["cot_head"] = "Something else."
    data.write_text("".join(json.dumps(row) + "\n" for row in broken))
    with pytest.raises(UserError, match=r"rows.jsonl:2: column 'cot_head' does not start with the row's prompt; use --loss-on all"):
        finetune(config(data))
    assert finetune(config(data, loss_on="all", epochs=1)).counts["rows"] == 3


def test_a_row_with_an_empty_or_missing_text_is_named(data):
    for value, message in (
        ("", "does not start"),
        (None, "is missing, expected text"),
        (rows(3)[2]["prompt"], "is empty behind its prompt"),
    ):
        broken = rows(3)
        broken[2]["cot_head"] = value
        Dataset.from_list(broken).save_to_disk(str(data.parent / "set"))
        with pytest.raises(UserError, match=rf"set: row 2 \(id q2\): column 'cot_head' {message}"):
            finetune(config(data.parent / "set"))


def test_a_folder_without_a_dataset_and_an_empty_file_are_named(data):
    with pytest.raises(UserError, match="no dataset here"):
        finetune(config(data.parent))
    data.write_text("")
    with pytest.raises(UserError, match=r"rows.jsonl: the file has no rows"):
        finetune(config(data))


def test_the_held_out_rows_are_the_seeds_choice():
    first, again, other = (rows_held_out(100, 0.2, seed) for seed in (0, 0, 1))
    assert len(first) == 20 and first <= set(range(100))
    assert first == again != other


@pytest.mark.slow
def test_deepspeed_runs_in_one_process_on_a_cpu_and_equals_plain_training(data):
    plain = finetune(config(data, save_strategy="no", micro_batch=4, output=data.parent / "plain"))
    for name in ("zero2", "zero3"):
        outcome = finetune(config(data, save_strategy="no", micro_batch=4, ds_config=name, output=data.parent / name))
        assert outcome.metrics["train_loss"] == pytest.approx(plain.metrics["train_loss"], abs=1e-4)
        folder = data.parent / name / "checkpoint-6"
        assert [p.name for p in folder.iterdir() if p.suffix in (".pt", ".bin", ".pth") or p.is_dir()] == []
        AutoModelForCausalLM.from_pretrained(folder)
    assert not torch.distributed.is_initialized()


@pytest.mark.slow
def test_deepspeed_is_not_imported_unless_asked_for(data):
    code = (
        "import sys\nfrom teacherlm.stages.finetune import *\n"
        f"finetune(FinetuneConfig(input={str(data)!r}, output={str(data.parent / 'p')!r}, scratch={TINY!r}, train_on='text', epochs=1))\n"
        "assert 'deepspeed' not in sys.modules"
    )
    subprocess.run([sys.executable, "-c", code], check=True, env={**os.environ, "OMP_NUM_THREADS": "1"})


@pytest.mark.slow
def test_wandb_without_a_key_writes_offline(data, monkeypatch):
    monkeypatch.delenv("WANDB_API_KEY", raising=False)
    monkeypatch.delenv("WANDB_MODE", raising=False)
    finetune(config(data, report_to="wandb", save_strategy="no"))
    assert list((data.parent / "student" / "wandb").glob("offline-run-*"))
    assert "WANDB_MODE" not in os.environ
