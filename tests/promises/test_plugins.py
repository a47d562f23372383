"""A folder of the user's is searched like the rooms: a dataset, an engine, an objective, a gate without touching the package."""

import json
import subprocess
import sys
from pathlib import Path

import pytest
import yaml

PLUGINS = Path(__file__).resolve().parent.parent / "plugins"
SCRATCH = {"hidden_size": 16, "layers": 1, "heads": 2, "context": 64}


def run(tmp_path: Path, steps: list, **top: object) -> subprocess.CompletedProcess[str]:
    (tmp_path / "p.yaml").write_text(yaml.safe_dump({"run_dir": str(tmp_path / "run"), "steps": steps, **top}, sort_keys=False))
    command = [sys.executable, "-m", "teacherlm.cli", "run", str(tmp_path / "p.yaml")]
    return subprocess.run(command, capture_output=True, text=True, timeout=300)


def steps(**objective: object) -> list:
    return [
        {"prepare": {"dataset": {"name": "colours", "repeat": 3}}},
        {"enhance": {"teacher": "echo", "kinds": ["cot"]}},
        {"postprocess": {}},
        {"finetune": {"scratch": SCRATCH, "train_on": "cot_head", "epochs": 1, "batch_size": 12, "save_strategy": "no", **objective}},
    ]


@pytest.mark.slow
def test_a_dataset_an_engine_and_an_objective_of_a_plugin_folder_make_a_pipeline(tmp_path: Path) -> None:
    losses = {}
    for name in ("sft", "sft_halved"):
        (tmp_path / name).mkdir()
        done = run(tmp_path / name, steps(objective=name), plugins=[str(PLUGINS)])
        assert done.returncode == 0, done.stderr
        losses[name] = json.loads((tmp_path / name / "run/finetune/manifest.json").read_text())["metrics"]["train_loss"]
    assert abs(losses["sft_halved"] * 2 - losses["sft"]) < 1e-3
    [row, *_] = map(json.loads, (tmp_path / "sft/run/enhance/COLOURS_cot.jsonl").read_text().splitlines())
    assert row["cot"] == " " + row["cot_text"][-20:]


def test_without_the_folder_they_are_not_known(tmp_path: Path) -> None:
    done = run(tmp_path, steps())
    assert done.returncode == 2
    assert "prepare: dataset: No dataset named 'colours'." in done.stderr


@pytest.mark.slow
def test_a_gate_of_a_plugin_folder_drops_rows_with_its_settings(tmp_path: Path) -> None:
    chain = [*steps()[:2], {"postprocess": {"verify": [{"name": "shouting", "marks": 3}], "measure": ["agreement"]}}]
    chain[1] = {"enhance": {"teacher": {"name": "scripted", "reply": "Red! Red! Red!"}, "kinds": ["cot"], "limit": 2}}
    done = run(
        tmp_path,
        [*chain, {"postprocess": {"name": "calmly", "input": "$enhance", "verify": [{"name": "shouting", "marks": 4}]}}],
        plugins=[str(PLUGINS)],
    )
    assert "none of 2 rows is left (gate shouting: cot is loud: 2)" in done.stderr
    funnel = json.loads((tmp_path / "run/calmly/manifest.json").read_text())["facts"]["funnel"]
    assert funnel == {"questions in": 2, "unusable": 0, "shouting": {"loud": 0, "calm": 2}, "kept": 2}
