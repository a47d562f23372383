"""`prompt_completion` and `regression`, whose files are lists by split in one JSON object."""

import gzip
import json
import random
from pathlib import Path
from typing import Any

import pytest
from reading import found, prepared, put, questions, reason, write

from teacherlm.dataset import BadRow
from teacherlm.errors import UserError


def counting(count: int, seed: int) -> list[dict[str, Any]]:
    """`1 9` -> `2 0`: the number after it, digits apart."""
    numbers = [random.Random(seed + i).randrange(1000) for i in range(count)]
    return [{"prompt": " ".join(str(n)), "completion": " ".join(str(n + 1)), "number": n} for n in numbers]


@pytest.fixture
def toy(tmp_path: Path) -> Path:
    folder = tmp_path / "mount" / "data"
    folder.mkdir(parents=True)
    write(folder / "count.json", {"train": counting(50, 0), "eval": counting(9, 100)})
    write(folder / "other.json", {"train": [{"prompt": "a", "completion": "b"}]})
    return folder


def test_the_counting_toy_is_prepared_byte_for_byte_with_every_key_kept(toy: Path, tmp_path: Path):
    out = prepared(tmp_path / "out", dataset={"name": "prompt_completion", "data_name": "count"}, source=str(toy))
    assert {split: len(rows) for split, rows in out.items()} == {"train": 50, "validation": 9}
    for row, given in zip(out["train"], counting(50, 0), strict=True):
        assert (row["prompt"], row["text"], row["answer"]) == (given["prompt"], given["prompt"] + given["completion"], given["completion"])
        assert {"prompt": row["source_prompt"], "completion": row["completion"], "number": row["number"]} == given
    assert {row["template"] for row in out["train"]} == {"verbatim"}


def test_a_delimiter_can_stand_between_a_prompt_and_a_completion_that_would_run_into_each_other(toy: Path, tmp_path: Path):
    dataset = {"name": "prompt_completion", "data_name": "count"}
    template = {"name": "verbatim", "delimiter": "\n"}
    rows = prepared(tmp_path / "out", dataset=dataset, source=str(toy), template=template)["train"]
    assert all(row["text"] == f"{row['prompt']}\n{row['completion']}" for row in rows)


def test_a_prompt_may_be_there_twice(tmp_path: Path):
    twice = [{"prompt": "1 9", "completion": "2 0"}] * 2
    rows = prepared(tmp_path / "out", dataset="prompt_completion", source=str(write(tmp_path / "x.json", {"train": twice})))["train"]
    assert [row["text"] for row in rows] == ["1 92 0"] * 2 and len({row["id"] for row in rows}) == 2


@pytest.mark.parametrize("layout", ["splits", "indented", "with more beside them", "empty split", "list", "lines", "gzip"])
def test_lists_by_split_a_list_and_lines_are_read(layout: str, tmp_path: Path):
    rows, path = [{"prompt": "Q: a\n", "completion": " b \n"}, {"prompt": "c", "completion": "d"}], tmp_path / "x.json"
    match layout:
        case "splits":
            write(path, {"train": rows})
        case "indented":
            write(path, {"train": rows}, indent=2)
        case "with more beside them":
            write(path, {"about": {"by": "me"}, "tags": ["x"], "train": rows})
        case "empty split":
            write(path, {"eval": [], "train": rows})
        case "list":
            write(path, rows)
        case "lines":
            path = write(tmp_path / "x.jsonl", [{"tags": [1], **row} for row in rows])
        case "gzip":
            path = tmp_path / "x.json.gz"
            path.write_bytes(gzip.compress(json.dumps({"train": rows}).encode()))
    read = questions("prompt_completion", path)
    assert list(read) == ["train"]
    assert [put(question, "verbatim") for question in read["train"]] == [("Q: a\n", " b \n"), ("c", "d")]


