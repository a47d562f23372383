"""Whole trainings with a teacher: they reach its answers, go on after a stop, and refuse what cannot work."""

import json
import os
import signal
import threading
import time
from pathlib import Path
from typing import Any

import pytest
import torch
from pydantic import ValidationError
from trainings import SETTINGS, finish, furthest, learnt, losses, write_rows
from transformers import AutoModelForCausalLM, AutoModelForSeq2SeqLM, AutoTokenizer

from teacherlm.engines.bodies import loading
from teacherlm.errors import Stopped, UserError
from teacherlm.stages.finetune import FinetuneConfig, finetune
from teacherlm.store.checkpoints import resolve_model
from teacherlm.training import teacher_cache

KD: dict[str, Any] = {"name": "distill", "temperature": 2.0, "sft_weight": 0.2}
CACHED: dict[str, Any] = {**KD, "divergence": "jsd", "beta": 0.3, "top_k": 5, "cache_teacher": True}
GKD: dict[str, Any] = {"name": "on_policy", "lambda": 0.5, "max_new_tokens": 12}


@pytest.fixture(scope="module")
def data(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_rows(tmp_path_factory.mktemp("data"))


@pytest.fixture(scope="module")
def teacher(data: Path) -> Path:
    output = data.parent / "teacher"
    go(data, output, epochs=1, scratch={"hidden_size": 32, "layers": 1, "heads": 2, "context": 64})
    return output


def go(data: Path, output: Path, **given: Any) -> Any:
    return finetune(FinetuneConfig(**{**SETTINGS, "input": data, "output": output, **given}))


def go_on_after_stops(data: Path, output: Path, **given: Any) -> int:
    """Stopped twice by a real signal; how often it was."""
    stops = 0
    for rows in (3, 12):
        file = output / "metrics.jsonl"

        def watch(rows: int = rows, file: Path = file) -> None:
            while not file.is_file() or file.read_bytes().count(b"\n") < rows:
                time.sleep(0.001)
            os.kill(os.getpid(), signal.SIGUSR1)

        threading.Thread(target=watch, daemon=True).start()
        with pytest.raises(Stopped):
            go(data, output, **given)
        stops += 1
    go(data, output, **given)
    return stops


@pytest.mark.slow
@pytest.mark.parametrize("objective", [KD, CACHED, GKD], ids=["distill", "cached", "on_policy"])
def test_a_training_that_was_stopped_ends_with_the_weights_of_one_that_was_not(data, teacher, tmp_path, objective):
    given = {"objective": {**objective, "teacher": str(teacher)}}
    go(data, tmp_path / "whole", **given)
    assert go_on_after_stops(data, tmp_path / "broken", **given) == 2
    whole, broken = learnt(tmp_path / "whole"), learnt(tmp_path / "broken")
    assert whole == broken
    assert whole[2]["objective"] == objective["name"]


@pytest.mark.slow
def test_no_teacher_lies_in_a_checkpoint_and_its_choice_is_part_of_the_fingerprint(data, teacher, tmp_path):
    go(data, tmp_path / "student", epochs=1, objective={**KD, "teacher": str(teacher)})
    weights = AutoModelForCausalLM.from_pretrained(resolve_model(str(tmp_path / "student"))).num_parameters()
    assert weights < AutoModelForCausalLM.from_pretrained(resolve_model(str(teacher))).num_parameters() / 2
    plain = go(data, tmp_path / "plain", epochs=1)
    assert losses(tmp_path / "plain") != losses(tmp_path / "student")
    assert plain.facts["train_on"] == "text"


@pytest.mark.slow
def test_a_cached_teacher_is_asked_once_for_all_students_and_its_losses_are_those_of_one_in_memory(data, teacher, tmp_path, monkeypatch):
    monkeypatch.setenv("TEACHERLM_CACHE", str(tmp_path / "cache"))
    objective = {**CACHED, "teacher": str(teacher)}
    go(data, tmp_path / "live", epochs=1, objective={**objective, "cache_teacher": False})
    go(data, tmp_path / "cached", epochs=1, objective=objective)
    assert losses(tmp_path / "cached") == pytest.approx(losses(tmp_path / "live"), rel=2e-3)
    monkeypatch.setattr(loading, "load_model", lambda *_: pytest.fail("the teacher was loaded"))
    go(data, tmp_path / "again", epochs=1, objective=objective)
    assert losses(tmp_path / "again") == losses(tmp_path / "cached")
    go(data, tmp_path / "other", epochs=1, seed=7, objective={**objective, "beta": 0.9})  # other rows are held out
    with pytest.raises(pytest.fail.Exception):
        go(data, tmp_path / "colder", epochs=1, objective={**objective, "temperature": 1.0})


@pytest.mark.slow
def test_a_cache_that_was_being_written_goes_on_behind_its_last_part(data, teacher, tmp_path, monkeypatch):
    monkeypatch.setenv("TEACHERLM_CACHE", str(tmp_path / "cache"))
    monkeypatch.setattr(teacher_cache, "PART", 10)
    objective = {**CACHED, "teacher": str(teacher)}
    go(data, tmp_path / "first", epochs=1, objective=objective)
    parts = sorted((tmp_path / "cache" / "teachers").rglob("*.safetensors"))
    assert len(parts) == 5
    times = {part: part.stat().st_mtime_ns for part in parts}
    whole = parts[2].read_bytes()
    parts[2].unlink()
    go(data, tmp_path / "second", epochs=1, objective=objective)
    assert parts[2].read_bytes() == whole
    assert [part for part in parts if part.stat().st_mtime_ns != times[part]] == [parts[2]]
    assert losses(tmp_path / "first") == losses(tmp_path / "second")


@pytest.mark.long
@pytest.mark.parametrize(
    ("objective", "ds_config"), [(CACHED, None), (KD, "zero3"), (GKD, "zero2")], ids=["cached", "distill zero3", "on_policy zero2"]
)
def test_two_processes_have_the_losses_and_the_weights_of_one(data, teacher, tmp_path, monkeypatch, objective, ds_config):
    monkeypatch.setenv("TEACHERLM_CACHE", str(tmp_path / "cache"))
    given = {"epochs": 3, "objective": {**objective, "teacher": str(teacher)}}
    finish(data, tmp_path / "two", processes=2, ds_config=ds_config, **given)
    finish(data, tmp_path / "alone", **given)
    assert losses(tmp_path / "two") == pytest.approx(losses(tmp_path / "alone"), abs=2e-5)
    assert furthest(tmp_path / "two", tmp_path / "alone") < 2e-4


@pytest.mark.parametrize(
    ("given", "said"),
    [
        ({"name": "distill", "divergence": "reverse_kl", "beta": 0.2}, "beta 0.2 is for divergence jsd; reverse_kl has none"),
        ({"name": "distill", "cache_teacher": True}, "set top_k too"),
        ({"name": "on_policy", "lambda": 0.5, "lmbda": 0.5}, "lambda and lmbda are the same; give one"),
    ],
)
def test_settings_that_contradict_each_other_are_refused(data, tmp_path, given, said):
    with pytest.raises((UserError, ValidationError), match=said):
        FinetuneConfig(input=data, scratch=SETTINGS["scratch"], output=tmp_path, objective={**given, "teacher": "owner/model"})


def test_a_teacher_of_another_vocabulary_is_refused(data, teacher, tmp_path):
    other = tmp_path / "other.jsonl"
    other.write_text(json.dumps({"prompt": "Q: why? A:", "text": "Q: why? A: It is so."}) + "\n")
    with pytest.raises(UserError, match=r"teacher: the teacher knows \d+ tokens and the student \d+, so their logits cannot be compared"):
        go(other, tmp_path / "student", held_out=0, objective={**KD, "teacher": str(teacher)})
    renamed = tmp_path / "renamed.jsonl"
    renamed.write_text(data.read_text().replace("answer", "wasner"))
    for objective in (KD, GKD):
        with pytest.raises(UserError, match=r"token \d+ is '.answer' to the teacher and '.+' to the student, so their logits cannot"):
            go(renamed, tmp_path / "student", objective={**objective, "teacher": str(teacher)})
    assert not list(tmp_path.glob("student/checkpoint-*"))


def test_a_teacher_of_another_kind_and_a_student_without_prompts_are_refused(data, teacher, tmp_path):
    scratch = {**SETTINGS["scratch"], "architecture": "t5"}
    with pytest.raises(UserError, match="the teacher is a decoder-only model and the student an encoder-decoder"):
        go(data, tmp_path / "student", scratch=scratch, objective={**KD, "teacher": str(teacher)})
    with pytest.raises(UserError, match="loss_on: all does not go with on_policy"):
        go(data, tmp_path / "student", loss_on="all", objective={**GKD, "teacher": str(teacher)})


def coin_flips(folder: Path) -> Path:
    """32 rows to be learnt by heart: told apart by their numbers."""
    rows = []
    for i in range(32):
        flips = [i >> k & 1 for k in range(3)]
        told = " ".join(f"{name} {'flips' if flip else 'keeps'} it ." for name, flip in zip(("Ann", "Bob", "Cid"), flips, strict=True))
        prompt = f"Q: coin {i} is heads up . {told} Is it still ? A:"
        rows.append({"prompt": prompt, "text": f"{prompt} {sum(flips)} flips of coin {i} , so {'no' if sum(flips) % 2 else 'yes'} ."})
    path = folder / "coins.jsonl"
    path.write_text("".join(json.dumps(row) + "\n" for row in rows))
    return path


def right_answers(student: Path, data: Path, architecture: str) -> int:
    place = resolve_model(str(student))
    kind = AutoModelForSeq2SeqLM if architecture == "t5" else AutoModelForCausalLM
    model, tokenizer = kind.from_pretrained(place).eval(), AutoTokenizer.from_pretrained(place)
    right = 0
    for row in map(json.loads, data.read_text().splitlines()):
        ids = torch.tensor([tokenizer(row["prompt"])["input_ids"]])
        written = model.generate(ids, max_new_tokens=12, do_sample=False, eos_token_id=tokenizer.eos_token_id)[0]
        said = tokenizer.decode(written, skip_special_tokens=True)
        right += said.removeprefix(row["prompt"]).split() == row["text"].removeprefix(row["prompt"]).split()
    return right


BY_HEART: dict[str, Any] = {
    "batch_size": 8,
    "learning_rate": 5e-3,
    "lr_scheduler": "linear",
    "save_strategy": "no",
    "held_out": 0.0,
    "epochs": 120,
}


@pytest.fixture(scope="module", params=["gpt2", "t5"])
def knowing(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> tuple[str, Path, Path]:
    """(architecture, rows, a teacher that knows them by heart)."""
    folder = tmp_path_factory.mktemp(request.param)
    data, scratch = coin_flips(folder), {"layers": 2, "heads": 2, "context": 64, "hidden_size": 48, "architecture": request.param}
    go(data, folder / "teacher", **BY_HEART, scratch=scratch)
    assert right_answers(folder / "teacher", data, request.param) == 32
    return request.param, data, folder / "teacher"


@pytest.mark.long
@pytest.mark.parametrize("objective", [{"name": "distill"}, {**GKD, "lambda": 0.3, "beta": 0.0}], ids=["distill", "on_policy"])
def test_students_reach_the_answers_of_a_teacher_that_knows_its_rows_by_heart(knowing, tmp_path, objective):
    architecture, data, teacher = knowing
    scratch = {"layers": 2, "heads": 2, "context": 64, "hidden_size": 48, "architecture": architecture}
    longer = {**BY_HEART, "epochs": 240}  # with the teacher's 120 some seeds are still on their way: 29 to 32 right
    go(data, tmp_path, **longer, scratch=scratch, objective={**objective, "teacher": str(teacher)})
    assert right_answers(tmp_path, data, architecture) >= 31
