"""The manifests behind an output."""

from pathlib import Path

from teacherlm.store.files import work_folder
from teacherlm.store.manifest import Manifest, lineage, write_manifest


def made(output: Path, stage: str, *inputs: Path) -> Path:
    work_folder(output).mkdir(parents=True, exist_ok=True)
    write_manifest(output, Manifest(stage, 1, f"print of {output}", {}, {str(path): "" for path in inputs}))
    return output


def stages_behind(output: Path) -> list[str]:
    return [manifest.stage for _, manifest in lineage(output)]


def test_a_checkpoint_and_the_file_of_a_split_are_of_the_output_they_lie_in(tmp_path: Path) -> None:
    questions = made(tmp_path / "questions", "prepare")
    (questions / "train.jsonl").touch()
    student = made(tmp_path / "student", "finetune", questions / "train.jsonl")
    (student / "checkpoint-10").mkdir()
    assert stages_behind(made(tmp_path / "scores", "evaluate", student / "checkpoint-10")) == ["evaluate", "finetune", "prepare"]


def test_a_file_that_a_stage_wrote_into_the_folder_of_another_is_its_own(tmp_path: Path) -> None:
    questions = made(tmp_path / "questions", "prepare")
    rationales = made(questions / "cot.jsonl", "enhance", questions)
    assert stages_behind(made(tmp_path / "student", "finetune", rationales)) == ["finetune", "enhance", "prepare"]


def test_a_manifest_of_another_program_beside_an_input_is_no_output(tmp_path: Path) -> None:
    (tmp_path / "manifest.json").write_text('{"name": "a web page"}')
    (tmp_path / "my.jsonl").touch()
    assert stages_behind(made(tmp_path / "questions", "prepare", tmp_path / "my.jsonl")) == ["prepare"]
