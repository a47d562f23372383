"""prepare cuts a source into splits, by the command's own settings."""

import json
from pathlib import Path
from typing import Any

import pytest

from teacherlm.errors import UserError
from teacherlm.stages.prepare import STAGE, PrepareConfig, prepare
from teacherlm.store.fingerprint import content_on_disk, fingerprint, sources

MULTIARITH = Path("data") / "reasoning_teacher" / "dataset" / "multiarith.json"


def config(output: Path, **values: Any) -> PrepareConfig:
    return PrepareConfig.model_validate({"dataset": "multiarith", "output": output, **values})


def splits(output: Path, **values: Any) -> dict[str, list[dict[str, Any]]]:
    from datasets import load_from_disk

    prepare(config(output, **values))
    return {str(name): split.to_list() for name, split in load_from_disk(str(output)).items()}


@pytest.mark.real
def test_a_row_has_the_same_id_whatever_stands_around_it(test_data: Path, tmp_path: Path) -> None:
    """Equal rows, of which there are 20 pairs here, are told apart by which of them comes first."""
    source = str(test_data / MULTIARITH)
    whole = splits(tmp_path / "whole", source=source)["train"]
    ids = {row["sample_index"]: row["id"] for row in whole}
    assert len(set(ids.values())) == 600 and sum(one.endswith("-2") for one in ids.values()) == 20
    for name, values in {
        "random": {"split_by": "random"},
        "template": {"split_by": "template"},
        "few": {"few_shot": 99},
        "limit": {"limit": 300},
    }.items():
        rows = [row for split in splits(tmp_path / name, source=source, **values).values() for row in split]
        assert rows and all(row["id"] == ids[row["sample_index"]] for row in rows)
    backwards = tmp_path / "backwards.json"
    backwards.write_text(json.dumps(json.loads((test_data / MULTIARITH).read_text())[::-1]))
    assert {row["id"] for row in splits(tmp_path / "again", source=str(backwards))["train"]} == set(ids.values())


@pytest.mark.real
def test_train_is_written_for_the_teacher_and_test_beside_it(test_data: Path, tmp_path: Path) -> None:
    split_file = test_data / "data" / "reasoning_teacher" / "split" / "multiarith__template.json"
    found = splits(tmp_path / "out", source=str(test_data / MULTIARITH), split_by=str(split_file))
    assert {name: len(rows) for name, rows in found.items()} == {"train": 413, "test": 187}
    lines = (tmp_path / "out" / "MULTIARITH.jsonl").read_text().splitlines()
    assert [json.loads(line) for line in lines] == found["train"]


@pytest.mark.real
def test_ids_that_prepare_wrote_may_be_listed(test_data: Path, tmp_path: Path) -> None:
    source = str(test_data / MULTIARITH)
    ids = [row["id"] for row in splits(tmp_path / "whole", source=source)["train"]]
    second = next(one for one in ids if one.endswith("-2"))
    lists = {"train": [one for one in ids if one != second], "test": [second]}
    (tmp_path / "lists.json").write_text(json.dumps(lists))
    found = splits(tmp_path / "cut", source=source, split_by=str(tmp_path / "lists.json"))
    assert {name: [row["id"] for row in rows] for name, rows in found.items()} == lists


def test_a_list_counts_by_its_content_and_the_ways_to_draw_by_their_names(tmp_path: Path) -> None:
    source = tmp_path / "multiarith.json"
    source.write_text(json.dumps([{"question": f"How many is {i}?", "answer": str(i)} for i in range(9)]))
    (tmp_path / "lists.json").write_text('{"train": [0], "test": [1]}')

    def print_of(**values: Any) -> str:
        return fingerprint("prepare", STAGE, config(tmp_path / "out", source=str(source), **values), content_on_disk)

    by_list = print_of(split_by=str(tmp_path / "lists.json"))
    assert len({by_list, print_of(), print_of(split_by="random"), print_of(split_by="template"), print_of(few_shot=2)}) == 5
    (tmp_path / "same.json").write_text((tmp_path / "lists.json").read_text())
    assert print_of(split_by=str(tmp_path / "same.json")) == by_list
    assert [place for place, _ in sources(config(tmp_path / "out", source=str(source), split_by="random"))] == [str(source)]
    with pytest.raises(UserError, match="split_by: 'rnadom' is neither"):
        prepare(config(tmp_path / "out", source=str(source), split_by="rnadom"))
    assert not (tmp_path / "out").exists()
