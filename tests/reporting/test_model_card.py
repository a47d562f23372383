"""The card of a student: read back by the hub's own library, made of what was measured, and with no markup of a model in it."""

import json
import re
from pathlib import Path
from typing import Any

import pytest
from finished_run import ATTACK, Run
from huggingface_hub import ModelCard
from tiny_models import write_model, write_rows

from teacherlm.launch.perform import perform
from teacherlm.parsing import parse_config
from teacherlm.reporting.base_licence import base_licence
from teacherlm.reporting.hub import plan_uploads
from teacherlm.reporting.model_card import model_card
from teacherlm.reporting.scores import Score
from teacherlm.stages.finetune import STAGE, FinetuneConfig
from teacherlm.stages.report import STAGE as REPORT
from teacherlm.stages.report import ReportConfig
from teacherlm.store.files import read_json, write_json
from teacherlm.store.manifest import Manifest, read_manifest, write_manifest


def trained(folder: Path, **settings: Any) -> Path:
    rows = write_rows(folder / "rows.jsonl")
    values = {"input": rows, "train_on": "text", "output": folder / "run" / "student", "epochs": 1, "batch_size": 8, "micro_batch": 8}
    perform("finetune", STAGE, parse_config(FinetuneConfig, {**values, **settings}))
    return folder / "run" / "student"


def test_a_finished_training_says_what_it_was(tmp_path: Path) -> None:
    base = write_model(tmp_path / "base")
    (base / "LICENSE").write_text("\n   Apache License\n   Version 2.0, January 2004\n")
    output = trained(tmp_path, model=str(base))
    text = (output / "README.md").read_text()
    card = ModelCard(text)
    front = card.data.to_dict()
    assert (front["license"], front["library_name"], front["pipeline_tag"]) == ("apache-2.0", "transformers", "text-generation")
    assert "base_model" not in front and "model-index" not in front, "its base is a folder, and nothing was measured"
    manifest = read_manifest(output)
    assert manifest is not None
    assert f"| train loss | {manifest.metrics['train_loss']:.6g} |" in text
    assert f"| trained tokens | {manifest.facts['trained_tokens']} |" in text
    assert "| objective | sft |" in text and "| trained | 16 |" in text
    assert "Q: How many legs has a spider? A:" in text and "AutoModelForCausalLM.from_pretrained" in text
    assert "Nothing was measured yet" in text and "teacherlm generate --model FOLDER" in text
    assert str(tmp_path) not in text.partition("## How to make it again")[0]


@pytest.mark.parametrize(("adapter", "loader"), [("lora", "AutoPeftModelForCausalLM"), ("bottleneck", "")])
def test_an_adapter_says_how_it_is_loaded(tmp_path: Path, adapter: str, loader: str) -> None:
    base = write_model(tmp_path / "base")
    text = (trained(tmp_path, model=str(base), adapter=adapter) / "README.md").read_text()
    assert (f"from peft import {loader}" in text) == bool(loader) and ("```python" in text) == bool(loader)
    assert "| base model | unknown |" in text and ModelCard(text).data.license == "unknown"
    assert f'"name": "{adapter}"' in text.replace("\\", "") or f"| adapter | {adapter}" in text


def test_a_report_puts_what_was_measured_into_the_cards_and_push_takes_it(tmp_path: Path) -> None:
    outputs = Run(tmp_path / "run", questions=100, seeds=(0,)).write()
    runs = sorted((tmp_path / "run" / "finetune").iterdir())
    before = {path: path.read_bytes() for run in runs for path in run.rglob("*") if path.is_file()}
    report = tmp_path / "run" / "report"
    perform("report", REPORT, parse_config(ReportConfig, {"input": outputs, "output": report}))
    assert {path: path.read_bytes() for run in runs for path in run.rglob("*") if path.is_file()} == before
    assert sorted(path.name for path in (report / "cards").glob("*.md")) == ["tiny-cot_head-0.md", "tiny-cot_tail-0.md", "tiny-text-0.md"]

    card = ModelCard.load(report / "cards" / "tiny-cot_head-0.md")
    [result] = card.data.eval_results
    rows = [json.loads(line) for line in (tmp_path / "run" / "evaluate" / "tiny-cot_head-0" / "results.jsonl").read_text().splitlines()]
    value = next(row["value"] for row in rows if row["checkpoint"] == "checkpoint-600")
    assert (result.dataset_name, result.metric_type, result.metric_value) == ("word_problems", "accuracy", value)
    z, n = 1.959963984540054, 100
    middle, half = (value + z * z / 2 / n) / (1 + z * z / n), z / (1 + z * z / n) * (value * (1 - value) / n + z * z / 4 / n**2) ** 0.5
    assert f"| {value:.4f} | {middle - half:.4f} to {middle + half:.4f} | 100 |" in card.content
    assert "| postprocess | 753 | 43 |" in card.content and "base/model" in card.content

    (uploaded,) = _uploaded(tmp_path / "run", runs[0])
    assert ModelCard(uploaded).data.eval_results == card.data.eval_results