@pytest.mark.parametrize(
    ("row", "message"),
    [
        ({"prompt": "a"}, "column 'completion' is missing (found: prompt)."),
        ({"prompt": "a", "completion": 3}, "column 'completion' must be text, found 3."),
        ({"prompt": "a", "completion": ""}, "the completion is empty."),
        ({"prompt": " ", "completion": "b"}, "the prompt is empty."),
        ([1], "expected a JSON object, found list."),
    ],
)
def test_a_row_that_is_no_pair_is_a_bad_one_with_its_split_and_place(row: Any, message: str, tmp_path: Path):
    path = write(tmp_path / "x.json", {"eval": [{"prompt": "a", "completion": "b"}, row]})
    _, bad = found("prompt_completion", path)["validation"]
    assert isinstance(bad, BadRow) and bad.reason == f"{path}: eval item 2: {message}"


def test_a_name_that_is_not_there_is_refused(toy: Path):
    with pytest.raises(UserError, match=r"mount/data/coutn\.json: no such file \(data_name is 'coutn'\)"):
        found("prompt_completion", toy, data_name="coutn")


def test_the_only_file_of_a_folder_need_not_be_named_and_one_of_several_must_be(toy: Path):
    with pytest.raises(UserError, match=r"data: count\.json, other\.json: each holds splits; say which with data_name"):
        found("prompt_completion", toy)
    (toy / "other.json").unlink()
    assert {split: len(rows) for split, rows in found("prompt_completion", toy).items()} == {"train": 50, "validation": 9}


def test_each_file_of_a_folder_may_be_a_split(tmp_path: Path):
    write(tmp_path / "train.jsonl", [{"prompt": "a", "completion": "b"}])
    write(tmp_path / "dev.json", [{"prompt": "c", "completion": "d"}])
    assert {split: [row.answer for row in rows] for split, rows in questions("prompt_completion", tmp_path).items()} == {
        "train": ["b"],
        "validation": ["d"],
    }


def test_a_column_whose_values_share_no_type_can_be_left_out(tmp_path: Path):
    rows = [{"prompt": "a", "completion": "b", "odd": 1}, {"prompt": "c", "completion": "d", "odd": ["x"]}]
    source = str(write(tmp_path / "x.json", {"train": rows}))
    dataset = {"name": "prompt_completion", "leave_out": ["odd"]}
    assert "odd" not in prepared(tmp_path / "out", dataset=dataset, source=source)["train"][0]


def test_a_target_is_a_number_in_its_column_and_the_answer_as_text(tmp_path: Path):
    rows = [
        {"input": "good", "target": 0.9, "by": "x"},
        {"input": "bad", "target": 0, "by": "y"},
        {"input": "all", "target": "1", "by": "z"},
    ]
    source = str(write(tmp_path / "x.json", {"train": rows, "eval": rows[:1]}))
    out = prepared(tmp_path / "out", dataset="regression", source=source)
    assert [(row["target"], row["answer"], row["answer_rule"]) for row in out["train"]] == [
        (0.9, "0.9", "number"),
        (0.0, "0.0", "number"),
        (1.0, "1.0", "number"),
    ]
    assert {type(row["target"]) for row in out["train"]} == {float}
    assert [(row["prompt"], row["by"]) for row in out["validation"]] == [("good", "x")]


@pytest.mark.parametrize(
    ("row", "message"),
    [
        ({"input": "a", "target": 1.5}, "target 1.5 is outside 0 to 1; rescale the targets."),
        ({"input": "a", "target": -0.01}, "target -0.01 is outside 0 to 1; rescale the targets."),
        ({"input": "a", "target": "nan"}, "target 'nan' is outside 0 to 1; rescale the targets."),
        ({"input": "a", "target": "high"}, "target 'high' is not a number (expected one from 0 to 1)."),
        ({"input": "a", "target": None}, "target None is not a number (expected one from 0 to 1)."),
        ({"input": "a"}, "column 'target' is missing (found: input)."),
        ({"input": 3, "target": 1}, "column 'input' must be text, found 3."),
        ({"input": "", "target": 1}, "the input is empty."),
    ],
)
def test_a_target_that_is_none_is_a_bad_row(row: dict[str, Any], message: str, tmp_path: Path):
    path = write(tmp_path / "x.jsonl", [row])
    assert reason("regression", path) == f"{path}:1: {message}"


def test_targets_are_read_from_a_table_too(tmp_path: Path):
    (tmp_path / "x.csv").write_text("input,target\ngood,0.75\n")
    (question,) = questions("regression", tmp_path / "x.csv")["train"]
    assert (question.question, question.raw["target"]) == ("good", 0.75)
