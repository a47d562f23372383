"""`teacherlm init` from the command line and on a real terminal; one of its pipelines is run to the end."""

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest
from terminals import on_a_terminal, without_styles

from teacherlm.parsing import read_yaml

OFFLINE = {**os.environ, "HF_HUB_OFFLINE": "1"}


def teacherlm(*words: str | Path, seconds: float = 120) -> "subprocess.CompletedProcess[str]":
    command = [sys.executable, "-m", "teacherlm.cli", *map(str, words)]
    return subprocess.run(command, capture_output=True, text=True, stdin=subprocess.DEVNULL, timeout=seconds, check=False, env=OFFLINE)


def sums(path: Path, count: int = 60, question: str = "aufgabe", answer: str = "loesung") -> Path:
    rows = [{question: f"Ana has {i} shells and finds {i % 7} more. How many has she?", answer: str(i + i % 7)} for i in range(count)]
    path.write_text("".join(f"{json.dumps(row)}\n" for row in rows), encoding="utf-8")
    return path


@pytest.mark.slow
def test_with_flags_nothing_is_asked_and_the_file_can_be_run(tmp_path):
    data, output = sums(tmp_path / "shells.jsonl"), tmp_path / "mine.yaml"
    ended = teacherlm("init", data, "--question", "aufgabe", "--answer", "loesung", "-o", output)
    assert ended.returncode == 0, ended.stderr
    assert "Q: Ana has 1 shells and finds 1 more. How many has she? A: The answer is 2." in ended.stdout
    assert f"{output}: written, 11 jobs" in ended.stdout
    planned = teacherlm("run", output, "--dry-run", "--set", f"run_dir={tmp_path / 'run'}")
    assert planned.returncode == 0 and "11 jobs, 11 to do" in planned.stderr
    dataset = read_yaml(output)["steps"][0]["prepare"]["dataset"]
    assert dataset == {"name": "jsonl", "columns": {"question": "aufgabe", "answer": "loesung"}, "held_out": 0.1}


@pytest.mark.slow
@pytest.mark.parametrize(
    ("words", "says"),
    [
        ((), "DATA is missing, and there is no terminal to ask on; give DATA, --question"),
        (("{folder}/shells.jsonl",), "which column is the answer cannot be told"),
        (("{folder}/shells.jsonl", "--answer", "losung"), "--answer: No column named 'losung'. Did you mean 'loesung'?"),
        (("{folder}/nothing.jsonl",), "no such file or folder"),
        (("no/such-data",), "could not be loaded from the hub"),
        (("{folder}/shells.jsonl", "--answer", "loesung", "-o", "{folder}/shells.jsonl"), "is there already"),
        (("{folder}/shells.jsonl", "--dataset", "crek"), "No dataset named 'crek'. Did you mean 'creak'?"),
        (("{folder}/shells.jsonl", "--dataset", "creak"), "column 'sentence' is missing"),
    ],
)
def test_without_a_terminal_what_is_missing_is_one_line(tmp_path, words, says):
    sums(tmp_path / "shells.jsonl")
    ended = teacherlm("init", *(word.format(folder=tmp_path) for word in words), *(() if "-o" in words else ("-o", tmp_path / "x.yaml")))
    assert ended.returncode == 2 and says in ended.stderr and ended.stderr.count("\n") == 1, ended.stderr
    assert not (tmp_path / "x.yaml").exists()


@pytest.mark.slow
def test_nothing_is_overwritten_unasked(tmp_path):
    data, output = sums(tmp_path / "x.jsonl", question="question", answer="answer"), tmp_path / "mine.yaml"
    output.write_text("precious")
    refused = teacherlm("init", data, "-o", output)
    assert refused.returncode == 2 and "--overwrite" in refused.stderr and output.read_text() == "precious"
    assert teacherlm("init", data, "-o", output, "--overwrite").returncode == 0 and "prepare" in output.read_text()


