"""`generate`: a student is asked as it was taught, in one prompt, a file or a talk; what it cannot do is one line."""

import json
import subprocess
import sys
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
from chat_models import write_chat_model
from terminals import on_a_terminal, without_styles
from tiny_models import ROWS, write_model
from transformers import AutoTokenizer
from typer.testing import CliRunner

from teacherlm.cli import build_app
from teacherlm.engines.bodies.loading import load_model
from teacherlm.engines.bodies.transformers import TransformersEngine
from teacherlm.errors import UserError
from teacherlm.evaluation.students import Student
from teacherlm.records import Request, Sampling
from teacherlm.store.checkpoints import seal_checkpoint
from teacherlm.using.student import wording_of
from teacherlm.using.writing import certain

TEMPLATE = "teacherlm"
WORDS = ("--set", "device=cpu", "--max-new-tokens", "6")


@dataclass
class Done:
    returncode: int
    stdout: str
    stderr: str


def run(*words: str | Path, piped: str = "") -> Done:
    """In this process: torch is imported once."""
    result = CliRunner().invoke(build_app([]), ["generate", *map(str, words)], input=piped)
    if isinstance(result.exception, UserError):
        return Done(2, result.stdout, f"{result.stderr}teacherlm: {result.exception}")
    assert result.exception is None or isinstance(result.exception, SystemExit), repr(result.exception)
    return Done(result.exit_code, result.stdout, result.stderr)


def run_apart(*words: str | Path) -> Done:
    command = [sys.executable, "-m", "teacherlm.cli", "generate", *map(str, words)]
    done = subprocess.run(command, stdin=subprocess.DEVNULL, capture_output=True, text=True, timeout=120)
    return Done(done.returncode, done.stdout, done.stderr)


def rows_of(text: str) -> list[dict[str, Any]]:
    return [json.loads(line) for line in text.splitlines()]


def turn(role: str, content: str) -> dict[str, str]:
    return {"role": role, "content": content}


