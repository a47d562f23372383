"""Tokenised once: what is read at the second start is what was made at the first, and nothing of other settings, data or code."""

import json
import os
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from datasets import Dataset

from teacherlm.stages.finetune import FinetuneConfig, finetune
from teacherlm.store.fingerprint import cache_folder
from teacherlm.training import encoding, token_cache, tokens
from teacherlm.training.batches import MicroBatches, Rows, cut
from teacherlm.training.families import FOLLOWS, Causal
from teacherlm.training.flat_rows import FlatWriter, map_rows
from teacherlm.training.subsample import subsampled
from teacherlm.training.texts import Reader, read_table
from teacherlm.training.token_cache import drop_oldest, read_entry
from tests.trainings import SETTINGS, finish, write_rows

CHEAP = {"epochs": 1, "save_strategy": "epoch", "scratch": {"hidden_size": 8, "layers": 1, "heads": 2, "context": 64}}


@pytest.fixture(autouse=True)
def own_cache(tmp_path, monkeypatch) -> None:
    monkeypatch.setenv("TEACHERLM_CACHE", str(tmp_path / "cache"))


def settings(tmp_path: Path, **given: Any) -> FinetuneConfig:
    data = tmp_path / "rows.jsonl"
    if not data.exists():
        write_rows(tmp_path)
    return FinetuneConfig(**{**SETTINGS, **CHEAP, "input": data, "output": tmp_path / f"run{time.monotonic_ns()}", **given})


def entries() -> list[Path]:
    return [path for path in cache_folder("tokens").glob("*") if not path.name.startswith(".")]


def count_tokenising(monkeypatch) -> list[int]:
    """Grows by one number whenever texts are tokenised."""
    calls: list[int] = []
    real = encoding.tokenised
    monkeypatch.setattr(encoding, "tokenised", lambda texts, *rest: calls.append(len(texts)) or real(texts, *rest))
    return calls


@pytest.mark.slow
def test_a_second_start_tokenises_nothing_and_gives_the_same_student(tmp_path, monkeypatch, capsys):
    calls = count_tokenising(monkeypatch)
    first = finetune(settings(tmp_path))
    assert calls == [43, 5] and "tokenised in" in capsys.readouterr().err
    second = finetune(settings(tmp_path))
    assert calls == [43, 5] and "read from the token cache in" in capsys.readouterr().err
    uncached = finetune(settings(tmp_path, cache=False))
    assert calls == [43, 5, 43, 5]
    assert first.counts == second.counts == uncached.counts and first.counts["tokens"] > 500
    assert first.metrics["train_loss"] == second.metrics["train_loss"] == uncached.metrics["train_loss"]
    assert first.metrics["held_out_loss"] == second.metrics["held_out_loss"]


@pytest.mark.slow
def test_what_changes_the_rows_changes_their_name_and_nothing_else_does(tmp_path):
    data = settings(tmp_path).input
    finetune(settings(tmp_path))
    same = [{"learning_rate": 1e-3}, {"batch_size": 8, "micro_batch": 4}, {"packing": True}, {"group_by_length": False}]
    for given in same:
        finetune(settings(tmp_path, **given))
        assert len(entries()) == 1, given
    others = [
        {"seed": 1},  # another part is held out
        {"held_out": 0.0},
        {"loss_on": "all"},
        {"limit": 20},
        {"max_source_length": 8},
        {"max_source_length": 8, "truncation_side": "right"},
        {"scratch": {**CHEAP["scratch"], "tokenizer": "bpe"}},
        {"objective": "step_by_step", "train_on": "text"} | {},
    ]
    rows = [json.loads(line) | {"cot": " It is one more."} for line in data.read_text().splitlines()]
    data.write_text("".join(json.dumps(row) + "\n" for row in rows))
    for number, given in enumerate(others):
        finetune(settings(tmp_path, **given))
        assert len(entries()) == 2 + number, given
    finetune(settings(tmp_path, held_out=0.0, seed=5))
    assert len(entries()) == 1 + len(others), "where nothing is held out, the seed changes no row"


@pytest.mark.parametrize("limit", [None, 40])
def test_a_table_is_read_slice_by_slice_with_the_names_its_rows_have(tmp_path, monkeypatch, limit):
    rows = [json.loads(line) for line in settings(tmp_path).input.read_text().splitlines()]
    Dataset.from_list(rows).save_to_disk(str(tmp_path / "set"))
    for data in (tmp_path / "rows.jsonl", tmp_path / "set"):
        config, table = settings(tmp_path, input=data), subsampled(read_table(data, limit), "30", 0)
        whole = tokens.texts_of(config, table, Reader(None, "any"))
        monkeypatch.setattr(tokens, "SLICE", 7)
        assert tokens.texts_of(config, table, Reader(None, "any")) == whole and len(whole[0]) + len(whole[1]) == 30
        monkeypatch.undo()


@pytest.mark.slow
def test_a_row_that_changed_is_tokenised_anew(tmp_path, monkeypatch):
    calls = count_tokenising(monkeypatch)
    config = settings(tmp_path, held_out=0.0)
    finetune(config)
    config.input.write_text(config.input.read_text().replace("The answer is 15.", "The answer is 16."))
    finetune(settings(tmp_path, held_out=0.0))
    assert calls == [48, 48]


