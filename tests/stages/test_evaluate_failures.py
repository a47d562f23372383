"""A task that fails does not take the others with it: they are measured and kept, and the exit code says what happened."""

import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from teacherlm.errors import Failed, UserError
from teacherlm.launch.perform import perform
from teacherlm.stages.evaluate import STAGE, EvaluateConfig, evaluate
from teacherlm.store.files import read_jsonl
from teacherlm.store.manifest import read_manifest
from tests.tiny_models import write_model

TASK = """
task: {name}
custom_dataset: !function _rows.rows
output_type: multiple_choice
test_split: {split}
doc_to_text: "Q: {{{{number}}}} plus 1? A:"
doc_to_choice: ["1", "2", "3"]
doc_to_target: "{target}"
{more}
"""
ROWS = """
from datasets import Dataset

def rows(**_):
    return {"test": Dataset.from_list([{"id": f"q{n}", "number": n, "gold": n} for n in range(3)])}
"""
SCORED = "process_results: !function {name}.score\nmetric_list: [{{metric: acc, aggregation: mean, higher_is_better: true}}]"


@pytest.fixture
def tasks(tmp_path: Path) -> Path:
    folder = tmp_path / "my_tasks"
    folder.mkdir()
    (folder / "_rows.py").write_text(ROWS)
    write_task(folder, "sums")
    write_task(folder, "broken", code="def score(doc, results):\n    return {'acc': doc['label']}\n")
    return folder


def write_task(folder: Path, name: str, split: str = "test", target: str = "{{gold}}", code: str = "") -> None:
    if code:
        (folder / f"{name}.py").write_text(code)
    more = SCORED.format(name=name) if code else ""
    (folder / f"{name}.yaml").write_text(TASK.format(name=name, split=split, target=target, more=more))


def config(tmp_path: Path, folder: Path, names: str) -> EvaluateConfig:
    model = tmp_path / "model"
    if not model.exists():
        write_model(model)
    return EvaluateConfig(input=str(model), output=tmp_path / "out", tasks=names, include_path=[folder])  # type: ignore[arg-type]


def measured(output: Path) -> set[str]:
    return {row["task"] for _, row in read_jsonl(output / "results.jsonl")}


