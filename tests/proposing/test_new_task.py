"""`teacherlm new-task`: what it writes can be measured at once, by us and by plain lm-eval; its page's commands run."""

import json
import re
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from teacherlm.errors import UserError
from teacherlm.evaluation.loading import TaskOptions, load_tasks
from teacherlm.proposing.new_task import QUESTIONS, write_new_task

PAGE = Path(__file__).resolve().parent.parent.parent / "docs/new_task.md"
FIRST = "Q: Which gas do plants take in? (A) oxygen (B) carbon dioxide (C) helium A: The answer is ("


@pytest.mark.parametrize("style", ["yaml", "python"])
def test_both_styles_ask_the_same(tmp_path: Path, style: str) -> None:
    write_new_task("plants", style, tmp_path)
    (task,) = load_tasks(["plants"], [tmp_path], TaskOptions())
    asked = [instance.args for instance in task.task.instances]
    assert asked[:3] == [(FIRST, "A"), (FIRST, "B"), (FIRST, "C")]
    assert len(asked) == sum(len(question["choices"]) for question in QUESTIONS)
    assert task.template == "teacherlm" and task.item_id(task.task.instances[0].doc, 0) == "q1"


def test_nothing_is_overwritten(tmp_path: Path) -> None:
    write_new_task("mine", "yaml", tmp_path)
    (tmp_path / "mine.yaml").write_text("task: changed\n")
    with pytest.raises(UserError, match=r"mine\.yaml is there already and is not overwritten"):
        write_new_task("mine", "python", tmp_path)
    assert (tmp_path / "mine.yaml").read_text() == "task: changed\n" and not (tmp_path / "mine.py").exists()


@pytest.mark.parametrize(
    ("name", "style", "message"),
    [
        ("my-task", "yaml", "'my-task' is no name for a task"),
        ("../x", "yaml", "'../x' is no name for a task"),
        ("x", "jaml", "--style: expected yaml or python, found 'jaml'"),
        ("None", "python", "'None' is no name for a task in Python: its class would be called None"),
        ("true", "python", "'true' is no name for a task in Python: its class would be called True"),
    ],
)
def test_what_cannot_be_written_is_one_line(tmp_path: Path, name: str, style: str, message: str) -> None:
    with pytest.raises(UserError, match=re.escape(message)):
        write_new_task(name, style, tmp_path)
    assert not list(tmp_path.iterdir())


def test_a_file_where_the_folder_should_be_is_one_line(tmp_path: Path) -> None:
    (tmp_path / "plants.yaml").write_text("task: plants\n")
    for output in (tmp_path / "plants.yaml", tmp_path / "plants.yaml" / "below"):
        with pytest.raises(UserError, match=r"--output: .*plants\.yaml is a file; a folder is needed\."):
            write_new_task("q", "yaml", output)


@pytest.mark.parametrize("name", ["true", "no", "on", "null", "_5"])
def test_a_name_that_yaml_reads_as_something_else_is_a_task(tmp_path: Path, name: str) -> None:
    write_new_task(name, "yaml", tmp_path)
    assert [task.name for task in load_tasks([name], [tmp_path], TaskOptions())] == [name]


@pytest.mark.parametrize("style", ["yaml", "python"])
def test_a_solved_example_ends_as_taught(tmp_path: Path, style: str) -> None:
    write_new_task("plants", style, tmp_path)
    (task,) = load_tasks(["plants"], [tmp_path], TaskOptions(shots=2))
    for instance in task.task.instances:
        *shots, question = instance.args[0].split("\n\n")
        assert len(shots) == 2 and question.endswith("A: The answer is (")
        assert all(re.search(r"A: The answer is \([A-D]\)\.$", shot) for shot in shots)


def test_plain_lm_eval_asks_the_same_with_solved_examples(tmp_path: Path) -> None:
    from lm_eval.tasks import TaskManager

    write_new_task("plants", "yaml", tmp_path)
    (ours,) = load_tasks(["plants"], [tmp_path], TaskOptions(shots=1))
    plain = TaskManager(include_path=[str(tmp_path)], include_defaults=False).load(["plants"])["tasks"]["plants"]
    plain.set_config("num_fewshot", 1)
    plain.set_fewshot_seed(seed=1234)
    plain.build_all_requests()
    assert [instance.args for instance in ours.task.instances] == [instance.args for instance in plain.instances]


