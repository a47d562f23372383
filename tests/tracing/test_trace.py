"""`teacherlm trace`: one question through every output of a finished run."""

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import yaml

from teacherlm.errors import UserError
from teacherlm.launch.run import run_pipeline
from teacherlm.tracing.story import follow
from teacherlm.tracing.telling import lines_of_story

pytestmark = pytest.mark.slow
WROTE = " <script>Count on.</script> The answer is 7."
ODD = "weird/id \u202e{2}"
QUESTIONS = [
    {"id": "sum-1", "question": "What is 3 plus 4?", "answer": "7"},
    {"id": "sum-2", "question": "What is 5 plus 5?", "answer": "10"},
    {"id": ODD, "question": "What is \x1b[31m6 plus 1?", "answer": "7"},
    *({"id": f"more-{i}", "question": f"What is {i} plus {7 - i}?", "answer": "7"} for i in range(8)),
    {"id": "asked-1", "question": "What is 2 plus 6?", "answer": "8", "split": "test"},
]


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A teacher that always says 7, one student, measured on one question."""
    folder = tmp_path_factory.mktemp("traced")
    (folder / "data").mkdir()
    for split in ("train", "test"):
        rows = [row for row in QUESTIONS if row.get("split", "train") == split]
        (folder / f"data/{split}.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    scripted = {"name": "scripted", "reply": WROTE}
    steps: list[dict[str, Any]] = [
        {"prepare": {"dataset": "jsonl", "source": str(folder / "data")}},
        {"enhance": {"kinds": ["cot"], "teacher": scripted}},
        {"postprocess": {"verify": ["agreement"]}},
        {
            "finetune": {
                "scratch": {"hidden_size": 16, "layers": 1, "heads": 2, "context": 64},
                "matrix": {"train_on": ["cot_head"]},
                "epochs": 1,
                "batch_size": 4,
                "learning_rate": 1e-3,
            }
        },
        {"evaluate": {"tasks": ["questions"], "data": "$prepare", "split": "test", "max_new_tokens": 8}},
    ]
    file = folder / "pipeline.yaml"
    file.write_text(yaml.safe_dump({"run_dir": str(folder / "run"), "steps": steps}))
    assert not run_pipeline(str(file), [], [], dry_run=False, workers=1, only=[])
    return folder / "run"


def told(run: Path, name: str) -> dict[str, list[dict[str, Any]]]:
    story: dict[str, list[dict[str, Any]]] = {}
    for chapter in follow(name, [run]):
        story.setdefault(chapter["stage"], []).append(chapter)
    return story


def test_a_question_that_was_kept_is_followed_to_the_student_that_read_it(run: Path) -> None:
    story = told(run, "sum-1")
    assert list(story) == ["prepare", "enhance", "postprocess", "finetune"]
    assert story["prepare"][0]["source"]["question"] == "What is 3 plus 4?"
    asked, kept = story["enhance"]
    [exchange] = asked["exchanges"]
    assert exchange["asked"].endswith("The answer is 7. Let's think step by step.")
    assert exchange["written"].strip() == kept["kept"]["cot"].strip() == WROTE.strip()
    assert "cot_head" in story["postprocess"][0]["examples"]
    [student] = story["finetune"]
    assert student["student"] == "finetune/cot_head" and student["train_on"] == "cot_head"
    assert "Count on." in student["texts"]["cot_head"]


def test_a_question_whose_rationale_was_rejected_says_why_and_no_student_read_it(run: Path) -> None:
    story = told(run, "sum-2")
    assert list(story) == ["prepare", "enhance", "postprocess"]
    [judged] = story["postprocess"]
    assert judged["verdicts"]["cot_verdict"] == "wrong"
    assert "agreement" in judged["rejected"]


def test_a_question_that_was_measured_has_each_checkpoints_answer(run: Path) -> None:
    story = told(run, "asked-1")
    assert list(story) == ["prepare", "evaluate"]
    [answer] = story["evaluate"]
    assert answer["gold"] == "8" and answer["task"] == "questions" and answer["checkpoint"].startswith("checkpoint-")


def test_an_output_alone_is_followed_back_to_what_it_was_made_from(run: Path) -> None:
    stages = [chapter["stage"] for chapter in follow("sum-1", [run / "postprocess"])]
    assert stages == ["prepare", "enhance", "enhance", "postprocess"]


def test_no_text_steers_the_terminal(run: Path) -> None:
    lines = "\n".join(lines_of_story(ODD, follow(ODD, [run])))
    assert "\x1b" not in lines and "\u202e" not in lines
    assert "\\x1b[31m6 plus 1?" in lines


def test_an_unknown_id_names_those_that_are_like_it(run: Path) -> None:
    with pytest.raises(UserError, match=r"No question named 'sum1'\. Did you mean 'sum-1'"):
        follow("sum1", [run])


def test_a_folder_without_outputs_is_refused(tmp_path: Path) -> None:
    with pytest.raises(UserError, match="no finished output here; name the folder of a run"):
        follow("x", [tmp_path])
    with pytest.raises(UserError, match="no such file or folder"):
        follow("x", [tmp_path / "none"])


def test_the_command_prints_lines_or_json(run: Path) -> None:
    words = [sys.executable, "-m", "teacherlm.cli", "trace", "sum-1", "--run", str(run)]
    shown = subprocess.run(words, capture_output=True, text=True, check=True).stdout
    assert shown.startswith("Question sum-1\n\nPrepared\n") and "Taught" in shown
    machine = subprocess.run([*words, "--json"], capture_output=True, text=True, check=True).stdout
    assert [json.loads(line)["stage"] for line in machine.splitlines()] == ["prepare", "enhance", "enhance", "postprocess", "finetune"]