def test_a_plugin_that_raises_is_named_with_its_traceback_and_the_others_are_measured_and_kept(
    tmp_path: Path, tasks: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    asked = config(tmp_path, tasks, "broken,sums")
    with pytest.raises(Failed, match=r"task 'broken': its code raised KeyError: 'label' \(measured and kept in .*out: 1; the same"):
        evaluate(asked)
    said = capsys.readouterr().err
    assert "Traceback" in said and "broken.py" in said and "failed: task 'broken'" in said
    assert measured(asked.output) == {"sums"}
    before = (asked.output / "results.jsonl").read_bytes()
    write_task(tasks, "broken", code="def score(doc, results):\n    return {'acc': doc['gold']}\n")
    done = evaluate(asked)
    assert (done.counts["measured"], done.counts["already measured"]) == (1, 1)
    assert measured(asked.output) == {"sums", "broken"} and before in (asked.output / "results.jsonl").read_bytes()


def test_a_plugin_that_ends_the_program_is_a_bug_and_the_others_are_measured(
    tmp_path: Path, tasks: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    write_task(tasks, "quits", code="import sys\n\ndef score(doc, results):\n    sys.exit(0)\n")
    with pytest.raises(Failed, match=r"task 'quits': its code raised SystemExit: 0"):
        evaluate(config(tmp_path, tasks, "quits,sums"))
    assert "quits.py" in capsys.readouterr().err and measured(tmp_path / "out") == {"sums"}


def test_the_same_command_goes_on_when_the_plugin_is_mended_and_another_command_does_not(tmp_path: Path, tasks: Path) -> None:
    def asked(**more: Any) -> EvaluateConfig:
        return config(tmp_path, tasks, "broken,sums").model_copy(update=more)

    with pytest.raises(Failed, match="task 'broken': its code raised KeyError"):
        perform("evaluate", STAGE, asked())
    before = (tmp_path / "out" / "results.jsonl").read_bytes()
    with pytest.raises(UserError, match="was made with other settings or from other inputs; choose another --output, or --overwrite"):
        perform("evaluate", STAGE, asked(seed=2))
    write_task(tasks, "broken", code="def score(doc, results):\n    return {'acc': doc['gold']}\n")
    perform("evaluate", STAGE, asked(batch_size=4))
    done = read_manifest(tmp_path / "out")
    assert done is not None and (done.counts["measured"], done.counts["already measured"]) == (1, 1)
    [aside] = (tmp_path / ".stale").rglob("results.jsonl")
    assert aside.read_bytes() == before
    write_task(tasks, "broken", code="def score(doc, results):\n    return {'acc': 1}\n")
    with pytest.raises(UserError, match="was made with other settings or from other inputs"):
        perform("evaluate", STAGE, asked())


def test_a_plugin_that_raises_while_it_is_loaded_does_not_keep_the_others_from_being_measured(
    tmp_path: Path, tasks: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tasks / "_lost.py").write_text("def rows(**_):\n    raise ValueError('the server\\nis away')\n")
    (tasks / "lost.yaml").write_text(TASK.format(name="lost", split="test", target="{{gold}}", more="").replace("_rows.rows", "_lost.rows"))
    with pytest.raises(Failed, match="task 'lost': its code raised ValueError: the server is away"):
        evaluate(config(tmp_path, tasks, "lost,sums"))
    assert "_lost.py" in capsys.readouterr().err and measured(tmp_path / "out") == {"sums"}


@pytest.mark.parametrize(
    ("task", "problem"),
    [
        ({"split": "dev"}, r"task 'wrong': its data has no split 'dev' \(found: test\)"),
        ({"target": "{{nothing}}"}, "task 'wrong': 'nothing' is undefined"),
        ({"target": "{{'' if number == 2 else gold}}"}, r"task 'wrong', item 'q2': it has no gold answer \(doc_to_target\)"),
        ({"target": "{{gold + 1}}"}, r"task 'wrong', item 'q2': its gold answer 3 is none of its choices \(doc_to_target\)"),
    ],
)
def test_a_split_a_column_or_a_gold_answer_that_is_not_there_is_one_clear_line_before_anything_is_measured(
    tmp_path: Path, tasks: Path, task: dict[str, str], problem: str
) -> None:
    write_task(tasks, "wrong", **task)
    with pytest.raises(UserError, match=problem) as error:
        evaluate(config(tmp_path, tasks, "sums,wrong"))
    assert "\n" not in str(error.value) and not (tmp_path / "out").exists()


@pytest.mark.parametrize("score", ["float('nan')", "'right'", "None"])
def test_a_metric_that_is_not_a_number_is_one_line_naming_the_item_and_the_others_are_kept(tmp_path: Path, tasks: Path, score: str) -> None:
    write_task(tasks, "odd", code=f"def score(doc, results):\n    return {{'acc': {score} if doc['number'] == 1 else 1.0}}\n")
    with pytest.raises(UserError, match=r"task 'odd': metric 'acc' is not a number, found .* \(item 'q1'\)"):
        evaluate(config(tmp_path, tasks, "odd,sums"))
    assert measured(tmp_path / "out") == {"sums"}


@pytest.mark.parametrize(
    ("wrong", "problem"),
    [
        ("metric_list: [{metric: accuracy, aggregation: mean, higher_is_better: true}]", "its scores name no metric"),
        ("metric_list: [{metric: acc, aggregation: maen, higher_is_better: true}]", "metric 'acc' has no aggregation that lm-eval knows"),
    ],
)
def test_a_metric_list_that_scores_nothing_is_the_same_line_at_every_attempt(tmp_path: Path, tasks: Path, wrong: str, problem: str) -> None:
    write_task(tasks, "odd")
    (tasks / "odd.yaml").write_text((tasks / "odd.yaml").read_text() + wrong)
    for _ in range(2):
        with pytest.raises(UserError, match=f"task 'odd': {problem}"):
            evaluate(config(tmp_path, tasks, "odd,sums"))
        assert measured(tmp_path / "out") == {"sums"}


def test_numbers_of_numpy_are_numbers(tmp_path: Path, tasks: Path) -> None:
    write_task(tasks, "counted", code="import numpy as np\n\ndef score(doc, results):\n    return {'acc': np.bool_(doc['number'] == 1)}\n")
    evaluate(config(tmp_path, tasks, "counted"))
    (row,) = [row for _, row in read_jsonl(tmp_path / "out" / "results.jsonl")]
    assert row["value"] == pytest.approx(1 / 3)


@pytest.mark.slow
def test_the_command_ends_with_1_after_a_bug_of_a_plugin(tmp_path: Path, tasks: Path) -> None:
    model = write_model(tmp_path / "model")
    words = ["evaluate", "--input", str(model), "--tasks", "broken,sums", "--include-path", str(tasks), "--output", str(tmp_path / "out")]
    done = subprocess.run([str(Path(sys.executable).parent / "teacherlm"), *words], capture_output=True, text=True, timeout=120)
    assert done.returncode == 1 and done.stderr.rstrip().split("\n")[-1].startswith("teacherlm: task 'broken': its code raised"), (
        done.stderr
    )
    assert "Traceback" in done.stderr and measured(tmp_path / "out") == {"sums"}
