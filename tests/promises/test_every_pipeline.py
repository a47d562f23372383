"""The pipelines of the source systems, each on a few rows of the published files with a tiny real model, by `--set` alone."""

import json
import random
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

pytestmark = [pytest.mark.slow, pytest.mark.real, pytest.mark.timeout(900)]


def run_pipeline(name: str, run: Path, *settings: str) -> dict[str, Any]:
    """Runs a shipped pipeline; returns its report."""
    words = [word for setting in (f"run_dir={run}", *settings) for word in ("--set", setting)]
    done = subprocess.run([sys.executable, "-m", "teacherlm.cli", "run", name, "--jobs", "2", *words], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr[-4000:]
    report: dict[str, Any] = json.loads((run / "report/report.json").read_text())
    assert (run / "report/report.html").is_file()
    return report


def small(model: Path, *train_on: str) -> list[str]:
    """A tiny student, one epoch over few rows."""
    told = {
        "model": model,
        "precision": "fp32",
        "epochs": 1,
        "batch_size": 8,
        "max_source_length": 512,
        "gradient_checkpointing": "false",
        "held_out": 0.1,
        "matrix.seed": "[0]",
    }
    return [f"finetune.{key}={value}" for key, value in told.items()] + ([f"finetune.matrix.train_on={list(train_on)}"] if train_on else [])


def taught(model: Path, *ways: str) -> list[str]:
    return [f"enhance.teacher.model={model}", "enhance.teacher.dtype=float32", "enhance.max_new_tokens=16", "postprocess.verify=[]", *ways]


def measured(*steps: str, limit: int = 12, tokens: int = 8) -> list[str]:
    keys = {"limit": limit, "max_new_tokens": tokens, "checkpoints": "last"}
    return [f"{step}.{key}={value}" for step in steps for key, value in keys.items()]


@pytest.mark.parametrize(
    ("name", "source", "more", "split"),
    [
        ("ecqa", "ecqa", ["prepare.split=validation", "prepare.decontaminate=[]", "prepare.on_bad_row=drop"], "validation"),
        pytest.param("strategyqa", "strategyqa/train.json", [], "test", marks=pytest.mark.long),
        pytest.param("mmlu", "mmlu", ["prepare.split=test", "prepare.decontaminate=[]"], "test", marks=pytest.mark.long),
    ],
)
def test_a_dataset_with_choices_is_taught_and_measured(
    name: str, source: str, more: list[str], split: str, tmp_path: Path, test_data: Path, stories260k: Path
) -> None:
    settings = [f"prepare.source={test_data / 'data' / source}", "prepare.limit=40", *more]
    settings += taught(stories260k, "enhance.kinds=[cot]") + small(stories260k, "text", "cot_head")
    settings += [*measured("evaluate", "untrained"), f"untrained.input={stories260k}"]
    settings += [f"{step}.split={split}" for step in ("evaluate", "untrained")]
    report = run_pipeline(name, tmp_path / "run", *settings)
    assert {row["task"] for row in report["rows"]} == {"questions_letters", "questions"}
    assert {row["trained_on"] for row in report["rows"]} == {"untrained", "text", "cot_head"}
    assert {row["n"] for row in report["rows"]} == {12}


@pytest.mark.long
def test_students_of_each_kind_and_of_all_kinds_are_set_against_the_label(tmp_path: Path, creak: Path, stories260k: Path) -> None:
    settings = [f"prepare.source={creak}", "prepare.limit=40", *taught(stories260k), *small(stories260k)]
    settings = [one for one in settings if not one.startswith("finetune.epochs")] + ["finetune.epochs=3"]
    settings += ["finetune.matrix.train_on.all_kinds.epochs=1", f"untrained.input={stories260k}"]
    settings += [f"{step}.{key}={value}" for step in ("evaluate", "untrained") for key, value in {"limit": 12, "data": creak}.items()]
    report = run_pipeline("ablation", tmp_path / "run", *settings)
    kinds = ["cot_tail", "error_tail", "fundamental_tail", "all_kinds"]
    assert {row["trained_on"] for row in report["rows"]} == {"untrained", "text", *kinds}
    assert {row["candidate"] for row in report["comparisons"] if row["baseline"] == "text"} >= set(kinds)
    rows = {kind: json.loads((tmp_path / f"run/finetune/{kind}-0/manifest.json").read_text())["counts"]["rows"] for kind in kinds}
    assert rows["all_kinds"] == 3 * rows["cot_tail"] == 120


@pytest.mark.long
def test_students_of_parts_of_the_questions_make_a_curve(tmp_path: Path) -> None:
    words = "dataset={name: word_problems, textbook: 200, practice: 80, test: 20}"
    less = [f"textbook.{words}", f"questions.{words}", "teacher.epochs=1", "enhance.max_new_tokens=32", "postprocess.verify=[]"]
    once = {"text": {"train_on": "text", "epochs": 1}, "cot_head": {"train_on": "cot_head", "epochs": 1}}
    settings = [*less, f"students.matrix.train_on={json.dumps(once)}", "evaluate.max_new_tokens=16"]
    run_pipeline("sample_efficiency", tmp_path / "run", *settings)
    counts = {
        part: json.loads((tmp_path / f"run/students/text-{part}-0/manifest.json").read_text())["counts"]["rows"]
        for part in ("12.5%", "25%", "50%", "100%")
    }
    assert counts == {"12.5%": 10, "25%": 20, "50%": 40, "100%": 80}


@pytest.mark.long
def test_fine_tune_cot_solves_keeps_what_is_right_and_reasons_first(tmp_path: Path, test_data: Path, stories260k: Path) -> None:
    source = test_data / "data/reasoning_teacher/dataset/multiarith.json"
    settings = ["prepare.dataset=multiarith", f"prepare.source={source}", "prepare.limit=40", *taught(stories260k)]
    settings += small(stories260k, "text", "cot_head") + measured("evaluate", "untrained") + [f"untrained.input={stories260k}"]
    report = run_pipeline("fine_tune_cot", tmp_path / "run", *settings)
    assert {row["n"] for row in report["rows"]} == {12}
    [file] = (tmp_path / "run/prepare").glob("*.jsonl")
    row = json.loads(file.read_text().splitlines()[0])
    assert row["prompt"].endswith(" ###")


def test_a_mix_of_instructions_is_taught_in_blocks(tmp_path: Path, test_data: Path, stories260k: Path) -> None:
    data = test_data / "data"
    mix = {
        "gsm8k": {"source": str(data / "gsm8k/train.jsonl"), "size": "0.5%"},
        "alpaca": {"source": str(data / "alpaca/alpaca_5000.json"), "size": 20},
    }
    settings = [f"prepare.mix={json.dumps(mix)}", "prepare.on_bad_row=drop", "prepare.decontaminate=[]", *small(stories260k)[:-1]]
    settings += ["finetune.lr_scheduler=linear"]
    task = [f"{step}.tasks=[creak]" for step in ("evaluate", "untrained")]
    local = [f"{step}.data={data / 'creak'}" for step in ("evaluate", "untrained")]
    report = run_pipeline(
        "instruction_mix",
        tmp_path / "run",
        *settings,
        *task,
        *local,
        *measured("evaluate", "untrained"),
        "evaluate.allow_template_mismatch=true",
        f"untrained.input={stories260k}",
    )
    assert {row["n"] for row in report["rows"]} == {12}
    file = tmp_path / "run/prepare/MIX.jsonl"
    rows = [json.loads(line) for line in file.read_text().splitlines()]
    assert {row["dataset"] for row in rows} == {"gsm8k", "alpaca"}
    assert all(row["prompt"].startswith("### ") for row in rows)


def test_prompts_and_completions_are_taught_as_they_are(tmp_path: Path, stories260k: Path) -> None:
    file = tmp_path / "counting.json"
    rows = [{"prompt": " ".join(str(n)), "completion": " ".join(str(n + 1)), "orig": n} for n in range(60)]
    file.write_text(json.dumps({"train": rows[:48], "eval": rows[48:]}))
    settings = [f"prepare.source={file}", *small(stories260k)]
    report = run_pipeline("prompt_completion", tmp_path / "run", *settings, *measured("evaluate"))
    assert {row["n"] for row in report["rows"]} == {12}
    [overlap] = report["overlaps"]
    assert (overlap["task"], overlap["trained_on"], overlap["questions"], overlap["exact"]) == ("questions", "text", 12, 0)


@pytest.mark.long
@pytest.mark.timeout(1800)
def test_a_tiny_student_that_reasons_first_knows_how_the_published_coins_lie(tmp_path: Path, test_data: Path) -> None:
    """Fine-tune-CoT's GPT-2 (124M, 350 training rows) has 77.3% here, its model of 6.7B 98.7%; ours learns from generated flips."""
    source = test_data / "data/reasoning_teacher/dataset/coin_flip.json"
    report = run_pipeline("coin_flip", tmp_path / "run", f"published.source={source}")
    students = {row["trained_on"]: row for row in report["students"]}
    assert {row["n"] for row in students.values()} == {150}
    assert students["cot_head"]["mean"] >= 0.98
    assert students["cot_head"]["mean"] > students["text"]["mean"]


@pytest.mark.long
def test_a_regression_is_taught_and_measured_beside_the_untrained_student(tmp_path: Path, stories260k: Path) -> None:
    file = tmp_path / "lengths.json"
    rows = [{"input": " ".join(["day"] * (1 + n % 10)), "target": n % 10 / 9, "number": n} for n in range(60)]
    file.write_text(json.dumps({"train": rows[:48], "eval": rows[48:]}))
    untrained = [f"untrained.input={stories260k}", "untrained.limit=12"]
    learns = ["finetune.epochs=4", "finetune.learning_rate=0.003", 'finetune.objective.words=[" he", " day"]']
    settings = [f"prepare.source={file}", *small(stories260k), *learns, *untrained, "evaluate.checkpoints=last"]
    report = run_pipeline("regression", tmp_path / "run", *settings)
    found = {(row["trained_on"], row["metric"]): row["value"] for row in report["rows"]}
    assert {row["n"] for row in report["rows"]} == {12}
    assert found["target", "rmse"] < found["untrained", "rmse"]
    assert {metric for _, metric in found} >= {"spearman", "pearson", "rmse", "acc", "auc", "calibration_error"}
    assert {(row["baseline"], row["candidate"]) for row in report["comparisons"]} == {("untrained", "target")}


@pytest.mark.long
def test_a_fresh_student_learns_to_count_on(tmp_path: Path) -> None:
    """The toy of the published seq2seq trainer: digits with spaces, plus one; the rows measured were never trained on."""
    numbers = random.Random(0).sample(range(1000), 1000)
    rows = [{"prompt": " ".join(str(n)), "completion": " ".join(str(n + 1))} for n in numbers]
    file = tmp_path / "counting.json"
    file.write_text(json.dumps({"train": rows[:800], "eval": rows[800:]}))
    student = {"model": "null", "scratch": "{hidden_size: 64, layers: 2, heads: 4, context: 32}", "precision": "fp32", "epochs": 30}
    recipe = {"batch_size": 16, "learning_rate": 3.0e-3, "lr_scheduler": "cosine", "warmup": 0.1, "matrix.seed": "[0]"}
    settings = [f"finetune.{key}={value}" for key, value in {**student, **recipe}.items()]
    report = run_pipeline("prompt_completion", tmp_path / "run", f"prepare.source={file}", *settings, *measured("evaluate", limit=200))
    [row] = report["students"]
    assert row["n"] == 200 and row["mean"] >= 0.95


def test_exam_questions_are_written_by_an_encoder_decoder(tmp_path: Path) -> None:
    """EduQG's files are not at hand: chapters made by hand in their documented schema."""
    file = tmp_path / "EduQG.json"
    file.write_text(json.dumps([chapter(number, [item(4 * number + i) for i in range(4)]) for number in range(8)]))
    student = {"model": "null", "scratch": "{architecture: t5, hidden_size: 32, layers: 1, heads: 2, context: 512}", "precision": "fp32"}
    recipe = {"batch_size": 8, "learning_rate": 1.0e-3, "matrix.seed": "[0]", "held_out": 0.1}
    settings = [f"finetune.{key}={value}" for key, value in {**student, **recipe}.items()]
    report = run_pipeline("eduqg", tmp_path / "run", f"prepare.source={file}", *settings, *measured("evaluate", limit=4))
    assert {(row["task"], row["n"]) for row in report["rows"]} == {("questions", 4)}
    [file] = (tmp_path / "run/evaluate").rglob("predicted_examples.jsonl")
    assert all("prediction" in json.loads(line) for line in file.read_text().splitlines())


def chapter(number: int, questions: list[dict[str, Any]]) -> dict[str, Any]:
    rest = {"intro": "", "chapter_text": f"Chapter {number}.", "summary": "", "keyterm": "", "bname": "biology"}
    return {"chapter": number, "questions": questions, **rest}


def item(number: int) -> dict[str, Any]:
    asked = {"question_id": number, "question_text": f"Plant {number} takes in ___.", "cloze_format": f"Plant {number} takes in ___."}
    choices = ["oxygen", "carbon dioxide", "helium", "neon"]
    return {
        "question": {**asked, "question_choices": choices, "normal_format": f"Which gas does plant {number} take in?"},
        "answer": {"ans_text": "B", "ans_choice": 1},
        "references_are_paraphrase": 0,
        "bloom": None,
        "hl_sentences": f"Plant {number} takes in carbon dioxide.",
        "hl_context": f"Air is a mix. <hl> Plant {number} takes in carbon dioxide. <hl> So do others.",
    }
