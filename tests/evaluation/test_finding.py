"""Which task a name means, and what is said where it means none."""

import logging
from pathlib import Path

import pytest

from teacherlm.errors import UserError
from teacherlm.evaluation.finding import manager_of
from teacherlm.evaluation.loading import TaskOptions, load_tasks
from teacherlm.proposing.new_task import write_new_task


@pytest.mark.parametrize("line", ["task: true", "task: 5", "task:", "group: no\ntask: [plants]", "group: mine\ntask: [plants, on]"])
def test_a_name_that_yaml_reads_as_something_else_is_named_with_its_file(tmp_path: Path, line: str) -> None:
    write_new_task("plants", "yaml", tmp_path)
    (tmp_path / "odd.yaml").write_text(f"{line}\n")
    with pytest.raises(UserError, match=r"odd\.yaml: (task|group): expected a name, found (True|5|None|False); put it in quotes\."):
        load_tasks(["plants"], [tmp_path], TaskOptions())


def test_a_member_of_a_group_that_is_no_task_is_named_with_its_file(tmp_path: Path) -> None:
    write_new_task("plants", "yaml", tmp_path)
    (tmp_path / "all.yaml").write_text("group: all_mine\ntask: [plants, plantz]\n")
    with pytest.raises(UserError, match=r"all\.yaml: task: the group 'all_mine' names 'plantz', no task of yours .*mean 'plants'\?$"):
        load_tasks(["all_mine"], [tmp_path], TaskOptions())


@pytest.mark.slow
def test_a_name_near_that_of_a_task_is_one_short_line_and_lm_eval_says_nothing(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    write_new_task("plants", "yaml", tmp_path)
    manager_of.cache_clear()
    with caplog.at_level(logging.WARNING), pytest.raises(UserError, match=r"^No task named 'plantz'\. Did you mean 'plants'\?$"):
        load_tasks(["plantz"], [tmp_path], TaskOptions())
    assert not [record for record in caplog.records if record.name.startswith("lm_eval.tasks")]


@pytest.mark.slow
@pytest.mark.parametrize(
    ("text", "problem"),
    [
        ("class Pebbles(Task):\n    def f(self:\n", r"pebbles\.py:2: SyntaxError: "),
        ("class Pebbles:\n    pass\n", r"pebbles\.py holds no class that derives from teacherlm\.evaluation\.classic\.Task\.$"),
        (
            "from teacherlm.evaluation.classic import Task\n\n\nclass One(Task): ...\nclass Two(Task): ...\n",
            r"pebbles\.py holds several tasks; name one of them: One, Two\.$",
        ),
    ],
)
def test_a_file_of_the_name_that_holds_no_such_task_says_why(tmp_path: Path, text: str, problem: str) -> None:
    (tmp_path / "pebbles.py").write_text(text)
    with pytest.raises(UserError, match=rf"^task 'pebbles': .*{problem}"):
        load_tasks(["pebbles"], [tmp_path], TaskOptions())
