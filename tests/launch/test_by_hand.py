"""A stage called on the command line over an output that is there."""

import json
from pathlib import Path

import yaml

from teacherlm.launch.by_hand import perform_by_hand
from teacherlm.parsing import parse_config
from teacherlm.stages.evaluate import STAGE, EvaluateConfig
from teacherlm.store.manifest import read_manifest


def write_questions(path: Path, count: int) -> None:
    rows = [{"id": f"q{i}", "question": f"What is {i} and {i}?", "choices": [str(2 * i), "7"], "answer": 0} for i in range(count)]
    path.write_text("".join(json.dumps(row) + "\n" for row in rows))


def write_task(folder: Path, questions: Path) -> None:
    told = {"task": "sums", "dataset_path": "json", "dataset_kwargs": {"data_files": {"test": str(questions)}}, "test_split": "test"}
    told |= {"output_type": "multiple_choice", "doc_to_text": "{{question}}", "doc_to_choice": "choices", "doc_to_target": "answer"}
    folder.mkdir()
    (folder / "sums.yaml").write_text(yaml.safe_dump({**told, "metric_list": [{"metric": "acc"}]}))


def test_overwrite_measures_again_what_a_task_reads_from_elsewhere(stories260k: Path, tmp_path: Path) -> None:
    questions = tmp_path / "questions.jsonl"
    write_questions(questions, 4)
    write_task(tmp_path / "tasks", questions)
    values = {"input": str(stories260k), "tasks": "sums", "output": tmp_path / "scores", "device": "cpu"}
    values |= {"include_path": [str(tmp_path / "tasks")]}

    def measured(overwrite: bool) -> int:
        perform_by_hand("evaluate", STAGE, parse_config(EvaluateConfig, values), overwrite=overwrite)
        manifest = read_manifest(tmp_path / "scores")
        assert manifest is not None
        return manifest.counts["measured"]

    assert measured(False) == 1
    write_questions(questions, 5)
    assert measured(False) == 1, "nothing that teacherlm knows of has changed"
    assert measured(True) == 1
    (row,) = map(json.loads, (tmp_path / "scores" / "results.jsonl").read_text().splitlines())
    assert row["n"] == 5
    assert measured(True) == 0, "what stands in measured/ is not asked again"