@pytest.mark.slow
@pytest.mark.parametrize("damage", ["torn", "missing", "foreign", "no about", "not json"])
def test_a_torn_or_foreign_entry_is_ignored_and_written_anew(tmp_path, monkeypatch, damage):
    calls = count_tokenising(monkeypatch)
    first = finetune(settings(tmp_path))
    (entry,) = entries()
    tokens_file = entry / "trained" / "tokens.input_ids.bin"
    whole = tokens_file.read_bytes()
    if damage == "torn":
        tokens_file.write_bytes(whole[:-4])
    elif damage == "missing":
        tokens_file.unlink()
    elif damage == "foreign":
        (entry / "about.json").write_text('{"someone": "else"}')
    elif damage == "no about":
        (entry / "about.json").unlink()
    else:
        (entry / "about.json").write_text("{")
    assert finetune(settings(tmp_path)).counts == first.counts
    assert calls == [43, 5, 43, 5] and tokens_file.read_bytes() == whole
    finetune(settings(tmp_path))
    assert len(calls) == 4


def test_a_cache_that_cannot_be_written_only_costs_time(tmp_path, capsys):
    (tmp_path / "cache").mkdir()
    (tmp_path / "cache" / "tokens").write_text("a file where the folder would be")
    assert finetune(settings(tmp_path)).counts["rows"] == 48
    assert "tokens cannot be kept for the next start" in capsys.readouterr().err


def test_the_longest_unused_entries_go_first(tmp_path):
    for number, name in enumerate(("old", "used", "new")):
        (tmp_path / name).mkdir()
        (tmp_path / name / "tokens.bin").write_bytes(bytes(100))
        (tmp_path / name / "about.json").write_text("{}")
        os.utime(tmp_path / name / "about.json", (number, number))
    os.utime(tmp_path / "old" / "about.json", (9, 9))
    half = tmp_path / ".writing-1"
    half.mkdir()
    os.utime(half, (1, 1))
    drop_oldest(tmp_path, 210, spare="new")
    assert sorted(path.name for path in tmp_path.iterdir()) == ["new", "old"]
    drop_oldest(tmp_path, 10, spare="new")
    assert [path.name for path in tmp_path.iterdir()] == ["new"]


def test_rows_come_back_from_files_as_they_were(tmp_path):
    given = [{**Causal().join([3] * i, [4, 5]), FOLLOWS: i % 2, "score": i / 3} for i in range(5)]
    in_memory, on_disk = FlatWriter(), FlatWriter(tmp_path / "rows")
    for row in given:
        in_memory.add(row, len(row["input_ids"]))
        on_disk.add(row, len(row["input_ids"]))
    for found in (in_memory.finish(), on_disk.finish(), map_rows(tmp_path / "rows", ["input_ids", "labels"], [FOLLOWS, "score"])):
        assert len(found) == 5 and found.costs.tolist() == [2, 3, 4, 5, 6]
        for row, other in zip(given, found, strict=True):
            assert row.keys() == other.keys() and all(np.array_equal(row[key], other[key]) for key in row)
        assert found[-1]["score"] == 4 / 3 and len(found[1:3]) == 2
        assert Rows(found, Causal()).together() == Rows(given, Causal()).together() == [[0, 1], [2, 3], [4]]
        with pytest.raises(IndexError):
            found[5]


def test_no_rows_are_rows_too(tmp_path):
    assert list(FlatWriter().finish()) == list(FlatWriter(tmp_path / "none").finish()) == []


def test_half_a_million_rows_are_ready_at_once(tmp_path):
    """Nothing is done for each row in Python before it is asked for."""
    count = 500_000
    folder = tmp_path / "rows"
    folder.mkdir()
    np.arange(10 * count, dtype=np.int32).tofile(folder / "tokens.input_ids.bin")
    np.arange(10 * count, dtype=np.int32).tofile(folder / "tokens.labels.bin")
    for key in ("input_ids", "labels"):
        (np.arange(count, dtype=np.int64) * 10 + 10).tofile(folder / f"ends.{key}.bin")
    np.full(count, 10, dtype=np.int64).tofile(folder / "cost.bin")
    began = time.process_time()
    rows = Rows(map_rows(folder, ["input_ids", "labels"], []), Causal())
    batches = MicroBatches(rows.lengths(), cut(64, None, None, 1), 0, together=rows.together())
    assert len(batches) == count / 16 and rows[count - 1]["labels"].tolist() == list(range(10 * count - 10, 10 * count))
    assert time.process_time() - began < 4, "a loop over the rows alone takes longer"


@pytest.mark.slow
def test_of_two_processes_the_first_tokenises(tmp_path):
    data = write_rows(tmp_path)
    said = finish(data, tmp_path / "two", processes=2, **CHEAP)
    assert said.count("tokenised in") == 1 and len(entries()) == 1
    assert "read from the token cache" in finish(data, tmp_path / "again", processes=2, **CHEAP)


@pytest.mark.long
def test_several_trainings_that_start_at_once_share_one_entry(tmp_path):
    data = write_rows(tmp_path)
    runs = []
    for number in range(3):
        file = tmp_path / f"{number}.json"
        file.write_text(json.dumps({**SETTINGS, **CHEAP, "input": str(data), "output": str(tmp_path / f"out{number}")}))
        runs.append(subprocess.Popen([sys.executable, "-m", "teacherlm.cli", "finetune", "--config", str(file)], stderr=subprocess.PIPE))
    said = [run.communicate(timeout=120)[1] for run in runs]
    assert [run.returncode for run in runs] == [0, 0, 0], said
    (entry,) = entries()
    found = read_entry(entry.name)
    assert found is not None and len(found.trained.rows) == 43
    assert not list(cache_folder("tokens").glob(".writing-*"))


def test_the_code_that_makes_rows_is_part_of_their_name(tmp_path, monkeypatch):
    finetune(settings(tmp_path))
    monkeypatch.setattr(token_cache, "_code", lambda: "another version")
    finetune(settings(tmp_path))
    assert len(entries()) == 2 and tokens.entry_name is token_cache.entry_name