@pytest.mark.slow
def test_on_a_terminal_it_asks_and_lets_one_change_the_columns(tmp_path):
    data, output = sums(tmp_path / "x.jsonl", answer="answer"), tmp_path / "mine.yaml"
    rows = [{**json.loads(line), "better": json.loads(line)["aufgabe"].upper()} for line in data.read_text().splitlines()]
    data.write_text("".join(f"{json.dumps(row)}\n" for row in rows))
    answers = (
        ("Data file or folder", tmp_path / "nowhere.jsonl"),
        ("no such file or folder", ""),
        ("Data file or folder", data),
        ("Is this right?", "n"),
        ("Column of the question", "bettr"),
        ("Did you mean 'better'?", ""),
        ("Column of the question", "better"),
        ("Column of the answer", ""),
        ("Column of the choices", ""),
        ("Column of the rationale", ""),
        ("Column of the id", ""),
        ("ANA HAS 1 SHELLS", ""),
        ("Is this right?", ""),
        ("Teacher", tmp_path / "t"),
        ("Student", "own/student"),
    )
    (tmp_path / "t").mkdir()
    (tmp_path / "t" / "config.json").write_text("{}")
    asked = tuple((wait, str(typed)) for wait, typed in answers if typed != "" or wait.startswith(("Column", "Is this")))
    code, text = on_a_terminal("init", "-o", output, answers=asked)
    assert code == 0, text
    steps = {name: settings for step in read_yaml(output)["steps"] for name, settings in step.items()}
    assert steps["prepare"]["dataset"]["columns"] == {"question": "better"}
    assert steps["enhance"]["teacher"]["model"] == str(tmp_path / "t") and steps["finetune"]["model"] == "own/student"
    assert "ANA HAS 1 SHELLS" in without_styles(text)


@pytest.mark.slow
def test_a_terminal_gets_escapes_of_files_as_text(tmp_path):
    data = tmp_path / "x.jsonl"
    data.write_text("".join(json.dumps({"question": f"\x1b[31mred\x1b[0m {i}?", "answer": "1"}) + "\n" for i in range(30)))
    code, text = on_a_terminal("init", data, "--yes", "-o", tmp_path / "x.yaml")
    assert code == 0 and "\x1b[31m" not in text and r"\x1b[31mred" in text


@pytest.mark.slow
@pytest.mark.real
def test_a_known_dataset_is_confirmed_and_can_be_mapped_by_hand(creak, tmp_path):
    data = tmp_path / "mine.json"
    data.write_text("".join(f"{line}\n" for line in (creak / "dev.json").read_text().splitlines()[:80]))
    answers = (("Is this right?", "n"), ("Dataset (jsonl", "jsonl"), ("Is this right?", "y"), ("Teacher", ""), ("Student", ""))
    code, text = on_a_terminal("init", data, "-o", tmp_path / "mine.yaml", answers=answers)
    assert code == 0, text
    assert "CREAK: is a claim about an entity true or false?" in text
    dataset = read_yaml(tmp_path / "mine.yaml")["steps"][0]["prepare"]["dataset"]
    assert dataset["columns"] == {"question": "sentence", "answer": "label", "id": "ex_id"}


@pytest.mark.slow
@pytest.mark.real
def test_a_proposed_pipeline_runs_to_its_report(stories260k, tmp_path):
    output = tmp_path / "mine.yaml"
    data = sums(tmp_path / "shells.jsonl", question="question", answer="answer")
    assert teacherlm("init", data, "--teacher", stories260k, "--student", stories260k, "-o", output).returncode == 0
    small = ("run_dir=" + str(tmp_path / "run"), "prepare.limit=12", "enhance.max_new_tokens=24", "postprocess.verify=[]")
    small += ("finetune.epochs=1", "finetune.batch_size=4", "evaluate.max_new_tokens=16", "untrained.max_new_tokens=16")
    ended = teacherlm("run", output, *(word for one in small for word in ("--set", one)), seconds=600)
    assert ended.returncode == 0, ended.stderr
    report = json.loads((tmp_path / "run" / "report" / "report.json").read_text())
    assert report and (tmp_path / "run" / "report" / "report.html").is_file()
    examples = teacherlm("show", tmp_path / "run" / "postprocess", "--model", stories260k, "-n", "2")
    assert examples.returncode == 0 and "A:⟦ The answer is" in examples.stdout and "tokens of stories260k" in examples.stdout
