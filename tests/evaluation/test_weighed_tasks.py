"""Tasks in lm-eval's own words: what they ask, weigh and score is what lm-eval's tasks of these names do with the same rows."""

import json
from pathlib import Path
from typing import Any

import lm_eval.tasks
import pytest
from dataset_files import prepared, write_lines, write_text
from lm_eval.api.task import ConfigurableTask
from lm_eval.tasks._yaml_loader import load_yaml

from teacherlm.errors import UserError
from teacherlm.evaluation.loading import LoadedTask, TaskOptions, load_tasks
from teacherlm.evaluation.scoring import Answer, score

FOLDERS = {"arc_easy": "arc", "arc_challenge": "arc", "truthfulqa_mc1": "truthfulqa", "truthfulqa_mc2": "truthfulqa"}
HELLASWAG = {
    "ind": 4,
    "activity_label": "Ice",
    "ctx_a": "[header] How [title] He mixes.",
    "ctx_b": "then",
    "ctx": "He mixes. then",
    "label": "2",
    "endings": ["Pour. [substeps] Run.", "[step] Eat it.", "Go  away.", "Wait [title] Then eat."],
}
WINOGRANDE = {"qID": "w-1", "sentence": "Ian ate Dennis's menudo because _ hated it.", "option1": "Ian", "option2": "Dennis", "answer": "2"}
MC = {"question": "Is it 'so'?", "mc1": {"Yes.": 1, "No.": 0, 'He said "no".': 0}, "mc2": {"Yes.": 1, "It's.": 1, "No.": 0}}
GEN = {"Question": "Is it so? ", "Best Answer": "Yes", "Correct Answers": "Yes; It is so", "Incorrect Answers": "No; It is never so."}


def arc(name: str, labels: str, key: str) -> dict[str, Any]:
    texts = ("dry palms", "wet", "palms with oil", "none")[: len(labels)]
    return {"id": name, "question": f"Which palms, {name}?", "choices": {"text": list(texts), "label": list(labels)}, "answerKey": key}


def nested(row: dict[str, Any]) -> dict[str, Any]:
    choices = [{"text": text, "label": label} for text, label in zip(*row["choices"].values(), strict=True)]
    return {"id": row["id"], "answerKey": row["answerKey"], "question": {"stem": row["question"], "choices": choices}}


ARC = [arc("a", "ABCD", "C"), arc("b", "1234", "4"), arc("c", "ABC", "A")]


def hub_rows(task: str) -> list[dict[str, Any]]:
    """As the hub has them, which lm-eval's own tasks read."""
    if task.startswith("arc"):
        return ARC
    if task.startswith("truthfulqa_mc"):
        lists = {f"{name}_targets": {"choices": list(MC[name]), "labels": list(MC[name].values())} for name in ("mc1", "mc2")}
        return [{"question": MC["question"], **lists}]
    if task == "truthfulqa_gen":
        lists = {"correct_answers": ["Yes", "It is so"], "incorrect_answers": ["No", "It is never so."]}
        return [{"question": "Is it so? ", "best_answer": "Yes", **lists}]
    return [HELLASWAG if task == "hellaswag" else WINOGRANDE]


def published(task: str, folder: Path) -> Path:
    if task.startswith("arc"):
        subset = {"arc_easy": "ARC-Easy", "arc_challenge": "ARC-Challenge"}[task]
        write_lines(folder / subset / f"{subset}-Test.jsonl", [nested(row) for row in ARC])
    elif task.startswith("truthfulqa_mc"):
        row = {"question": MC["question"], "mc1_targets": MC["mc1"], "mc2_targets": MC["mc2"]}
        write_text(folder / "mc_task.json", json.dumps([row]))
    elif task == "truthfulqa_gen":
        write_text(folder / "TruthfulQA.csv", ",".join(GEN) + "\n" + ",".join(GEN.values()) + "\n")
    elif task == "hellaswag":
        write_lines(folder / "hellaswag_val.jsonl", [{**HELLASWAG, "label": 2}])
    else:
        write_lines(folder / "dev.jsonl", [WINOGRANDE])
    return folder