@pytest.fixture(scope="module")
def student(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A run of two checkpoints, taught by TeacherLM's template."""
    folder = tmp_path_factory.mktemp("runs") / "student"
    for step in (1, 2):
        write_model(folder / f"checkpoint-{step}", seed=step)
        seal_checkpoint(folder / f"checkpoint-{step}", step, 1.0, {"template": TEMPLATE, "train_on": "text"})
    return folder


@pytest.fixture(scope="module")
def greedy(student: Path) -> Callable[[str], str]:
    """What the last checkpoint writes behind a prompt, by the engine alone."""
    engine = TransformersEngine(*load_model(str(student / "checkpoint-2"), "main", "float32", "cpu", False), "x")

    def write(prompt: str) -> str:
        request = Request(prompt, 6, Sampling(stop=("\nQ:", " Q:")))
        return next(iter(engine.complete([("k", request)]))).text

    return write


@pytest.mark.slow
def test_one_question_is_put_as_the_last_checkpoint_was_taught(student: Path, greedy: Callable[[str], str]) -> None:
    done = run_apart("--model", student, "--prompt", "3 plus 1?", *WORDS)
    assert done.returncode == 0, done.stderr
    assert done.stdout == greedy("Q: 3 plus 1? A:").lstrip() + "\n"
    assert "written" in done.stderr and done.stdout.strip() not in done.stderr
    raw = run("--model", student, "--prompt", "3 plus 1?", "--raw", *WORDS)
    assert raw.stdout == greedy("3 plus 1?").lstrip() + "\n"


def test_choices_and_what_is_piped_in(student: Path, greedy: Callable[[str], str]) -> None:
    done = run("--model", student / "checkpoint-2", "--prompt", "3 plus 1?", *WORDS, "--choices", "three", "four")
    assert done.stdout == greedy("Q: 3 plus 1? (A) three (B) four A:").lstrip() + "\n", done.stderr
    piped = run("--model", student, *WORDS, piped="3 plus 1?\n")
    assert piped.stdout == greedy("Q: 3 plus 1? A:").lstrip() + "\n"


def test_a_file_gives_a_row_for_each_question_in_its_order(student: Path, greedy: Callable[[str], str], tmp_path: Path) -> None:
    prepared = {"id": "p", "prompt": "Q: 5 plus 1? A:", "template": TEMPLATE, "choices": [], "answer": "6", "answer_rule": "number"}
    asked = [
        {"id": "a", "question": "3 plus 1?"},
        {"question": "4 plus 1?", "choices": ["five", "six"]},
        prepared,
        {"id": "again", "question": "3 plus 1?"},
    ]
    (tmp_path / "asked.jsonl").write_text("".join(json.dumps(row) + "\n" for row in asked))
    done = run("--model", student, "--input", tmp_path / "asked.jsonl", *WORDS)
    assert done.returncode == 0, done.stderr
    rows = rows_of(done.stdout)
    assert [(row["id"], row["prompt"]) for row in rows] == [
        ("a", "Q: 3 plus 1? A:"),
        ("2", "Q: 4 plus 1? (A) five (B) six A:"),
        ("p", "Q: 5 plus 1? A:"),
        ("again", "Q: 3 plus 1? A:"),
    ]
    for row in rows:
        assert set(row) == {"id", "prompt", "text", "tokens", "finish"}
        assert row["text"] == greedy(row["prompt"]) and 0 < row["tokens"] <= 6
    named = run("--model", student, "--input", tmp_path / "asked.jsonl", "--output", tmp_path / "told.jsonl", *WORDS)
    assert named.stdout == "" and rows_of((tmp_path / "told.jsonl").read_text()) == rows


def test_samples_differ_and_the_seed_decides(student: Path) -> None:
    words = ("--model", student, "--prompt", "3 plus 1?", *WORDS, "--temperature", "1.5", "--samples", "3")
    one, same, other = run(*words), run(*words), run(*words, "--seed", "1")
    assert len(set(one.stdout.rstrip("\n").split("\n\n"))) == 3
    assert one.stdout == same.stdout != other.stdout


def test_an_output_of_prepare_is_asked_split_by_split(student: Path, tmp_path: Path) -> None:
    from datasets import Dataset, DatasetDict

    rows = [{"id": f"q{i}", "prompt": row["prompt"], "template": TEMPLATE, "choices": [], "answer": str(i)} for i, row in enumerate(ROWS)]
    parts = {"train": Dataset.from_list(rows[:10]), "validation": Dataset.from_list(rows[10:12]), "extra": Dataset.from_list(rows[12:])}
    DatasetDict(parts).save_to_disk(tmp_path / "prepared")
    done = run("--model", student, "--input", tmp_path / "prepared", *WORDS)
    assert [row["id"] for row in rows_of(done.stdout)] == ["q10", "q11"], done.stderr
    named = run("--model", student, "--input", tmp_path / "prepared", "--split", "extra", *WORDS)
    assert [row["id"] for row in rows_of(named.stdout)] == ["q12", "q13", "q14", "q15"]
    missing = run("--model", student, "--input", tmp_path / "prepared", "--split", "test", *WORDS)
    assert missing.returncode == 2 and "has no split 'test' (found: " in missing.stderr


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (("--model", "{nowhere}", "--prompt", "x"), "no such file or folder"),
        (("--model", "{empty}", "--prompt", "x"), "holds no model (no config.json) and no complete checkpoint-<step> folder"),
        (("--model", "{torn}/checkpoint-1", "--prompt", "x"), "this checkpoint is torn"),
        (("--model", "{student}", "--prompt", "plus " * 200), "the model's context is 128"),
        (("--model", "{student}", "--prompt", " "), "there is nothing to ask"),
        (("--model", "{student}", "--prompt", "x", "--input", "y"), "--prompt and --input: give one of them"),
        (("--model", "{student}", "--prompt", "x", "--samples", "2"), "without --temperature all texts would be the same one"),
        (("--model", "{student}", "--prompt", "x", "--set", "nope=1"), "nope: unknown key"),
        (("--model", "{student}", "--input", "{student}/none.jsonl"), "none.jsonl: no such file or folder"),
        (("--model", "{student}", "--prompt", "x", "--raw", "--choices", "a"), "--raw: asks the text as it stands; leave --choices out"),
        (("--model", "{student}", "--prompt", "x", "--template", "nope"), "No template named 'nope'"),
    ],
)
def test_what_cannot_be_asked_is_one_line(student: Path, tmp_path: Path, words: tuple[str, ...], said: str) -> None:
    torn = tmp_path / "torn"
    write_model(torn / "checkpoint-1")
    seal_checkpoint(torn / "checkpoint-1", 1, 1.0, {})
    (torn / "checkpoint-1" / "model.safetensors").write_bytes(b"half")
    (tmp_path / "empty").mkdir()
    places = {"nowhere": tmp_path / "no" / "where", "empty": tmp_path / "empty", "torn": torn, "student": student}
    done = run(*(word.format(**places) for word in words))
    assert done.returncode == 2 and said in done.stderr, done.stderr
    assert "Traceback" not in done.stderr and done.stderr.count("teacherlm: ") == 1


