"""Who stands beside whom: students of several runs, trainings and teachers that share a name, and what was measured twice."""

import csv
import shutil
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from finished_run import Run, make, rewrite

from teacherlm.store.manifest import Manifest, read_manifest, write_manifest


def manifest_of(folder: Path) -> Manifest:
    manifest = read_manifest(folder)
    assert manifest is not None
    return manifest


def sides(found: dict[str, Any]) -> dict[tuple[str, str], list[Any]]:
    return {(row["student"], row["trained_on"]): row["seeds"] for row in found["students"]}


def test_runs_with_other_seeds_are_no_seeds_of_one_student(tmp_path: Path) -> None:
    for name, seed, right in (("first", 0, 0.4), ("second", 1, 0.9)):
        Run(tmp_path / name, {"text": 0.3, "cot_head": right}, (seed,), questions=150, last_only=True).write()
    found = make([tmp_path / "first", tmp_path / "second"], tmp_path / "report")
    assert sides(found)["tiny · first", "cot_head"] == [0] and sides(found)["tiny · second", "cot_head"] == [1]
    assert {row["candidate"] for row in found["runs"]} == {"text (second)", "cot_head (second)"}


def test_seeds_that_were_trained_in_folders_of_their_own_are_seeds_of_one_student(tmp_path: Path) -> None:
    outputs = Run(tmp_path / "made", {"text": 0.3, "cot_head": 0.8}, questions=60, last_only=True).write()[1:]
    moved = []
    for output in outputs:
        place = tmp_path / output.name / "scores"
        shutil.copytree(output, place)
        write_manifest(place, replace(manifest_of(place), entry={}))
        moved.append(place)
    assert sides(make(moved, tmp_path / "report")) == {("tiny", "text"): [0, 1], ("tiny", "cot_head"): [0, 1]}