def own_of_lm_eval(task: str, file: Path) -> Any:
    """lm-eval's task, told to read a local file of rows as the hub has them."""
    write_lines(file, hub_rows(task))
    folder = Path(lm_eval.tasks.__file__).parent / FOLDERS.get(task, "truthfulqa" if task.startswith("truthfulqa") else task)
    name = "default.yaml" if task == "winogrande" else f"{task}.yaml"
    config = {**load_yaml(folder / name), "dataset_path": "json", "dataset_name": None, "training_split": None, "fewshot_split": None}
    split = config.get("test_split") or config["validation_split"]
    kept = {key: value for key, value in config.items() if key not in ("tag", "validation_split", "test_split")}
    built = ConfigurableTask(config={**kept, "test_split": split, "dataset_kwargs": {"data_files": {split: str(file)}}})
    built.set_config("num_fewshot", 0)
    built.build_all_requests()
    return built


def loaded(task: str, data: Path) -> LoadedTask:
    (found,) = load_tasks([task], [], TaskOptions(data=data))
    return found


@pytest.mark.parametrize(
    "task", ["arc_easy", "arc_challenge", "hellaswag", "winogrande", "truthfulqa_mc1", "truthfulqa_mc2", "truthfulqa_gen"]
)
def test_requests_and_scores_are_those_of_lm_evals_own_task(task: str, tmp_path: Path) -> None:
    ours, theirs = loaded(task, published(task, tmp_path / "ours")), own_of_lm_eval(task, tmp_path / "hub.jsonl")
    assert [one.arguments for one in ours.task.instances] == [one.arguments for one in theirs.instances]
    assert ours.templates == () and set(ours.task.aggregation()) == set(theirs.aggregation())
    docs = {one.doc_id: one.doc for one in theirs.instances}
    if task == "truthfulqa_gen":
        answers, results = [[Answer("It is so.", tokens=3)]], {0: ["It is so."]}
    else:
        weighed = [-1.0 - 3 * (i % 4) + 0.1 * i for i in range(len(ours.task.instances))]
        answers = [[Answer((value, False))] for value in weighed]
        results = {n: [(v, False) for v, one in zip(weighed, theirs.instances, strict=True) if one.doc_id == n] for n in docs}
    rows, _ = score(ours, answers)
    for row in rows:
        assert row["correct"] == pytest.approx(theirs.process_results(docs[row["doc_id"]], results[row["doc_id"]]))


def test_the_right_option_of_winogrande_is_the_gold(tmp_path: Path) -> None:
    task = loaded("winogrande", published("winogrande", tmp_path))
    (row,), (metric,) = score(task, [[Answer((-9.0, False))], [Answer((-1.0, False))]])
    assert row["gold"] == row["answer"] == "Ian ate Dennis's menudo because Dennis" and metric.value == 1


def test_groups_name_their_tasks(tmp_path: Path) -> None:
    for group, tasks in {
        "arc": ["arc_easy", "arc_challenge"],
        "truthful_qa": [f"truthfulqa_{kind}" for kind in ("mc1", "mc2", "gen")],
    }.items():
        for task in tasks:
            published(task, tmp_path / group)
        assert [task.name for task in load_tasks([group], [], TaskOptions(data=tmp_path / group))] == tasks


@pytest.mark.parametrize(
    ("task", "row", "problem"),
    [
        ("winogrande", {**WINOGRANDE, "sentence": "No gap here."}, "question 'w-1' has no gap '_' to fill"),
        ("winogrande", {**WINOGRANDE, "answer": ""}, r"dev\.jsonl:1: there is no 'answer'"),
        ("hellaswag", {**HELLASWAG, "label": "7"}, r"hellaswag_val\.jsonl:1: answer '7' is outside the choices"),
        ("truthfulqa_mc1", {"question": "?", "mc1_targets": {"a": 1, "b": 1}, "mc2_targets": {"a": 1}}, "must have one right answer"),
        ("truthfulqa_mc1", {"question": "?"}, r"column 'mc1_targets' is missing \(found: question\)"),
    ],
)
def test_a_row_that_cannot_be_measured_is_one_clear_line(task: str, row: dict[str, Any], problem: str, tmp_path: Path) -> None:
    name = {"winogrande": "dev.jsonl", "hellaswag": "hellaswag_val.jsonl", "truthfulqa_mc1": "mc_task.json"}[task]
    write_lines(tmp_path / name, [row])
    with pytest.raises(UserError, match=problem) as error:
        loaded(task, tmp_path)
    assert "\n" not in str(error.value)


def test_a_folder_of_prepare_is_for_questions_letters(tmp_path: Path) -> None:
    prepared(tmp_path / "out", "winogrande", write_lines(tmp_path / "dev.jsonl", [WINOGRANDE]))
    with pytest.raises(UserError, match="was written by `prepare`; measure it with `questions_letters`"):
        loaded("winogrande", tmp_path / "out")
