import gzip
import json
from pathlib import Path

import pytest

from teacherlm.errors import UserError
from teacherlm.store.fingerprint import is_hub_id
from teacherlm.store.sources import Origin, Table, csv_table

LINE = '{"a": 1}\n'


def put(path: Path, text: str = LINE) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(gzip.compress(text.encode()) if path.suffix == ".gz" else text.encode())
    return path


def places(found: dict[str, Table], folder: Path) -> dict[str, str]:
    return {split: table.place.removeprefix(f"{folder}/") for split, table in found.items()}


def test_published_files_are_found_plain_and_gzipd(tmp_path: Path):
    for name in ("dev.json.gz", "train.json", "train.json.gz", "other.json"):
        put(tmp_path / name)
    found = Origin(str(tmp_path)).tables({"dev.json": "validation", "train.json": "train", "test.json": "test"})
    assert places(found, tmp_path) == {"train": "train.json", "validation": "dev.json.gz"}
    assert [row for _, row in found["validation"].rows()] == [{"a": 1}]
    assert list(Origin(str(tmp_path / "dev.json.gz")).tables({"dev.json": "validation"})) == ["validation"]


def test_every_file_of_data_in_a_folder_is_a_split_and_pieces_are_one(tmp_path: Path):
    for name in ("train-00000-of-00002.jsonl", "train-00001-of-00002.jsonl", "val.jsonl", "dropped.jsonl", ".hidden.jsonl", "notes.txt"):
        put(tmp_path / name)
    put(tmp_path / "hard.csv.gz", "a\n1\n2\n")
    found = Origin(str(tmp_path)).tables()
    assert {split: len(list(table.rows())) for split, table in found.items()} == {"train": 2, "hard": 2, "validation": 1}
    assert list(Origin(str(tmp_path)).tables(suffixes=[".csv"])) == ["hard"]
    put(tmp_path / "dev.json")
    with pytest.raises(UserError, match=r"dev\.json and val\.jsonl are both the split 'validation'; give one of them"):
        Origin(str(tmp_path)).tables()


def test_a_folder_downloaded_from_the_hub_stands_in_for_the_published_files(tmp_path: Path):
    from datasets import Dataset

    (tmp_path / "data").mkdir()
    for number in range(2):
        Dataset.from_list([{"a": number}]).to_parquet(str(tmp_path / "data" / f"train-0000{number}-of-00002.parquet"))
    Dataset.from_list([{"a": 9}]).to_parquet(str(tmp_path / "data" / "test-00000-of-00001.parquet"))
    found = Origin(str(tmp_path)).tables({"train.jsonl": "train"})
    assert {split: [row["a"] for _, row in table.rows()] for split, table in found.items()} == {"train": [0, 1], "test": [9]}


def test_patterns_name_the_files_of_a_split_in_order(tmp_path: Path):
    for name in ("dev/b_dev.csv", "dev/a_dev.csv.gz", "dev/b_dev.csv.gz", "test/a_test.csv", "test/notes.md"):
        put(tmp_path / name, "q\nx\n")
    found = Origin(str(tmp_path)).several({"dev/*_dev.csv": "train", "test/*_test.csv": "test", "dev/*": "rest"})
    assert {split: [table.place.removeprefix(f"{tmp_path}/") for table in tables] for split, tables in found.items()} == {
        "train": ["dev/a_dev.csv.gz", "dev/b_dev.csv"],
        "test": ["test/a_test.csv"],
    }
    assert [row for _, row in found["train"][0].rows()] == [{"q": "x"}]
    one = Origin(str(tmp_path / "dev" / "a_dev.csv.gz")).several({"test/*_test.csv": "test", "*_dev.csv": "few"})
    assert [(split, len(tables)) for split, tables in one.items()] == [("few", 1)]
    with pytest.raises(UserError, match=r"holds neither x/\*\.csv nor a dataset written by save_to_disk"):
        Origin(str(tmp_path)).several({"x/*.csv": "train"})


def test_a_table_gives_errors_in_their_place_or_raises_the_first(tmp_path: Path):
    table = Origin(str(put(tmp_path / "x.jsonl", f"{LINE}broken\n{LINE}"))).tables()["train"]
    assert [isinstance(row, UserError) for _, row in table.rows_or_errors()] == [False, True, False]
    with pytest.raises(UserError, match=r"x\.jsonl:2: not valid JSON"):
        list(table.rows())


def test_a_csv_without_header_is_a_table_too(tmp_path: Path):
    table = csv_table(put(tmp_path / "x.csv", "1,2\n"), header=("q", "a"))
    assert (table.place, list(table.rows())) == (str(tmp_path / "x.csv"), [(f"{tmp_path / 'x.csv'}:1", {"q": "1", "a": "2"})])


def test_what_is_not_there_or_holds_no_data_is_one_line(tmp_path: Path):
    with pytest.raises(UserError, match=r"nowhere\.csv: no such file or folder"):
        Origin(str(tmp_path / "nowhere.csv")).tables()
    with pytest.raises(UserError, match=r"holds neither \*\.json, \*\.jsonl, .* nor a dataset"):
        Origin(str(tmp_path)).tables()
    with pytest.raises(UserError, match=r"holds neither train\.json nor a dataset"):
        Origin(str(tmp_path)).several({"train.json": "train"})


def test_a_hub_name_may_bring_its_config():
    assert is_hub_id("allenai/ai2_arc:ARC-Challenge") and is_hub_id("openai/gsm8k:main") and is_hub_id("cais/mmlu")
    assert not any(map(is_hub_id, ("x.jsonl.gz", "d/x.tsv", "a/b/c", "/abs/path", "x.arrow")))


@pytest.mark.slow
def test_a_hub_name_with_a_config_is_loaded_with_it(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    """A folder stands in for the hub: `load_dataset` reads both in the same way."""
    for config in ("easy", "hard"):
        put(tmp_path / "own" / "set" / config / "train.jsonl", json.dumps({"a": config}))
    configs = "".join(f"  - config_name: {name}\n    data_files: {name}/train.jsonl\n" for name in ("easy", "hard"))
    put(tmp_path / "own" / "set" / "README.md", f"---\nconfigs:\n{configs}---\n")
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr("datasets.config.HF_DATASETS_CACHE", tmp_path / "cache")
    table = Origin("own/set:hard").tables()["train"]
    assert list(table.rows()) == [("own/set:hard: train row 0", {"a": "hard"})]
    with pytest.raises(UserError, match=r"missing:easy: neither a file nor a folder, and it could not be loaded from the hub"):
        monkeypatch.setenv("HF_HUB_OFFLINE", "1")
        Origin("own/missing:easy").tables()
