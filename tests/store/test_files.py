"""Files are read with their place and written beside and renamed."""

from pathlib import Path

import pytest

from teacherlm.errors import UserError
from teacherlm.store.files import DROPPED, REJECTED, only_jsonl, read_jsonl, shard_place, work_folder, write_jsonl, writing


def test_rows_round_trip_with_their_line_numbers(tmp_path: Path) -> None:
    path = tmp_path / "x.jsonl"
    assert write_jsonl(path, [{"a": 1}, {"a": "é"}]) == 2
    assert list(read_jsonl(path)) == [(1, {"a": 1}), (2, {"a": "é"})]


def test_a_broken_line_an_empty_file_and_a_missing_file_are_named(tmp_path: Path) -> None:
    path = tmp_path / "x.jsonl"
    path.write_text('{"a": 1}\n\n{"a": \n')
    with pytest.raises(UserError, match=r"x\.jsonl:3: not valid JSON"):
        list(read_jsonl(path))
    path.write_text("[1]\n")
    with pytest.raises(UserError, match=r"x\.jsonl:1: expected a JSON object, found list"):
        list(read_jsonl(path))
    path.write_text("\n")
    with pytest.raises(UserError, match="the file has no rows"):
        list(read_jsonl(path))
    with pytest.raises(UserError, match="no such file"):
        list(read_jsonl(tmp_path / "y.jsonl"))


def test_a_failed_write_leaves_the_old_file_and_nothing_else(tmp_path: Path) -> None:
    path = tmp_path / "x.jsonl"
    path.write_text("old")
    with pytest.raises(RuntimeError), writing(path) as file:
        file.write(b"half")
        raise RuntimeError
    assert [(p.name, p.read_text()) for p in tmp_path.iterdir()] == [("x.jsonl", "old")]


def test_an_output_that_is_a_file_keeps_its_work_beside_it() -> None:
    assert work_folder(Path("a/x.jsonl")) == Path("a/x.jsonl.work")
    assert work_folder(Path("a/enhance")) == Path("a/enhance")
    assert shard_place(Path("a/x.jsonl"), "3/16") == Path("a/x.jsonl.work/shards/3-of-16")


def test_the_rows_of_a_folder_are_its_one_jsonl_without_what_was_dropped_or_is_hidden(tmp_path: Path) -> None:
    for name in ("x.jsonl", DROPPED, REJECTED, ".y.jsonl", "notes.txt"):
        (tmp_path / name).touch()
    (tmp_path / "folder.jsonl").mkdir()
    assert only_jsonl(tmp_path, "questions") == only_jsonl(tmp_path / "x.jsonl", "questions") == tmp_path / "x.jsonl"
    (tmp_path / "z.jsonl").touch()
    with pytest.raises(UserError, match=r"expected one \.jsonl of questions, found x\.jsonl, z\.jsonl; name one\.$"):
        only_jsonl(tmp_path, "questions", "; name one")
    with pytest.raises(UserError, match=r"expected one \.jsonl of rationales, found none\.$"):
        only_jsonl(tmp_path / "folder.jsonl", "rationales")