def _uploaded(run: Path, student: Path) -> list[str]:
    """Its card as `push` would send it, with something in the checkpoint to send."""
    for path in run.rglob("manifest.json"):  # as though each was made from the others as they are
        manifest = read_json(path)
        known = {name: read_manifest(Path(name)) for name in manifest["inputs"]}
        marks = {
            name: one.fingerprint if one else mark for (name, mark), one in zip(manifest["inputs"].items(), known.values(), strict=True)
        }
        write_json(path, {**manifest, "inputs": marks})
    for checkpoint in run.glob("finetune/*/checkpoint-600"):
        (checkpoint / "model.safetensors").write_bytes(b"x")
    name = f"-{student.name}"
    return [upload.card for upload in plan_uploads(run, "me/x", "models") if upload.name.endswith(name)]


def test_a_newer_report_wins_and_one_of_an_older_training_says_nothing(tmp_path: Path) -> None:
    outputs = Run(tmp_path / "run", questions=20, seeds=(0,)).write()
    for number, name in enumerate(("report", "later")):
        perform("report", REPORT, parse_config(ReportConfig, {"input": outputs, "output": tmp_path / "run" / name}))
        manifest = read_json(tmp_path / "run" / name / "manifest.json")
        write_json(tmp_path / "run" / name / "manifest.json", {**manifest, "ended": f"2030-01-0{2 - number}"})
    scores = tmp_path / "run" / "report" / "cards" / "scores.json"
    newest = read_json(scores)
    mark = "print of finetune/tiny-text-0"
    newest[mark][0]["value"] = 0.125
    write_json(scores, newest)
    (card,) = _uploaded(tmp_path / "run", tmp_path / "run" / "finetune" / "tiny-text-0")
    assert [one.metric_value for one in ModelCard(card).data.eval_results] == [0.125]
    newest[f"{mark}, before"] = newest.pop(mark)
    write_json(scores, newest)
    (tmp_path / "run" / "later" / "cards" / "scores.json").unlink()
    (card,) = _uploaded(tmp_path / "run", tmp_path / "run" / "finetune" / "tiny-text-0")
    assert ModelCard(card).data.eval_results is None


def test_no_text_of_a_model_becomes_markup(tmp_path: Path) -> None:
    evil = f"x\n---\nlicense: mit\n---\n# {ATTACK} [a](javascript:b)"
    own = Manifest("finetune", 1, "f", {"train_on": evil, "model": None, "seed": 0}, {}, {"student": evil}, facts={"student": evil})
    text = model_card(None, own, evil, evil, [Score(evil, evil, 0.5, 0.4, 0.6, 10)])
    card = ModelCard(text)
    assert card.data.license is None and card.data.eval_results[0].dataset_name == evil
    assert "\\<script" in card.text and not re.search(r"(?<!\\)<script|(?<!\\)\]\(", card.text)


def test_of_a_metric_that_is_no_share_there_is_no_interval() -> None:
    own = Manifest("finetune", 1, "f", {"train_on": "text"}, {})
    text = model_card(None, own, "s", "", [Score("regression", "rmse", 0.25, None, None, 10)])
    assert "| regression | rmse | 0.2500 |  | 10 |" in text


def test_where_the_licence_of_a_base_is_read(tmp_path: Path) -> None:
    def folder(name: str, **files: str) -> str:
        (tmp_path / name).mkdir()
        for file, text in files.items():
            (tmp_path / name / file.replace("_md", ".md")).write_text(text)
        return str(tmp_path / name)

    assert base_licence(folder("card", README_md="---\nlicense: MIT\n---\nx", LICENSE="Apache License\nVersion 2.0")) == "mit"
    assert base_licence(folder("text", LICENSE="MIT License\n\nCopyright")) == "mit"
    assert base_licence(folder("own", LICENSE="You may look at it.")) == "other"
    assert base_licence(folder("odd", README_md="---\nlicense: [not, closed\n---\n")) == "unknown"
    assert base_licence(folder("none")) == "unknown" and base_licence("nobody/nothing-at-all") == "unknown"


@pytest.mark.slow
def test_a_student_of_a_student_stands_under_the_licence_of_its_base(tmp_path: Path) -> None:
    base = write_model(tmp_path / "base")
    (base / "LICENSE").write_text("MIT License\n")
    first = trained(tmp_path, model=str(base))
    (tmp_path / "second").mkdir()
    second = trained(tmp_path / "second", model=str(first))
    assert ModelCard((second / "README.md").read_text()).data.license == "mit"


def test_the_card_of_a_student_behind_an_api_says_where_it_lives(tmp_path: Path) -> None:
    own = Manifest(
        "finetune", 1, "f", {"train_on": "text", "model": "gpt-x", "backend": {"name": "openai"}}, {}, facts={"model": "ft:gpt-x::1"}
    )
    write_manifest(tmp_path / "s", own)
    text = model_card(None, own, "s")
    assert "It lives behind an API, where it is called ft:gpt" in text.replace("\\", "") and "```python" not in text
    assert "base_model" not in ModelCard(text).data.to_dict()
