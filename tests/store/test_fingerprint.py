"""What decides an output, as a short hash."""

import os
from pathlib import Path

import pytest

from teacherlm.errors import UserError
from teacherlm.stage import Input, Model, Outcome, Runtime, Settings, Stage, StageConfig
from teacherlm.store.files import write_json
from teacherlm.store.fingerprint import content_on_disk, fingerprint, is_hub_id, sha256_of, sources
from teacherlm.store.manifest import Manifest, write_manifest


class Teacher(Settings):
    model: Model
    """Path or hub id."""
    dtype: str = "auto"
    """Precision."""
    device: Runtime[str] = "cpu"
    """Where."""


class Config(StageConfig):
    input: list[Input] = []
    """Read."""
    teacher: Teacher | None = None
    """Nested."""
    data: dict[str, Input] = {}
    """By name."""
    top: int = 1
    """A setting."""


def mark(**values: object) -> str:
    stage = Stage(lambda config: Outcome(), Config)
    return fingerprint("x", stage, Config.model_validate({"output": "somewhere", **values}), content_on_disk)


def test_content_counts_and_not_the_path(tmp_path: Path) -> None:
    for name, text in (("a.jsonl", "1"), ("b.jsonl", "1"), ("c.jsonl", "2")):
        (tmp_path / name).write_text(text)
    a, b, c = (mark(input=[str(tmp_path / name)]) for name in ("a.jsonl", "b.jsonl", "c.jsonl"))
    assert a == b != c


def test_a_changed_file_is_noticed_when_size_or_time_change(tmp_path: Path) -> None:
    path = tmp_path / "a.jsonl"
    path.write_text("1")
    before = sha256_of(path)
    path.write_text("2")
    os.utime(path, ns=(1, 1))
    assert sha256_of(path) != before


def test_runtime_settings_nested_ones_too_stay_out() -> None:
    assert mark(teacher={"model": "gpt2"}) == mark(teacher={"model": "gpt2", "device": "cuda"}, output="elsewhere")
    assert mark(teacher={"model": "gpt2"}) != mark(teacher={"model": "gpt2", "dtype": "bfloat16"})
    assert mark(teacher={"model": "gpt2"}) != mark(teacher={"model": "openai/gpt3"})


def test_a_model_folder_is_known_by_names_sizes_and_times(tmp_path: Path) -> None:
    (tmp_path / "config.json").write_text("{}")
    before = mark(teacher={"model": str(tmp_path)})
    os.utime(tmp_path / "config.json", ns=(1, 1))
    assert mark(teacher={"model": str(tmp_path)}) != before


def test_an_output_of_ours_is_known_by_its_manifest_and_what_lies_inside_by_its_place(tmp_path: Path) -> None:
    folder = tmp_path / "finetune"
    (folder / "checkpoint-1").mkdir(parents=True)
    write_json(folder / "job.json", {"fingerprint": "f" * 16})
    with pytest.raises(UserError, match="is not finished"):
        content_on_disk(str(folder), "model")
    write_manifest(folder, Manifest("finetune", 1, "f" * 16, {}, {}))
    assert content_on_disk(str(folder), "model") == "f" * 16
    inside = content_on_disk(str(folder / "checkpoint-1"), "model")
    (folder / "checkpoint-1" / "note.txt").write_text("x")
    assert content_on_disk(str(folder / "checkpoint-1"), "model") == inside != "f" * 16


def test_every_source_is_found_wherever_it_stands() -> None:
    config = Config.model_validate({"output": "o", "input": ["a", "b"], "teacher": {"model": "m"}, "data": {"creak": "d"}})
    assert [(path, mark.kind) for path, mark in sources(config)] == [("a", "data"), ("b", "data"), ("m", "model"), ("d", "data")]


@pytest.mark.parametrize(
    ("text", "answer"), [("gpt2", True), ("facebook/opt-1.3b", True), ("a/b/c", False), ("./x", False), ("x.jsonl", False)]
)
def test_a_hub_id_is_told_from_a_path(text: str, answer: bool) -> None:
    assert is_hub_id(text) is answer


def test_what_is_neither_on_disk_nor_a_hub_id_is_refused() -> None:
    with pytest.raises(UserError, match="no such file or folder"):
        content_on_disk("runs/x/y", "model")
