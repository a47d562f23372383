"""A student that is an adapter: trained, stopped, continued, measured, merged and trained on, as a whole student is."""

import json
import shutil
import signal
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import load_file
from tiny_models import ROWS, hashes, logits, tiny_model, write_model, write_rows
from trainings import losses, start, wait_until
from transformers import AutoModelForCausalLM, AutoModelForSeq2SeqLM

from teacherlm.engines import vllm
from teacherlm.engines.bodies.loading import load_model
from teacherlm.engines.transformers import TransformersSettings, build
from teacherlm.errors import UserError
from teacherlm.evaluation.students import find_students
from teacherlm.parsing import parse_config
from teacherlm.records import Request
from teacherlm.reporting.hub import _require_base_for_all
from teacherlm.stages.evaluate import EvaluateConfig, evaluate
from teacherlm.stages.finetune import FinetuneConfig, finetune
from teacherlm.store.checkpoints import find_checkpoints, read_checkpoint
from teacherlm.store.files import read_jsonl
from teacherlm.training import adapting, bottleneck
from teacherlm.training.merging import merge
from teacherlm.training.pretrained import read_context, read_model, read_tokenizer

ADAPTERS: dict[str, Any] = {
    "lora": {"name": "lora", "rank": 4},
    "qlora": {"name": "qlora", "rank": 4},
    "bottleneck": {"name": "bottleneck", "reduction_factor": 8},
}
KINDS = {"lora": adapting.Lora, "qlora": adapting.Lora, "bottleneck": bottleneck.BottleneckAdapter}
ARCHITECTURES = ("llama", "opt", "bloom", "gpt2", "t5")


@pytest.fixture(autouse=True)
def one_thread() -> None:
    torch.set_num_threads(1)


