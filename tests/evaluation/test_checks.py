"""What a user's data and files lack is one line that names the task, before a student is loaded."""

from pathlib import Path

import pytest

from teacherlm.errors import Failed, UserError
from teacherlm.evaluation.failures import Failures
from teacherlm.evaluation.loading import TaskOptions, load_tasks
from teacherlm.log import quiet_libraries
from teacherlm.proposing.new_task import write_new_task


@pytest.fixture(params=["yaml", "python"])
def plants(tmp_path: Path, request: pytest.FixtureRequest) -> Path:
    write_new_task("plants", request.param, tmp_path)
    return tmp_path


def test_a_split_that_files_of_ones_own_lack_is_named_with_those_they_have(tmp_path: Path) -> None:
    write_new_task("plants", "yaml", tmp_path)
    text = (tmp_path / "plants.yaml").read_text()
    (tmp_path / "plants.yaml").write_text(text.replace("test_split: test", "test_split: tset"))
    with pytest.raises(UserError, match=r"^task 'plants': its data has no split 'tset' \(found: test\)\.$"):
        load_tasks(["plants"], [tmp_path], TaskOptions())


def test_a_column_that_a_class_misses_is_not_taken_for_a_split(tmp_path: Path) -> None:
    write_new_task("stones", "python", tmp_path)
    text = (
        (tmp_path / "stones.py")
        .read_text()
        .replace("return self.dataset", "self.dataset = {'test': self.dataset}; return self.dataset['test']")
    )
    (tmp_path / "stones.py").write_text(text.replace("doc['question']", "doc['label']"))
    with pytest.raises(KeyError, match="label"):
        load_tasks(["stones"], [tmp_path], TaskOptions())


@pytest.mark.parametrize(
    ("added", "problem"),
    [
        (None, "the file has no rows"),
        ('{"id": "q5", "quest', "5: not valid JSON"),
        ("[1]\n", "5: expected a JSON object, found list"),
    ],
)
def test_an_empty_or_torn_file_is_one_line_with_its_place(
    plants: Path, added: str | None, problem: str, caplog: pytest.LogCaptureFixture
) -> None:
    quiet_libraries()
    data = plants / "plants.jsonl"
    data.write_text("" if added is None else data.read_text() + added)
    with pytest.raises(UserError, match=rf"^task 'plants': .*plants\.jsonl:\s?{problem}") as error:
        load_tasks(["plants"], [plants], TaskOptions())
    assert "\n" not in str(error.value) and not [record for record in caplog.records if record.name.startswith("datasets")]


def test_another_file_that_cannot_be_read_is_named_with_what_its_reader_says(plants: Path) -> None:
    (plants / "plants.json").write_text('[{"id": "q1", ')
    for file in (plants / "plants.yaml", plants / "plants.py"):
        if file.exists():
            file.write_text(file.read_text().replace("plants.jsonl", "plants.json"))
    with pytest.raises(UserError, match=r"^task 'plants': .*plants\.json: .+") as error:
        load_tasks(["plants"], [plants], TaskOptions())
    assert "\n" not in str(error.value)


def test_a_task_that_ends_the_program_has_failed_and_the_others_are_loaded(tmp_path: Path) -> None:
    write_new_task("plants", "yaml", tmp_path)
    (tmp_path / "ends.py").write_text("import sys\nfrom teacherlm.evaluation.classic import Task\n\n\nclass Ends(Task):\n    sys.exit(0)\n")
    failures = Failures()
    assert [task.name for task in load_tasks(["ends", "plants"], [tmp_path], TaskOptions(), failures)] == ["plants"]
    with pytest.raises(Failed, match=r"task 'ends': its code raised SystemExit: 0 \(the rest is kept\)"):
        failures.end("the rest is kept")


@pytest.mark.parametrize("style", ["yaml", "python"])
def test_a_split_is_refused_by_a_task_that_says_itself_what_is_measured(tmp_path: Path, style: str) -> None:
    write_new_task("plants", style, tmp_path)
    with pytest.raises(UserError, match="split: the task 'plants' says itself what is measured and cannot take train"):
        load_tasks(["plants"], [tmp_path], TaskOptions(split="train"))
    (tmp_path / "plants.yaml").unlink()
    if style == "python":
        with pytest.raises(UserError, match="split: the task 'plants' says itself what is measured and cannot take train"):
            load_tasks(["plants"], [tmp_path], TaskOptions(split={"plants": "train"}))
