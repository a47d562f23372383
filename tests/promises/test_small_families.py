"""Students of each family from scratch, from published rows to answers; an encoder-decoder stopped and continued has the same weights."""

import os
import signal
import threading
import time
from pathlib import Path

import pytest
import torch
from trainings import SETTINGS, learnt, write_rows

from teacherlm.errors import Stopped
from teacherlm.parsing import parse_config
from teacherlm.stages.evaluate import EvaluateConfig, evaluate
from teacherlm.stages.finetune import FinetuneConfig, finetune
from teacherlm.stages.prepare import PrepareConfig, prepare
from teacherlm.store.checkpoints import find_checkpoints
from teacherlm.store.files import read_jsonl

ROWS = 32


@pytest.fixture(autouse=True)
def one_thread() -> None:
    torch.set_num_threads(1)


@pytest.fixture(scope="module")
def flips(test_data: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The first 32 of the published coin flips."""
    output = tmp_path_factory.mktemp("flips") / "prepare"
    source = test_data / "data" / "reasoning_teacher" / "dataset" / "coin_flip.json"
    prepare(parse_config(PrepareConfig, {"dataset": "coin_flip", "source": str(source), "limit": ROWS, "output": output}))
    return output


@pytest.mark.real
@pytest.mark.slow
@pytest.mark.parametrize("architecture", ["gpt2", pytest.param("t5", marks=pytest.mark.long)])
def test_two_random_layers_learn_32_coin_flips_by_heart(flips: Path, tmp_path: Path, architecture: str) -> None:
    student, scores = tmp_path / "student", tmp_path / "scores"
    taught = {
        "scratch": {"architecture": architecture, "hidden_size": 64, "layers": 2, "heads": 4, "context": 128},
        "train_on": "text",
        "epochs": 60,
        "batch_size": 8,
        "learning_rate": 3e-3,
        "save_strategy": "no",
    }
    finetune(FinetuneConfig(input=flips, output=student, **taught))
    asked = {"input": str(student), "tasks": "questions", "data": flips, "split": "train", "max_new_tokens": 12, "output": scores}
    evaluate(parse_config(EvaluateConfig, asked))
    (row,) = [row for _, row in read_jsonl(scores / "results.jsonl") if row["metric"] == "acc"]
    assert row["n"] == ROWS and row["value"] > 0.95
    examples = [row for _, row in read_jsonl((scores / row["predictions"]).with_name("predicted_examples.jsonl"))]
    assert sum(example["prediction"] == example["stated"] for example in examples) > 0.95 * ROWS, "to the letter"
    assert {example["stated"] for example in examples} == {" The answer is yes.", " The answer is no."}


T5 = {**SETTINGS, "scratch": {**SETTINGS["scratch"], "architecture": "t5"}}


@pytest.mark.slow
def test_an_encoder_decoder_that_was_stopped_ends_as_one_never_stopped(tmp_path: Path) -> None:
    data, whole, broken = write_rows(tmp_path), tmp_path / "whole", tmp_path / "broken"
    finetune(FinetuneConfig(**{**T5, "input": data, "output": whole}))

    def stop_after_two_checkpoints() -> None:
        while len(find_checkpoints(broken)) < 2:
            time.sleep(0.001)
        os.kill(os.getpid(), signal.SIGUSR1)

    threading.Thread(target=stop_after_two_checkpoints, daemon=True).start()
    with pytest.raises(Stopped):
        finetune(FinetuneConfig(**{**T5, "input": data, "output": broken}))
    assert find_checkpoints(broken)[-1].step < find_checkpoints(whole)[-1].step
    finetune(FinetuneConfig(**{**T5, "input": data, "output": broken}))
    assert learnt(broken) == learnt(whole)