def with_row(folder: Path, **changed: Any) -> Path:
    """The first question, and it again with another id and these changes (None: the column is left out)."""
    second = {key: value for key, value in {**QUESTIONS[0], "id": "q2", **changed}.items() if value is not None}
    (folder / "mine.jsonl").write_text("".join(json.dumps(row) + "\n" for row in (QUESTIONS[0], second)))
    return folder


@pytest.mark.parametrize(
    ("answer", "problem"),
    [(None, "it has no gold answer"), ("", "it has no gold answer"), ("D", "'D' is none of its choices"), ("BC", "'BC' is none of its")],
)
def test_a_question_without_a_right_answer_is_refused_by_both_styles(tmp_path: Path, answer: str | None, problem: str) -> None:
    write_new_task("mine", "yaml", tmp_path / "yaml")
    with pytest.raises(UserError, match=rf"task 'mine', item 'q2': .*{problem}.* \(doc_to_target\)\."):
        load_tasks(["mine"], [with_row(tmp_path / "yaml", answer=answer)], TaskOptions())
    write_new_task("mine", "python", tmp_path / "python")
    with pytest.raises(ValueError, match=f"^q2: answer {answer!r} is none of its choices$"):
        load_tasks(["mine"], [with_row(tmp_path / "python", answer=answer)], TaskOptions())


def test_more_choices_than_letters_are_refused_by_both_styles(tmp_path: Path) -> None:
    for style in ("yaml", "python"):
        write_new_task("mine", style, tmp_path / style)
        with pytest.raises(ValueError, match=r"q2: it has 9 choices, and there are 8 letters|no element 8"):
            load_tasks(["mine"], [with_row(tmp_path / style, choices=[str(n) for n in range(9)])], TaskOptions())


@pytest.mark.slow
@pytest.mark.real
@pytest.mark.timeout(600)
def test_every_command_of_the_page_runs_and_lm_eval_gives_the_same_score(tmp_path: Path, stories260k: Path) -> None:
    words = re.findall(r"^(?:teacherlm|lm_eval) .+$", PAGE.read_text(), flags=re.MULTILINE)
    assert len(words) == 5
    for line in words:
        program, *rest = line.replace("MODEL", str(stories260k)).split()
        module = {"teacherlm": "teacherlm.cli", "lm_eval": "lm_eval"}[program]
        more = ["--output_path", str(tmp_path / "plain")] if program == "lm_eval" else []
        done = subprocess.run([sys.executable, "-m", module, *rest, *more], cwd=tmp_path, capture_output=True, text=True)
        assert done.returncode == 0, f"{line}\n{done.stderr[-3000:]}"
    [plain] = (tmp_path / "plain").rglob("results_*.json")
    ours, by_class = (read_acc(tmp_path / folder) for folder in ("scores", "class_scores"))
    assert ours == by_class == json.loads(plain.read_text())["results"]["plants"]["acc,none"]


def read_acc(folder: Path) -> Any:
    [row] = [json.loads(line) for line in (folder / "results.jsonl").read_text().splitlines()]
    assert row["n"] == len(QUESTIONS)
    return row["value"]


@pytest.mark.long
@pytest.mark.real
def test_plain_lm_eval_finds_the_class_through_the_yaml_written_for_it(tmp_path: Path, stories260k: Path) -> None:
    write_new_task("stones", "python", tmp_path / "classes")
    words = ["--model", "hf", "--model_args", f"pretrained={stories260k}", "--include_path", str(tmp_path / "classes"), "--tasks", "stones"]
    done = subprocess.run(
        [sys.executable, "-m", "lm_eval", *words, "--output_path", str(tmp_path / "plain")], cwd=tmp_path, capture_output=True, text=True
    )
    assert done.returncode == 0, done.stderr[-3000:]
    [plain] = (tmp_path / "plain").rglob("results_*.json")
    assert "acc,none" in json.loads(plain.read_text())["results"]["stones"]
