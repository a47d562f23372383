"""GLUE through lm-eval's own tasks: what `prepare lm_eval:sst2` teaches is what `evaluate --tasks sst2` weighs."""

import json
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import pytest
import torch

from teacherlm.parsing import parse_config
from teacherlm.stages.evaluate import EvaluateConfig, evaluate
from teacherlm.stages.finetune import FinetuneConfig, finetune
from teacherlm.stages.prepare import PrepareConfig, prepare
from tests.enhanced_rows import dataset

SPEC = find_spec("lm_eval")
OWN = Path(SPEC.origin).parent / "tasks/glue/sst2" if SPEC and SPEC.origin else Path()
"""lm-eval's own file: named, so that it need not read all others first."""
GOOD, BAD = ("charming", "moving", "funny"), ("dull", "clumsy", "stale")


@pytest.fixture
def glue(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Hand-made rows in the published schema, where `load_dataset` finds them under the hub's name."""
    folder = tmp_path / "nyu-mll" / "glue"
    for split, count in (("train", 24), ("validation", 8)):
        rows = [{"sentence": f"a {(BAD, GOOD)[i % 2][i // 2 % 3]} film number {i} . ", "label": i % 2, "idx": i} for i in range(count)]
        (folder / "sst2").mkdir(parents=True, exist_ok=True)
        (folder / "sst2" / f"{split}.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    files = "\n".join(f"  - split: {split}\n    path: sst2/{split}.jsonl" for split in ("train", "validation"))
    (folder / "README.md").write_text(f"---\nconfigs:\n- config_name: sst2\n  data_files:\n{files}\n---\n")
    monkeypatch.chdir(tmp_path)
    return tmp_path


@pytest.mark.slow
def test_sst2_is_taught_and_measured_in_the_words_of_lm_eval(glue: Path) -> None:
    torch.set_num_threads(1)
    prepare(parse_config(PrepareConfig, {"dataset": {"name": "lm_eval:sst2", "include_path": [str(OWN)]}, "output": glue / "questions"}))
    first: dict[str, Any] = dataset(glue / "questions")["train"][0]
    assert first["text"] == "a dull film number 0 . \nQuestion: Is this sentence positive or negative?\nAnswer: negative"
    scratch = {"hidden_size": 32, "layers": 2, "heads": 2, "context": 64}
    recipe = {"train_on": "text", "epochs": 20, "batch_size": 8, "learning_rate": 5e-3, "save_strategy": "no"}
    finetune(parse_config(FinetuneConfig, {"input": glue / "questions", "output": glue / "student", "scratch": scratch, **recipe}))
    asked = {"input": str(glue / "student"), "tasks": ["sst2"], "include_path": [str(OWN)], "output": glue / "scores"}
    outcome = evaluate(parse_config(EvaluateConfig, asked))
    [(name, accuracy)] = [(name, value) for name, value in outcome.metrics.items() if name.endswith("sst2.acc")]
    assert accuracy == 1.0, name
