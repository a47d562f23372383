"""Which classes of a file are tasks, and what a file may import when it is loaded."""

import sys
from pathlib import Path

import pytest

from teacherlm.evaluation.class_tasks import class_names
from teacherlm.evaluation.loading import TaskOptions, load_tasks
from teacherlm.proposing.new_task import write_new_task


@pytest.mark.parametrize(
    ("line", "base"),
    [
        ("from teacherlm.evaluation.classic import Task as Base", "Base"),
        ("from teacherlm.evaluation import classic", "classic.Task"),
        ("from teacherlm.evaluation import classic as c", "c.MultipleChoiceTask"),
        ("import teacherlm.evaluation.classic", "teacherlm.evaluation.classic.Task"),
        ("import teacherlm.evaluation.classic as c", "c.Task"),
        ("from lm_eval import base", "base.Task"),
    ],
)
def test_a_class_is_found_however_its_base_is_imported(tmp_path: Path, line: str, base: str) -> None:
    file = tmp_path / "mine.py"
    file.write_text(f"{line}\n\n\nclass Mine({base}): ...\nclass Further(Mine): ...\nclass Other(c.Other): ...\n")
    assert class_names(file) == ["Mine", "Further"]


@pytest.mark.parametrize("through", ["its file", "its YAML"])
def test_a_class_imports_the_files_beside_it_each_folder_its_own(tmp_path: Path, through: str) -> None:
    before = list(sys.path)
    for name, word in (("one", "First"), ("two", "Second")):
        folder = tmp_path / name
        write_new_task(name, "python", folder)
        (folder / "words_of_mine.py").write_text(f"HEAD = '{word}: '\n")
        file = folder / f"{name}.py"
        file.write_text(f"from words_of_mine import HEAD\n{file.read_text()}".replace('return f"Q:', 'return f"{HEAD}Q:'))
        if through == "its file":
            (folder / f"{name}.yaml").unlink()
    found = load_tasks(["one", "two"], [tmp_path], TaskOptions())
    assert [task.task.instances[0].args[0].split(":")[0] for task in found] == ["First", "Second"]
    assert sys.path == before and "words_of_mine" not in sys.modules
    (tmp_path / "two" / "words_of_mine.py").write_text("HEAD = 'Another: '\n")
    (again,) = load_tasks(["two"], [tmp_path], TaskOptions())
    assert again.content != found[1].content
