from pathlib import Path

import pytest

from teacherlm.errors import UserError
from teacherlm.store.hf import read_dataset, split_names, write_dataset, write_dict_file


def test_rows_come_back_as_they_were_written(tmp_path: Path):
    rows = [{"id": str(i), "n": i, "spans": [[i, i + 1]], "text": "é" * (i % 3)} for i in range(2345)]
    assert write_dataset(tmp_path / "train", iter(rows), "train") == 2345
    write_dict_file(tmp_path, ["train"])
    assert list(read_dataset(tmp_path, "train")) == rows
    assert list(read_dataset(tmp_path / "train")) == rows
    assert (split_names(tmp_path), split_names(tmp_path / "train")) == (["train"], ["train"])


def test_equal_rows_give_equal_files(tmp_path: Path):
    for name in ("a", "b"):
        write_dataset(tmp_path / name, ({"n": i} for i in range(10)))
    assert {p.name: p.read_bytes() for p in (tmp_path / "a").iterdir()} == {p.name: p.read_bytes() for p in (tmp_path / "b").iterdir()}


def test_columns_named_last_stand_at_the_end_even_when_others_come_later(tmp_path: Path):
    rows = [{"a": 1, "id": "x"}] * 1000 + [{"a": 1, "late": 2.5, "id": "x"}]
    write_dataset(tmp_path, iter(rows), last=["id"])
    found = list(read_dataset(tmp_path))
    assert list(found[0]) == ["a", "late", "id"]
    assert (found[0]["late"], found[1000]["late"]) == (None, 2.5)


def test_a_number_too_large_and_a_folder_that_is_no_dataset_are_named(tmp_path: Path):
    with pytest.raises(UserError, match=r"mine: column 'n': values in rows 1-1 cannot share a type \(int"):
        write_dataset(tmp_path / "x", iter([{"n": 2**70}]), origin="mine")
    with pytest.raises(UserError, match="is not a folder written by datasets' save_to_disk"):
        next(read_dataset(tmp_path))
    with pytest.raises(UserError, match="there are no rows to write"):
        write_dataset(tmp_path / "y", iter([]))


def test_a_class_label_comes_back_as_its_name(tmp_path: Path):
    from datasets import ClassLabel, Dataset, Features, Value

    features = Features({"label": ClassLabel(names=["false", "true"]), "n": Value("int64")})
    Dataset.from_list([{"label": 1, "n": 0}, {"label": 0, "n": 1}], features=features).save_to_disk(str(tmp_path / "d"))
    assert [row["label"] for row in read_dataset(tmp_path / "d")] == ["true", "false"]
