"""A training in two processes is the training in one: its losses, its weights, its stops. Real torchrun, gloo, DeepSpeed on CPUs."""

import json
import os
import signal
from pathlib import Path

import pytest
import torch
from trainings import finish, furthest, learnt, losses, start, wait_until, write_rows
from transformers import AutoModelForCausalLM, GPT2Config, LlamaConfig

from teacherlm.errors import UserError
from teacherlm.store.checkpoints import find_checkpoints, read_checkpoint
from teacherlm.store.manifest import read_manifest
from teacherlm.training.pretrained import _require_plan

FP32 = 2e-5
"""Two processes add the same numbers in another order, and steps carry that on."""
EPOCHS = 3


@pytest.fixture(scope="module")
def data(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_rows(tmp_path_factory.mktemp("data"))


@pytest.fixture(scope="module")
def alone(data: Path) -> Path:
    output = data.parent / "alone"
    finish(data, output, epochs=EPOCHS)
    return output


@pytest.mark.slow
@pytest.mark.parametrize(
    "ds_config", [None, *(pytest.param(name, marks=pytest.mark.long) for name in ("zero1", "zero3_offload")), "zero2", "zero3"]
)
def test_two_processes_have_the_losses_and_the_weights_of_one(data, alone, tmp_path, ds_config):
    output = tmp_path / "student"
    said = finish(data, output, epochs=EPOCHS, processes=2, ds_config=ds_config)
    assert losses(output) == pytest.approx(losses(alone), abs=FP32)
    assert furthest(output, alone) < 10 * FP32
    assert [c.step for c in find_checkpoints(output)] == [c.step for c in find_checkpoints(alone)]
    facts, expected = (find_checkpoints(run)[-1].facts for run in (output, alone))
    assert facts["trained_tokens"] == expected["trained_tokens"]
    assert facts["held_out_loss"] == pytest.approx(expected["held_out_loss"], abs=FP32)
    assert facts["state"] == (f"{ds_config.removesuffix('_offload')} x 2" if ds_config else "plain")
    folder, other = (find_checkpoints(run)[-1].path for run in (output, alone))
    assert sorted(p.name for p in folder.iterdir()) == sorted(p.name for p in other.iterdir())
    model = AutoModelForCausalLM.from_pretrained(folder)
    assert all(torch.isfinite(weight).all() and weight.numel() for weight in model.parameters())
    ours, theirs = read_manifest(output), read_manifest(alone)
    assert ours is not None and theirs is not None
    assert ours.fingerprint == theirs.fingerprint and ours.facts["parameters"] == theirs.facts["parameters"]
    assert said.count("33/33 steps") == 1, "only the first process speaks"


@pytest.mark.long
@pytest.mark.parametrize("ds_config", ["zero2", "zero3"])
def test_a_stop_and_a_kill_of_two_processes_leave_no_trace(data, tmp_path, ds_config):
    whole, broken = tmp_path / "whole", tmp_path / "broken"
    given = {"processes": 2, "ds_config": ds_config}
    finish(data, whole, **given)
    process = start(data, broken, **given)
    wait_until(lambda: len(list(broken.glob("checkpoint-*"))) > 1, process)
    process.send_signal(signal.SIGUSR1)
    said = process.communicate(timeout=60)[0]
    assert process.returncode == 128 + signal.SIGUSR1, said
    assert said.splitlines()[-1].startswith("teacherlm: broken: stopped by SIGUSR1 at step ")
    assert "Traceback" not in said
    at = find_checkpoints(broken)[-1]
    assert at.facts.get("bridge") or at.step % 12 == 0

    process = start(data, broken, **given)
    wait_until(lambda: (broken / f"checkpoint-{(at.step // 12 + 2) * 12}").exists(), process)
    process.kill()  # the one that started them: they end with it
    process.communicate()
    torn = find_checkpoints(broken)[-1].path
    state = next(torn.glob("global_step*/*optim_states.pt"))
    os.truncate(state, 100)
    assert read_checkpoint(torn) is None

    said = finish(data, broken, **given)
    assert f"{torn} is torn" in said
    weights, _, *others = learnt(broken)
    assert (weights, others) == (learnt(whole)[0], list(learnt(whole)[2:]))
    assert losses(broken) == pytest.approx(losses(whole), abs=1e-6)  # a row over a stop adds the processes' means, not their sums


@pytest.mark.slow
def test_another_number_of_processes_cannot_go_on_from_zero_states_and_says_so(data, tmp_path):
    output = tmp_path / "student"
    process = start(data, output, ds_config="zero2")
    wait_until(lambda: len(list(output.glob("checkpoint-*"))) > 0, process)
    process.send_signal(signal.SIGTERM)
    assert process.wait(timeout=60) == 143
    process = start(data, output, ds_config="zero2", processes=2)
    said = process.communicate(timeout=120)[0]
    assert process.returncode == 2
    assert "was written under zero2 x 1, and only the same can go on from it; this run has zero2 x 2" in said.splitlines()[-1]
    assert "Traceback" not in said
    assert json.loads((output / "job.json").read_text())["stage"] == "finetune", "what is there stays"


@pytest.mark.long
@pytest.mark.real
def test_a_model_cut_over_two_processes_is_trained_as_in_one_and_goes_on_after_a_stop(data, tmp_path, stories260k):
    alone, cut = tmp_path / "alone", tmp_path / "cut"
    given = {"scratch": None, "model": str(stories260k), "epochs": EPOCHS, "learning_rate": 3e-4}
    both = {**given, "processes": 2, "tensor_parallel": 2}
    finish(data, alone, **given)
    process = start(data, cut, **both)
    wait_until(lambda: len(list(cut.glob("checkpoint-*"))) > 0, process)
    process.send_signal(signal.SIGUSR1)
    said = process.communicate(timeout=60)[0]
    assert process.returncode == 128 + signal.SIGUSR1, said
    assert "continues from checkpoint-" in finish(data, cut, **both)
    assert losses(cut) == pytest.approx(losses(alone), abs=FP32)
    assert furthest(cut, alone) < 10 * FP32
    facts, expected = (find_checkpoints(run)[-1].facts for run in (cut, alone))
    assert facts["state"] == "tensor_parallel"
    assert facts["trained_tokens"] == expected["trained_tokens"]
    assert facts["held_out_loss"] == pytest.approx(expected["held_out_loss"], abs=FP32)
    AutoModelForCausalLM.from_pretrained(find_checkpoints(cut)[-1].path)


@pytest.mark.slow
@pytest.mark.real
def test_a_cut_that_does_not_fit_the_processes_is_one_clear_line(data, tmp_path, stories260k):
    process = start(data, tmp_path / "out", scratch=None, model=str(stories260k), tensor_parallel=2)
    said = process.communicate(timeout=60)[0]
    assert process.returncode == 2
    assert "tensor_parallel 2 needs 2 processes, and there are 1" in said.splitlines()[-1] and "Traceback" not in said
    process = start(data, tmp_path / "out", scratch=None, model=str(stories260k), tensor_parallel=2, ds_config="zero3")
    said = process.communicate(timeout=60)[0]
    assert process.returncode == 2 and "tensor_parallel 2 does not go with ds_config zero3: choose one of the two." in said


def test_what_transformers_cannot_cut_is_refused():
    with pytest.raises(UserError, match="m: transformers has no plan to cut a gpt2 over processes; use ds_config zero3"):
        _require_plan("m", GPT2Config(), 2)
    with pytest.raises(UserError, match="m: its num_key_value_heads 2 cannot be cut over tensor_parallel 4"):
        _require_plan("m", LlamaConfig(num_attention_heads=8, num_key_value_heads=2), 4)
    _require_plan("m", LlamaConfig(num_attention_heads=8, num_key_value_heads=2), 2)
