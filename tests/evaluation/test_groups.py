"""A group is measured as one: over all questions of its tasks, each once."""

import statistics
from pathlib import Path
from typing import Any

import pytest
from dataset_files import write_text

from teacherlm.errors import Failed
from teacherlm.parsing import parse_config
from teacherlm.stages.evaluate import EvaluateConfig, evaluate
from teacherlm.store.files import read_jsonl
from tests.tiny_models import write_model

GROUP = "group: gases\ntask: [mmlu_anatomy, mmlu_virology]\naggregate_metric_list: [{metric: acc, weight_by_size: true}]\n"

MEMBER = """
task: {name}
custom_dataset: !function _rows.rows
output_type: multiple_choice
test_split: test
fewshot_split: train
doc_to_text: {text}
doc_to_choice: ["1", "2", "3"]
doc_to_target: "{{{{number}}}}"
{more}
"""
ROWS = """
from datasets import Dataset

def rows(**_):
    return {split: Dataset.from_list([{"split": split, "number": n} for n in range(3)]) for split in ("test", "train")}
"""


def rows(path: Path) -> list[dict[str, Any]]:
    return [row for _, row in read_jsonl(path)]


@pytest.mark.slow
@pytest.mark.real
def test_a_group_is_a_row_over_all_its_questions_and_its_tasks_keep_theirs(tmp_path: Path, stories260k: Path) -> None:
    for subject, count in (("anatomy", 3), ("virology", 8)):
        lines = "".join(f"Which of {n} is it,a{n},b{n},c{n},d{n},{n % 4}\n" for n in range(count))
        write_text(tmp_path / "data" / "val" / f"{subject}_val.csv", f"question,A,B,C,D,answer\n{lines}")
    write_text(tmp_path / "mine" / "gases.yaml", GROUP)
    words = {"input": str(stories260k), "data": tmp_path / "data", "output": tmp_path / "out", "dtype": "float32", "permute_options": True}
    asked = {**words, "tasks": ["mmlu_anatomy", "gases"], "include_path": [tmp_path / "mine"]}
    outcome = evaluate(parse_config(EvaluateConfig, asked))
    found = {(row["task"], row["metric"]): row for row in rows(tmp_path / "out" / "results.jsonl")}
    assert outcome.counts["tasks"] == 2 and outcome.metrics["stories260k.gases.acc"] == found["gases", "acc"]["value"]
    for metric in ("acc", "acc_permuted", "consistent"):
        group = found["gases", metric]
        parts = [found[task, metric] for task in ("mmlu_anatomy", "mmlu_virology")]
        assert group["n"] == 11 and group["value"] == pytest.approx(sum(row["value"] * row["n"] for row in parts) / 11)
        told = rows(tmp_path / "out" / group["predictions"])
        scores = [row["correct"][metric] for row in told]
        assert group["stderr"] == pytest.approx(statistics.stdev(scores) / 11**0.5)
        assert len({row["item"] for row in told}) == 11 and {row["item"].partition("/")[0] for row in told} == {
            row["task"] for row in parts
        }
    assert ("gases", "acc_spread") not in found, "no mean over questions"
    before = (tmp_path / "out" / "results.jsonl").read_bytes()
    assert evaluate(parse_config(EvaluateConfig, asked)).counts["measured"] == 0
    assert (tmp_path / "out" / "results.jsonl").read_bytes() == before


@pytest.fixture
def mine(tmp_path: Path) -> Path:
    """A group of a task that keeps its 0 shots and one that takes any number."""
    write_text(tmp_path / "mine" / "_rows.py", ROWS)
    write_text(tmp_path / "mine" / "both.yaml", "group: both\ntask: [bare, any]\n")
    write_member(tmp_path / "mine", "bare", more="num_fewshot: 0")
    write_member(tmp_path / "mine", "any")
    return tmp_path / "mine"


def write_member(folder: Path, name: str, text: str = '"{{number}} plus 1?"', more: str = "") -> None:
    write_text(folder / f"{name}.yaml", MEMBER.format(name=name, text=text, more=more))


def words(folder: Path, **more: Any) -> EvaluateConfig:
    model, output = write_model(folder.parent / "model"), folder.parent / "out"
    return parse_config(EvaluateConfig, {"input": str(model), "output": output, "tasks": "both", "include_path": [folder], **more})


def groups_in(output: Path) -> list[tuple[int, int]]:
    """(shots, questions) of the group's rows."""
    return [(row["shots"], row["n"]) for row in rows(output / "results.jsonl") if (row["task"], row["metric"]) == ("both", "acc")]


@pytest.mark.parametrize(("shots", "expected"), [(2, [(2, 6)]), (0, [(0, 6)]), ([0, 2], [(0, 6), (2, 6)]), ({"any": 2, "bare": 0}, [])])
def test_a_group_has_a_row_for_each_number_of_shots_asked_of_all_its_tasks_also_where_one_keeps_its_0(
    mine: Path, shots: Any, expected: list[tuple[int, int]]
) -> None:
    evaluate(words(mine, shots=shots))
    assert groups_in(mine.parent / "out") == expected
    shown = [row.get("shots_shown") for row in rows(mine.parent / "out" / "results.jsonl") if (row["task"], row["shots"]) == ("both", 2)]
    assert set(shown) <= {1.0}, "none before half of the questions"


DISTANCE = "metric_list: [{{metric: acc, aggregation: mean, higher_is_better: {better}}}]"


@pytest.mark.parametrize(("one", "other"), [("true", "true"), ("false", "false"), ("true", "false"), ("true", "null")])
def test_rows_say_which_way_is_better_and_those_of_a_group_where_its_tasks_agree(mine: Path, one: str, other: str) -> None:
    for name, better in (("bare", one), ("any", other)):
        write_member(mine, name, more=DISTANCE.format(better=better))
    evaluate(words(mine))
    told = {"true": True, "false": False, "null": "left out"}
    found = {row["task"]: row.get("higher_is_better", "left out") for row in rows(mine.parent / "out" / "results.jsonl")}
    assert found == {"bare": told[one], "any": told[other], "both": told[one] if one == other else "left out"}


def test_tasks_with_numbers_of_their_own_make_no_row_of_the_group(mine: Path) -> None:
    write_member(mine, "any", more="num_fewshot: 2")
    evaluate(words(mine))
    assert groups_in(mine.parent / "out") == []


def test_a_group_of_which_a_task_could_not_be_loaded_has_no_row(mine: Path) -> None:
    write_text(mine / "_late.py", "def text(doc):\n    if doc['number'] == 2:\n        raise TypeError('boom')\n    return 'x'\n")
    write_member(mine, "any", text="!function _late.text")
    with pytest.raises(Failed, match="task 'any': its code raised TypeError: boom"):
        evaluate(words(mine))
    assert {row["task"] for row in rows(mine.parent / "out" / "results.jsonl")} == {"bare"}