def test_a_training_that_was_evaluated_in_two_places_is_one_student_however_its_folder_is_spelled(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    outputs = Run(tmp_path, {"text": 0.3, "cot_head": 0.8}, questions=60, last_only=True).write()[1:]
    monkeypatch.chdir(tmp_path)
    for name in ("tiny-text-1", "tiny-cot_head-1"):
        place = tmp_path / "more" / name / "scores"
        shutil.copytree(tmp_path / "evaluate" / name, place)
        rewrite(place / "results.jsonl", lambda row: {**row, "task": "other"})
        write_manifest(place, replace(manifest_of(place), entry={}, config={"input": f"finetune/{name}"}))
        outputs.append(place)
    found = make(outputs, tmp_path / "report")
    assert {(row["task"], row["student"], row["trained_on"]): row["seeds"] for row in found["students"]} == {
        **{("word_problems", "tiny", name): [0, 1] for name in ("text", "cot_head")},
        **{("other", "tiny", name): [1] for name in ("text", "cot_head")},
    }


def test_a_reference_that_only_one_run_measured_stands_beside_the_students_of_all(tmp_path: Path) -> None:
    for name in ("first", "second"):
        Run(tmp_path / name, {"text": 0.3, "cot_head": 0.8}, (0,), questions=60, last_only=True).write()
    shutil.rmtree(tmp_path / "second" / "untrained")
    found = sides(make([tmp_path / "first", tmp_path / "second"], tmp_path / "report"))
    assert found["tiny · first", "untrained"] == found["tiny · second", "untrained"] == [None]


def other_contents(root: Path, gold: str | None) -> None:
    """As if the task of this run had been made with other settings, and perhaps of other questions."""
    for results in root.rglob("results.jsonl"):
        rewrite(results, lambda row: {**row, "task_hash": "other"})
    for predictions in root.rglob("predictions.jsonl"):
        rewrite(predictions, lambda row: {**row, "gold": gold or row["gold"]})


def test_runs_that_asked_other_questions_are_not_compared_and_the_same_questions_asked_otherwise_are(tmp_path: Path) -> None:
    for name, right in (("first", 0.4), ("second", 0.9)):
        Run(tmp_path / name, {"text": 0.3, "cot_head": right}, (0,), questions=150, last_only=True).write()
    runs = [tmp_path / "first", tmp_path / "second"]
    other_contents(runs[1], None)
    found = make(runs, tmp_path / "report")
    assert len(found["runs"]) == 2 and any("different contents" in caution for caution in found["cautions"])
    other_contents(runs[1], "999")
    found = make(runs, tmp_path / "again")
    assert found["runs"] == [] and len(found["comparisons"]) == 4
    said = "cot_head (second) against cot_head (first) (tiny, word_problems): measured on other questions, and not compared."
    assert said in found["cautions"]


def test_labels_under_other_words_are_the_same_questions(tmp_path: Path) -> None:
    for name, right in (("first", 0.4), ("second", 0.9)):
        Run(tmp_path / name, {"cot_head": right}, (0,), questions=150, lettered=True, last_only=True).write()
    for file in (tmp_path / "second").rglob("results.jsonl"):
        rewrite(file, lambda row: {**row, "task_hash": "other"})
    for file in (tmp_path / "second").rglob("predictions.jsonl"):
        rewrite(file, lambda row: {**row, "gold": {"A": "yes", "B": "no"}[row["gold"]]})
    assert len(make([tmp_path / "first", tmp_path / "second"], tmp_path / "report")["runs"]) == 1


def test_each_run_has_its_own_untrained_model_funnel_and_jobs(tmp_path: Path) -> None:
    for name in ("first", "second"):
        Run(tmp_path / name, {"text": 0.3, "cot_head": 0.8}, (0,), questions=60, last_only=True).write()
    place = tmp_path / "second" / "postprocess"
    write_manifest(place, replace(manifest_of(place), facts={"funnel": {"questions in": 10, "kept": 3}}))
    found = make([tmp_path / "first", tmp_path / "second"], tmp_path / "report")
    assert all(len(row["values"]) == 1 for row in found["students"])
    assert ("tiny · first", "untrained") in sides(found) and ("tiny · second", "untrained") in sides(found)
    assert {name: funnel["kept"] for name, funnel in found["funnel"].items()} == {"first/postprocess": 753, "second/postprocess": 3}
    assert len({row["job"] for row in found["timings"]}) == len(found["timings"])


def test_trainings_of_one_run_that_would_be_one_student_bear_the_names_of_their_outputs(tmp_path: Path) -> None:
    outputs = Run(tmp_path, {"text": 0.3, "cot_tail": 0.5, "cot_head": 0.9}, (0,), questions=80, last_only=True).write()[1:]
    for name in ("cot_tail", "cot_head"):  # as made by hand, each with another learning rate
        place = tmp_path / "finetune" / f"tiny-{name}-0"
        made = manifest_of(place)
        write_manifest(place, replace(made, entry={}, config={**made.config, "train_on": "cot_head"}))
    place = tmp_path / "finetune" / "tiny-text-0"
    write_manifest(place, replace(manifest_of(place), entry={}))
    found = make(outputs, tmp_path / "report")
    assert {row["candidate"] for row in found["comparisons"]} == {"cot_head (tiny-cot_tail-0)", "cot_head (tiny-cot_head-0)"}
    assert found["answer"].startswith("cot_head (tiny-cot_head-0) beats text by")


def test_a_baseline_that_was_trained_several_times_has_to_be_chosen(tmp_path: Path) -> None:
    outputs = Run(tmp_path, questions=60, last_only=True).write()[1:]
    write_manifest(tmp_path / "finetune" / "tiny-text-1", manifest_of(tmp_path / "finetune" / "tiny-text-0"))
    answer = make(outputs, tmp_path / "report")["answer"]
    assert answer.startswith("Nothing to compare: no student was trained on 'text' (found: ")
    assert "text (tiny-text-0)" in answer and answer.endswith("; choose one with --baseline")
    chosen = make(outputs, tmp_path / "chosen", baseline="text (tiny-text-0)")
    assert chosen["answer"].startswith("cot_head beats text (tiny-text-0) by ")


def test_untrained_models_of_one_name_are_called_by_their_paths(tmp_path: Path) -> None:
    outputs = [Run(tmp_path / name, {"text": 0.3}, (0,), questions=30, last_only=True).write()[0] for name in ("first", "second")]
    for output, model in zip(outputs, ("models/a/hf", "models/b/hf"), strict=True):
        write_manifest(output, replace(manifest_of(output), config={"input": model}, entry={}))
    assert {name for name, _ in sides(make(outputs, tmp_path / "report"))} == {"a/hf", "b/hf"}


def test_an_untrained_model_bears_the_label_of_its_matrix(tmp_path: Path) -> None:
    output = Run(tmp_path, {"text": 0.3}, (0,), questions=30, last_only=True).write()[0]
    write_manifest(output, replace(manifest_of(output), entry={"student": "small"}))
    assert set(sides(make([output], tmp_path / "report"))) == {("small", "untrained")}


def test_two_teachers_are_two_and_not_the_seeds_of_one(tmp_path: Path) -> None:
    outputs = Run(tmp_path, {"text": 0.3, "cot_head": 0.8}, (0,), questions=50, last_only=True).write()
    more = tmp_path / "untrained" / "other"
    shutil.copytree(outputs[0], more)
    for output, model in ((outputs[0], "big/cot"), (more, "big/error")):
        write_manifest(output, replace(manifest_of(output), config={"input": model}, entry={}))
    written = [replace(manifest_of(tmp_path / "enhance"), config={"teacher": {"model": model}}) for model in ("big/cot", "big/error")]
    write_manifest(tmp_path / "enhance", written[0])
    write_manifest(tmp_path / "second", written[1])
    place = tmp_path / "postprocess"
    both = {str(tmp_path / "enhance"): "a", str(tmp_path / "second"): "b"}
    write_manifest(place, replace(manifest_of(place), inputs=both))
    found = make([*outputs, more], tmp_path / "report")
    assert {("tiny", "teacher cot"), ("tiny", "teacher error")} < set(sides(found))
    assert all(len(row["values"]) == 1 for row in found["students"]) and "teacher" not in found["answer"]


def measured_again(root: Path) -> list[Path]:
    """A student whose answers were written down once as they are, and once, on fewer questions, all wrong."""
    outputs = Run(root, {"text": 0.4, "cot_head": 0.8}, (0,), questions=200, last_only=True).write()[1:]
    again = root / "evaluate_fewer" / "tiny-cot_head-0"
    shutil.copytree(outputs[-1], again)
    for file in again.glob("measured/*/predictions.jsonl"):
        rewrite(file, lambda row: {**row, "correct": {"acc": 0}} if row["doc_id"] < 50 else None)
    rewrite(again / "results.jsonl", lambda row: {**row, "value": 0.0, "n": 50})
    for output in [*outputs, again]:
        results = (output / "results.jsonl").read_text()
        (output / "results.jsonl").write_text(results + results.replace('"metric":"acc"', '"metric":"acc_norm"'))
    return [*outputs, again]


def test_of_two_measurements_of_a_checkpoint_the_one_of_most_questions_stands_and_the_other_is_said(tmp_path: Path) -> None:
    outputs = measured_again(tmp_path)
    for order in (outputs, outputs[::-1]):
        found = make(order, tmp_path / f"report{order[0].name}")
        (row,) = (row for row in found["students"] if row["trained_on"] == "cot_head")
        assert row["n"] == 200 and row["mean"] > 0.6
        assert found["every_metric"][0]["rows"][0]["values"][1] == pytest.approx(row["mean"])
        (said,) = (caution for caution in found["cautions"] if "measured 2 times with different results" in caution)
        assert said.startswith("cot_head (tiny) on word_problems") and said.count("evaluate_fewer") == 1
        with (tmp_path / f"report{order[0].name}" / "results.csv").open() as sheet:
            assert [one["n"] for one in csv.DictReader(sheet) if one["trained_on"] == "cot_head"] == ["200", "200"]


def test_one_named_checkpoint_still_has_the_training_behind_it(tmp_path: Path) -> None:
    outputs = Run(tmp_path, {"text": 0.3, "cot_head": 0.8}, (0,), questions=60, last_only=True).write()[1:]
    for output in outputs:
        made = manifest_of(output)
        checkpoint = f"{made.config['input']}/checkpoint-600"
        overlap = {"overlap": {"word_problems": {"questions": 60, "exact": 3, "shared": 12}}}
        write_manifest(output, replace(made, config={"input": checkpoint}, inputs={checkpoint: "its content"}, facts=overlap))
    found = make(outputs, tmp_path / "report")
    assert all(row["train_seconds"] for row in found["students"]) and "postprocess" in found["funnel"]
    assert any("with what cot_head and text were trained on (postprocess)" in caution for caution in found["cautions"])
