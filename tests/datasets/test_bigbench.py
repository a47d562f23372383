"""BIG-bench task files."""

import json
from collections import Counter
from pathlib import Path
from typing import Any

import pytest

from teacherlm.errors import UserError
from tests.dataset_files import prepared, read, write_text

DATES = Path("data") / "zero_shot_cot" / "dataset" / "Bigbench_Date"


def task(tmp_path: Path, *examples: dict[str, Any], **more: Any) -> Path:
    return write_text(tmp_path / "task.json", json.dumps({"name": "x", "metrics": ["m"], **more, "examples": list(examples)}, indent=2))


@pytest.mark.real
@pytest.mark.parametrize("dataset", ["bigbench", "date_understanding"])
def test_the_real_task_has_its_right_choices_anywhere_and_not_first(dataset: str, test_data: Path, tmp_path: Path) -> None:
    source = json.loads((test_data / DATES / "task.json").read_text())["examples"]
    assert sum(next(iter(row["target_scores"].values())) for row in source) > 360, "published with the right one first"
    written = prepared(tmp_path / "out", dataset, test_data / DATES)
    assert len(written) == 369 and len({row["id"] for row in written}) == 369
    for row, published in zip(written, source, strict=True):
        assert sorted(row["choices"]) == sorted(published["target_scores"])
        assert published["target_scores"][row["choices"]["ABCDEF".index(row["answer"])]] == 1
    letters = Counter(row["answer"] for row in written)
    assert set(letters) == set("ABCDEF") and max(letters.values()) < 369 / 3


@pytest.mark.real
def test_the_order_of_the_choices_is_drawn_by_the_seed_and_changes_no_id(test_data: Path, tmp_path: Path) -> None:
    first, again, other = (
        prepared(tmp_path / name, "bigbench", test_data / DATES, seed=seed) for name, seed in (("a", 0), ("b", 0), ("c", 1))
    )
    assert first == again and [row["choices"] for row in first] != [row["choices"] for row in other]
    assert [row["id"] for row in first] == [row["id"] for row in other]


def test_a_target_is_one_right_answer_or_several(tmp_path: Path) -> None:
    examples = [
        {"input": "2 + 2", "target": "4"},
        {"input": "Capital?", "target": ["St. Petersburg", "Leningrad"]},
        {"input": "So?", "target": "Yes"},
    ]
    found = read("bigbench", task(tmp_path, *examples, task_prefix="Answer. "))["train"]
    assert [(q.question, q.answer, q.answer_rule, q.references) for q in found] == [
        ("Answer. 2 + 2", "4", "number", ()),
        ("Answer. Capital?", "St. Petersburg", "exact", ("St. Petersburg", "Leningrad")),
        ("Answer. So?", "Yes", "yes_no", ()),
    ]


@pytest.mark.parametrize(
    ("example", "message"),
    [
        (
            {"input": "?", "target_scores": {"a": 1, "b": 1, "c": 0}},
            r"\[0\]: 2 choices share the best score in target_scores: a; b",
        ),
        ({"input": "?", "target_scores": {"a": 1}}, r"expected 2 to 26 choices in target_scores, found 1"),
        ({"input": "?", "target_scores": ["a"]}, r"target_scores must be \{choice: number\}, found \['a'\]"),
        ({"input": "?"}, r"column 'target' is missing \(found: sample_index, input\)"),
        ({"input": "?", "target": []}, r"there is no target"),
        ({"target": "x"}, r"column 'input' is missing"),
    ],
)
def test_what_is_no_example_is_one_clear_line(example: dict[str, Any], message: str, tmp_path: Path) -> None:
    with pytest.raises(UserError, match=message):
        read("bigbench", task(tmp_path, example))


def test_a_task_of_subtasks_is_refused(tmp_path: Path) -> None:
    path = write_text(tmp_path / "task.json", json.dumps({"name": "x", "subtasks": ["y"]}))
    with pytest.raises(UserError, match=r"task\.json: is made of subtasks; give the task\.json of one of them"):
        read("bigbench", path)
