import json
from collections import Counter
from pathlib import Path
from typing import Any

import pytest

from teacherlm.errors import UserError
from teacherlm.stage import Outcome
from teacherlm.stages.prepare import PrepareConfig, prepare


def source(folder: Path, name: str, count: int) -> str:
    folder.mkdir(exist_ok=True)
    path = folder / f"{name}.jsonl"
    # The same column of different types: no table could hold both.
    rows = ({"id": n if name == "a" else f"n{n}", "question": f"What is {name}{n}?", "answer": f"{n}"} for n in range(count))
    path.write_text("".join(json.dumps(row) + "\n" for row in rows))
    return str(path)


def prepared(tmp_path: Path, **values: Any) -> tuple[list[dict[str, Any]], Outcome]:
    outcome = prepare(PrepareConfig.model_validate({"output": tmp_path / "out", **values}))
    return [json.loads(line) for line in (tmp_path / "out" / "MIX.jsonl").read_text().splitlines()], outcome


def parts(tmp_path: Path, **sizes: Any) -> dict[str, Any]:
    counts = {"a": 40, "b": 10}
    told = {name: given if isinstance(given, dict) else {"size": given} for name, given in sizes.items()}
    return {name: {"dataset": "jsonl", "source": source(tmp_path / "in", name, counts[name]), **own} for name, own in told.items()}


def test_every_row_of_a_mix_says_its_source_and_keeps_its_columns(tmp_path: Path):
    rows, outcome = prepared(tmp_path, mix=parts(tmp_path, a="25%", b="all"))
    assert Counter(row["dataset"] for row in rows) == {"a": 10, "b": 10}
    assert outcome.counts["out"] == 20
    for row in rows:
        theirs = json.loads(row["source_row"])
        assert row["prompt"] == f"Q: {theirs['question']} A:"
        assert row["id"] == str(theirs["id"])


def test_the_seed_draws_the_rows(tmp_path: Path):
    first, _ = prepared(tmp_path, mix=parts(tmp_path, a=10))
    again, _ = prepared(tmp_path, mix=parts(tmp_path, a=10))
    other, _ = prepared(tmp_path, mix=parts(tmp_path, a=10), seed=1)
    assert first == again
    assert {row["id"] for row in first} != {row["id"] for row in other}


def test_more_rows_than_there_are_need_upsample(tmp_path: Path):
    with pytest.raises(UserError, match=r"mix\.b: 25 rows are asked for, the source has 10; take fewer, or say upsample"):
        prepared(tmp_path, mix=parts(tmp_path, b=25))
    assert not (tmp_path / "out").exists()
    rows, _ = prepared(tmp_path, mix=parts(tmp_path, b=25), upsample=True)
    assert sorted(Counter(row["prompt"] for row in rows).values()) == [2] * 5 + [3] * 5
    assert len({row["id"] for row in rows}) == 25


def test_epochs_repeat_what_was_drawn_and_weights_share_out_the_rows(tmp_path: Path):
    rows, _ = prepared(tmp_path, mix=parts(tmp_path, a={"size": "10", "epochs": 1.5}))
    assert len(rows) == 15
    assert len({row["prompt"] for row in rows}) == 10
    dataset = {"name": "mix", "rows": 20, "parts": parts(tmp_path, a={"weight": 3}, b={"weight": 1})}
    weighed, _ = prepared(tmp_path, dataset=dataset)
    assert Counter(row["dataset"] for row in weighed) == {"a": 15, "b": 5}


@pytest.mark.parametrize(
    ("values", "message"),
    [
        ({"mix": {"ark": "all"}}, "No dataset named 'ark'. Did you mean 'arc'?"),
        ({"mix": {"creak": "some"}}, "mix.creak"),
        ({"mix": {"jsonl": "all"}}, "mix.jsonl.source: is required for dataset 'jsonl'"),
        ({"mix": {"creak": "all"}, "dataset": "creak"}, "dataset, mix: give one of the two."),
        ({"dataset": {"name": "mix", "parts": {"creak": {"weight": 1}}}}, "weights share out `rows`: give both, or neither."),
        ({"dataset": {"name": "mix", "rows": 5, "parts": {"creak": {"weight": 1}, "gsm8k": "all"}}}, "parts.gsm8k: has no weight"),
    ],
)
def test_a_mix_that_cannot_be_made_is_one_line(tmp_path: Path, creak: Path, values: dict[str, Any], message: str):
    from teacherlm.parsing import parse_config

    if values.get("mix") == {"creak": "some"}:
        values = {"mix": {"creak": {"source": str(creak), "size": "some"}}}
    with pytest.raises(UserError) as caught:
        prepare(parse_config(PrepareConfig, {**values, "output": str(tmp_path / "out")}))
    assert message in str(caught.value)


def test_loader_and_preprocessor_know_the_same_names_so_no_dataset_is_dropped_silently(tmp_path: Path):
    """The original's loader said cot-collection, its preprocessor cot-collections, and the dataset vanished."""
    file = tmp_path / "cot.jsonl"
    file.write_text(json.dumps({"source": "How?", "rationale": "So.", "target": "yes"}) + "\n")
    for name in ("cot-collection", "cot-collections", "cot_collection"):
        rows, _ = prepared(tmp_path, mix={name: {"source": str(file)}})
        assert [row["dataset"] for row in rows] == [name]