def test_rows_prepared_for_other_students_are_refused_and_raw_asks_them(student: Path, tmp_path: Path) -> None:
    row = {"id": "p", "prompt": "Q: 5 plus 1?\nA:", "template": "zs", "choices": [], "answer": "6"}
    (tmp_path / "asked.jsonl").write_text(json.dumps(row) + "\n")
    done = run("--model", student, "--input", tmp_path / "asked.jsonl", *WORDS)
    assert done.returncode == 2 and "asked.jsonl:1: was prepared by the template 'zs', student" not in done.stderr
    assert "was prepared by the template 'zs', checkpoint-2 was taught by 'teacherlm'" in done.stderr
    assert rows_of(run("--model", student, "--input", tmp_path / "asked.jsonl", "--raw", *WORDS).stdout)[0]["prompt"] == row["prompt"]


def test_too_long_rows_of_a_file_say_so_and_the_others_are_written(student: Path, tmp_path: Path) -> None:
    (tmp_path / "asked.jsonl").write_text("".join(json.dumps({"question": text}) + "\n" for text in ("3 plus 1?", "plus " * 200)))
    done = run("--model", student, "--input", tmp_path / "asked.jsonl", *WORDS)
    rows = rows_of(done.stdout)
    assert done.returncode == 0 and rows[0]["finish"] != "error" and rows[1]["finish"] == "error"
    assert "the model's context is 128" in rows[1]["error"] and "1 of 2 texts could not be written (id 2: prompt too long" in done.stderr


def test_a_student_of_several_tasks_is_asked_behind_its_prefix() -> None:
    taught = Student("s", "/s", "c", facts={"template": TEMPLATE, "prompt_prefix": "predict: "})
    assert wording_of(taught).prompt("3 plus 1?") == "predict: Q: 3 plus 1? A:"
    assert wording_of(Student("s", "/s", "c")).prompt("3 plus 1?") == "3 plus 1?"


@pytest.mark.parametrize(
    ("text", "kept"), [("a b", "a b"), ("a Q", "a"), ("a Q: b", "a"), ("a \ufffd", "a"), ("a\n", "a"), ("aQ", "aQ"), ("", "")]
)
def test_what_is_said_while_writing_is_never_taken_back(text: str, kept: str) -> None:
    assert text[: certain(text, ("\nQ:", " Q:"))].rstrip(" ") == kept


@pytest.mark.slow
def test_a_talk_on_a_terminal_ends_with_ctrl_d(student: Path, greedy: Callable[[str], str]) -> None:
    code, printed = on_a_terminal(
        "generate", "--model", student, *WORDS, answers=[("> ", "3 plus 1?"), ("> ", "4 plus 1?"), ("> ", "\x04")], seconds=60
    )
    assert code == 0, printed
    lines = [line.strip() for line in without_styles(printed).splitlines()]
    assert greedy("Q: 3 plus 1? A:").strip() in lines and greedy("Q: 4 plus 1? A:").strip() in lines


@pytest.mark.slow
@pytest.mark.real
def test_a_chat_student_is_asked_in_turns_and_remembers_them(stories260k: Path, tmp_path: Path) -> None:
    folder = tmp_path / "run" / "checkpoint-3"
    write_chat_model(stories260k, folder)
    seal_checkpoint(folder, 3, 1.0, {"template": 'chat{"system":"Be brief."}', "train_on": "text"})
    rows = [
        {"id": "one", "question": "Who is Tom?"},
        {
            "id": "two",
            "messages": [
                {"role": "user", "content": "Who?"},
                {"role": "assistant", "content": "Tom."},
                {"role": "user", "content": "Why?"},
            ],
        },
    ]
    (tmp_path / "asked.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    done = run("--model", tmp_path / "run", "--input", tmp_path / "asked.jsonl", *WORDS)
    start = "<s>[system]\nBe brief.</s>\n[user]\n"
    found = {row["id"]: row["prompt"] for row in rows_of(done.stdout)}
    assert found == {
        "one": f"{start}Who is Tom?</s>\n[assistant]\n",
        "two": f"{start}Who?</s>\n[assistant]\nTom.</s>\n[user]\nWhy?</s>\n[assistant]\n",
    }, done.stderr
    tokenizer = AutoTokenizer.from_pretrained(folder)
    assert tokenizer(found["one"], add_special_tokens=False)["input_ids"].count(tokenizer.bos_token_id) == 1