@pytest.fixture(scope="module")
def data(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_rows(tmp_path_factory.mktemp("data") / "rows.jsonl")


@pytest.fixture(scope="module")
def base(data: Path) -> Path:
    return write_model(data.parent / "base")


def settings(data: Path, model: Path, output: Path, adapter: str, **given: Any) -> dict[str, Any]:
    usual = {
        "train_on": "text",
        "epochs": 12,
        "batch_size": 4,
        "learning_rate": 1e-2,
        "save_strategy": "epoch",
        "lr_scheduler": "constant",
        "save_every": 6,
        "logging_steps": 2,
        "held_out": 0,
        "warmup": 0,
    }
    return {"input": str(data), "model": str(model), "output": str(output), "adapter": ADAPTERS.get(adapter, adapter), **usual, **given}


def trained(data: Path, model: Path, output: Path, adapter: str, **given: Any) -> Any:
    return finetune(FinetuneConfig(**settings(data, model, output, adapter, **given)))


@pytest.fixture(scope="module")
def students(data: Path, base: Path) -> dict[str, Path]:
    """One of each kind."""
    torch.set_num_threads(1)
    for adapter in ADAPTERS:
        trained(data, base, data.parent / adapter, adapter)
    return {adapter: data.parent / adapter for adapter in ADAPTERS}


def begin(given: dict[str, Any]) -> "subprocess.Popen[str]":
    """In a process of its own."""
    elsewhere = {key: value for key, value in given.items() if key not in ("input", "output")}
    return start(Path(given["input"]), Path(given["output"]), **{"scratch": None, "micro_batch": None, **elsewhere})


def loaded(place: Path, dtype: str = "auto") -> Any:
    return load_model(str(place), "main", dtype, "cpu", False)[0]


def last(student: Path) -> Path:
    return find_checkpoints(student)[-1].path


@pytest.mark.slow
@pytest.mark.parametrize("adapter", ADAPTERS)
def test_training_changes_the_adapter_alone_and_the_loss_falls(data, base, tmp_path, monkeypatch, capsys, adapter):
    seen: list[Any] = []
    attach = KINDS[adapter].attach

    def watched(self: Any, model: Any, gradient_checkpointing: bool) -> None:
        seen.extend((model, hashes(model)))
        attach(self, model, gradient_checkpointing)

    monkeypatch.setattr(KINDS[adapter], "attach", watched)
    files = {path.name: path.read_bytes() for path in base.iterdir()}
    outcome = trained(data, base, tmp_path / "student", adapter)
    model, before = seen
    after = hashes(model)
    assert {name: after[name] for name in before} == before
    assert files == {path.name: path.read_bytes() for path in base.iterdir()}
    assert losses(tmp_path / "student")[-1] < losses(tmp_path / "student")[0] - 0.2
    facts = outcome.facts
    assert facts["trainable"] == sum(p.numel() for p in model.parameters() if p.requires_grad)
    share = f"{facts['trainable']:,} of {facts['parameters']:,} weights are trained ({facts['trainable'] / facts['parameters']:.2%})"
    assert f"adapter {adapter}: {share}" in capsys.readouterr().err


@pytest.mark.parametrize("adapter", ADAPTERS)
def test_a_checkpoint_holds_the_adapter_and_says_what_it_lies_over(students, base, adapter):
    folder = last(students[adapter])
    names = ["adapter_config.json", "adapter_model.safetensors", "complete.json", "tokenizer.json", "tokenizer_config.json"]
    assert sorted(path.name for path in folder.iterdir()) == [*names, "trainer_state.json"]
    facts = find_checkpoints(students[adapter])[-1].facts
    assert facts["adapter"]["name"] == adapter and facts["base"]["model"] == str(base)
    assert sum(weight.numel() for weight in load_file(folder / "adapter_model.safetensors").values()) == facts["trainable"]
    written = json.loads((folder / "adapter_config.json").read_text())
    assert written["base_model_name_or_path"] == str(base)
    assert written["peft_type"] == ("BOTTLENECK" if adapter == "bottleneck" else "LORA")
    assert read_context(str(students[adapter])) == 128 and read_tokenizer(str(students[adapter])).eos_token_id == 1


@pytest.mark.slow
@pytest.mark.parametrize("adapter", ADAPTERS)
def test_a_stopped_training_goes_on_to_the_same_weights(data, base, students, tmp_path, adapter):
    broken = tmp_path / adapter
    process = begin(settings(data, base, broken, adapter, logging_steps=1))
    wait_until(lambda: (broken / "metrics.jsonl").is_file(), process)
    process.send_signal(signal.SIGUSR1)
    said = process.communicate(timeout=60)[0]
    assert process.returncode == 128 + signal.SIGUSR1, said
    assert find_checkpoints(broken)[-1].step < 48
    trained(data, base, broken, adapter)
    assert (last(broken) / "adapter_model.safetensors").read_bytes() == (last(students[adapter]) / "adapter_model.safetensors").read_bytes()
    assert not list(broken.rglob("optimizer.pt"))


@pytest.mark.parametrize("adapter", ["lora", "bottleneck"])
def test_engines_write_with_the_adapter_in_place(students, base, adapter):
    def texts(place: Path) -> list[str]:
        engine = build(TransformersSettings(model=str(place)))
        found = {one.key: one.text for one in engine.complete((row["prompt"], Request(row["prompt"], 6)) for row in ROWS[:4])}
        return [found[row["prompt"]] for row in ROWS[:4]]

    assert all(" The answer is" in text for text in texts(students[adapter]))
    assert texts(base) != texts(students[adapter])


def test_what_was_trained_over_four_bits_is_loaded_over_them_unless_asked_otherwise(students):
    own, wide = loaded(last(students["qlora"])), loaded(last(students["qlora"]), "float32")
    layers = [model.model.layers[0].self_attn.q_proj.base_layer for model in (own, wide)]
    assert [type(layer).__name__ for layer in layers] == ["Linear4bit", "Linear"]
    assert layers[0].weight.quant_state.nested
    assert not torch.allclose(logits(own), logits(wide), atol=1e-2)


def test_evaluate_measures_every_checkpoint_and_knows_another_base(data, base, students, tmp_path):
    questions = tmp_path / "questions.jsonl"
    rows = [{"id": str(i), "answer": str(i + 1), "choices": [], "answer_rule": "number", **row} for i, row in enumerate(ROWS)]
    questions.write_text("".join(json.dumps(row) + "\n" for row in rows))
    asked = {"input": str(students["lora"]), "output": tmp_path / "scores", "tasks": ["questions"], "data": questions, "max_new_tokens": 6}
    done = evaluate(parse_config(EvaluateConfig, asked))
    assert done.counts["measured"] == len(find_checkpoints(students["lora"])) == 2
    assert evaluate(parse_config(EvaluateConfig, asked)).counts["measured"] == 0
    content = find_students(str(students["lora"]), "main", "last")[0].content
    shutil.copytree(students["lora"], tmp_path / "copy")
    assert find_students(str(tmp_path / "copy"), "main", "last")[0].content == content, "a copy is the same student"
    other = write_model(tmp_path / "other", seed=1)
    config = last(tmp_path / "copy") / "adapter_config.json"
    config.write_text(config.read_text().replace(str(base), str(other)))
    (last(students["lora"]).parent / "x").mkdir(exist_ok=True)
    seal = config.parent / "complete.json"
    seal.write_text(json.dumps({**json.loads(seal.read_text()), "files": {}, "sha256": {}}))
    assert find_students(str(config.parent), "main", "last")[0].content != content, "the base is a part of the student"


@pytest.mark.slow
@pytest.mark.parametrize("adapter", ["lora", "qlora", "bottleneck"])
def test_a_base_is_loaded_once_for_all_its_checkpoints_and_each_scores_as_when_measured_alone(students, tmp_path, monkeypatch, adapter):
    from teacherlm.engines.bodies import loading

    rows = [{"id": str(i), "answer": str(i + 1), "choices": [], "answer_rule": "number", **row} for i, row in enumerate(ROWS)]
    questions = tmp_path / "questions.jsonl"
    questions.write_text("".join(json.dumps(row) + "\n" for row in rows))
    read, whole = [], loading._load_whole
    monkeypatch.setattr(loading, "_load_whole", lambda place, *rest: read.append(place) or whole(place, *rest))

    def answers(place: Path, output: Path) -> dict[str, list[Any]]:
        asked = {"input": str(place), "output": output, "tasks": ["questions"], "data": questions, "max_new_tokens": 6}
        evaluate(parse_config(EvaluateConfig, asked))
        told = [row for _, row in read_jsonl(output / "results.jsonl") if row["metric"] == "acc"]
        return {row["checkpoint"]: [one["output"] for _, one in read_jsonl(output / row["predictions"])] for row in told}

    together = answers(students[adapter], tmp_path / "together")
    assert len(read) == 1 and len(together) == 2, "the base was read once"
    first, second = together.values()
    assert first != second, "they are different students"
    alone = [answers(found.path, tmp_path / found.path.name) for found in find_checkpoints(students[adapter])]
    assert len(read) == 3 and alone[0] | alone[1] == together


def test_a_base_that_has_changed_or_gone_is_one_clear_line_and_one_that_moved_along_is_found(data, tmp_path):
    project = tmp_path / "project"
    base = write_model(project / "base")
    trained(data, base, project / "student", "lora", epochs=1)
    expected = logits(loaded(last(project / "student")))
    project.rename(tmp_path / "moved")
    student = last(tmp_path / "moved" / "student")
    assert torch.equal(logits(loaded(student)), expected)
    write_model(tmp_path / "moved" / "base", seed=1)
    with pytest.raises(UserError, match=r"checkpoint-4: was trained over .*base, whose weights have changed since"):
        loaded(student)
    shutil.rmtree(tmp_path / "moved" / "base")
    with pytest.raises(UserError, match=r"checkpoint-4: is an adapter over .*/project/base, which is not there any more"):
        loaded(student)


@pytest.mark.parametrize("architecture", ARCHITECTURES)
def test_a_merged_lora_is_a_plain_folder_that_says_the_same(data, tmp_path, architecture):
    base = write_model(tmp_path / "base", architecture)
    trained(data, base, tmp_path / "student", "lora", epochs=2)
    merge(str(tmp_path / "student"), tmp_path / "merged")
    kind = AutoModelForSeq2SeqLM if architecture == "t5" else AutoModelForCausalLM
    whole = kind.from_pretrained(tmp_path / "merged", local_files_only=True)
    assert torch.allclose(logits(whole), logits(loaded(tmp_path / "student" / "checkpoint-8")), atol=1e-5)
    assert not list((tmp_path / "merged").glob("adapter*")) and (tmp_path / "merged" / "tokenizer.json").is_file()
    facts, own = read_checkpoint(tmp_path / "merged").facts, read_checkpoint(last(tmp_path / "student")).facts
    assert facts["train_on"] == own["train_on"] and facts["template"] == own["template"] and "adapter" not in facts
    assert {p.numel() for p in whole.parameters()} == {p.numel() for p in tiny_model(architecture, whole.config.vocab_size).parameters()}
    assert not torch.allclose(logits(whole), logits(read_model(str(base))), atol=1e-2)


def test_a_merged_qlora_is_the_numbers_that_its_four_bits_say(students, tmp_path):
    merge(str(students["qlora"]), tmp_path / "merged")
    whole, own = AutoModelForCausalLM.from_pretrained(tmp_path / "merged"), logits(loaded(last(students["qlora"])))
    assert "quantization_config" not in json.loads((tmp_path / "merged" / "config.json").read_text())
    apart = float((logits(whole) - own).abs().max())
    wide = float((logits(loaded(last(students["qlora"]), "float32")) - own).abs().max())
    rounding = float(own.abs().max()) * 2**-8  # of one bf16 sum; how a sum is taken apart differs from processor to processor
    assert apart < 8 * rounding and apart < wide / 3, "only the rounding of the bf16 sums is left"
    merge(str(students["qlora"]), tmp_path / "half", "bfloat16")
    assert AutoModelForCausalLM.from_pretrained(tmp_path / "half").dtype == torch.bfloat16


def test_a_training_that_starts_from_a_lora_starts_from_both(data, base, students, tmp_path):
    both, once = logits(loaded(last(students["lora"]))), read_model(str(students["lora"]))
    assert torch.allclose(logits(once), both, atol=1e-5)
    assert not any("lora" in name for name, _ in once.named_parameters())
    trained(data, students["lora"], tmp_path / "second", "lora", epochs=1)
    assert find_checkpoints(tmp_path / "second")[-1].facts["base"]["model"] == str(last(students["lora"]))
    twice = logits(loaded(last(tmp_path / "second")))
    assert not torch.allclose(twice, both, atol=1e-3)
    merge(str(tmp_path / "second"), tmp_path / "merged")
    assert torch.allclose(logits(AutoModelForCausalLM.from_pretrained(tmp_path / "merged")), twice, atol=1e-5)
    trained(data, students["lora"], tmp_path / "whole", "full", epochs=1)
    assert (last(tmp_path / "whole") / "model.safetensors").is_file()


def test_what_cannot_be_is_one_clear_line(data, base, students, tmp_path):
    with pytest.raises(UserError, match="a bottleneck adapter is not linear and cannot be merged"):
        merge(str(students["bottleneck"]), tmp_path / "merged")
    with pytest.raises(UserError, match="a bottleneck adapter is not linear and cannot be merged"):
        trained(data, students["bottleneck"], tmp_path / "out", "lora")
    with pytest.raises(UserError, match="is an adapter, over which qlora cannot work"):
        trained(data, students["lora"], tmp_path / "out", "qlora")
    with pytest.raises(UserError, match="holds a whole model, no adapter"):
        merge(str(base), tmp_path / "merged")
    with pytest.raises(UserError, match="is there already"):
        merge(str(students["lora"]), base)
    with pytest.raises(UserError, match="adapter lora does not go with scratch"):
        parse_config(FinetuneConfig, {"input": "x", "output": "y", "scratch": {}, "adapter": "lora"})
    with pytest.raises(UserError, match="adapter lora does not go with tensor_parallel"):
        parse_config(FinetuneConfig, {"input": "x", "output": "y", "model": "m", "tensor_parallel": 2, "adapter": "lora"})
    assert not (tmp_path / "merged").exists()


def test_engine_vllm_asks_for_a_merged_one(students, monkeypatch):
    monkeypatch.setattr(vllm, "find_spec", lambda name: name)
    with pytest.raises(UserError, match="is an adapter, which engine vllm does not read; `teacherlm merge` it"):
        vllm.build(vllm.VllmSettings(model=str(students["lora"])))


def test_the_originals_switches_choose_an_adapter(data, base, tmp_path):
    def chosen(*words: str) -> dict[str, Any]:
        code = (
            "import json, sys, typer; from teacherlm.options import stage_callback; from teacherlm.stages.finetune import STAGE\n"
            "app = typer.Typer()\n"
            "app.command()(stage_callback('finetune', STAGE, lambda n, s, c, overwrite: print(c.adapter.model_dump_json())))\n"
            "app(sys.argv[1:])"
        )
        usual = ["--input", str(data), "--model", str(base), "--output", str(tmp_path / "out")]
        done = subprocess.run([sys.executable, "-c", code, *usual, *words], capture_output=True, text=True, timeout=60)
        assert done.returncode == 0, done.stderr
        return dict(json.loads(done.stdout))

    assert chosen() == {"name": "full"}
    assert chosen("--train_lora", "--lora_rank", "4") == {"name": "lora", "rank": 4, "alpha": 32.0, "dropout": 0.1, "targets": []}
    found = chosen("--train_lora", "--use_qlora", "--lora_rank", "16", "--lora_alpha", "64")
    assert (found["name"], found["rank"], found["alpha"]) == ("qlora", 16, 64.0)


@pytest.mark.slow
def test_zero2_trains_an_adapter_in_two_processes_as_one_does(data, base, tmp_path):
    given = {"epochs": 2, "adapter": {**ADAPTERS["lora"], "dropout": 0.0}}
    outputs = {}
    for name, more in (("one", {}), ("two", {"processes": 2, "ds_config": "zero2"})):
        outputs[name] = tmp_path / name
        process = begin({**settings(data, base, outputs[name], "lora"), **given, **more})
        said = process.communicate(timeout=200)[0]
        assert process.returncode == 0, said
    assert losses(outputs["two"]) == pytest.approx(losses(outputs["one"]), abs=2e-5)
    one, two = (load_file(last(output) / "adapter_model.safetensors") for output in outputs.values())
    assert one.keys() == two.keys() and max(float((one[name] - two[name]).abs().max()) for name in one) < 2e-4


def test_an_adapter_over_a_model_that_nobody_else_has_is_not_uploaded(students, monkeypatch):
    """Its config would tell the world a path of this machine, and nobody could load it."""
    with pytest.raises(UserError, match="which only you have; `teacherlm merge` it"):
        _require_base_for_all(last(students["lora"]))
