"""A part of the questions: drawn by the seed, the smaller within the larger, attempts together."""

import json
from itertools import pairwise
from pathlib import Path

import pytest

from teacherlm.errors import UserError
from teacherlm.training.subsample import as_size, subsampled
from teacherlm.training.texts import Table, read_table


def table(folder: Path, questions: int = 80, attempts: int = 2) -> Table:
    path = folder / "rows.jsonl"
    rows = [{"id": f"q{i}", "text": f"{i}, attempt {a}"} for i in range(questions) for a in range(attempts)]
    path.write_text("".join(json.dumps(row) + "\n" for row in rows))
    return read_table(path)


def ids(part: Table) -> list[str]:
    return [row["id"] for row in part.rows]


@pytest.mark.parametrize(("value", "size"), [(0.25, "25%"), ("0.125", "12.5%"), (".5", "50%"), (1000, "1000"), ("12.5%", "12.5%")])
def test_a_fraction_is_a_share(value: object, size: str) -> None:
    assert as_size(value) == size


def test_each_part_lies_within_the_next_and_keeps_the_order(tmp_path: Path) -> None:
    whole = table(tmp_path)
    parts = [ids(subsampled(whole, size, 3)) for size in ("12.5%", "25%", "50%", "all")]
    assert [len(part) for part in parts] == [20, 40, 80, 160]
    order = {name: i for i, name in enumerate(dict.fromkeys(ids(whole)))}
    for smaller, larger in pairwise(parts):
        assert set(smaller) < set(larger)
        assert smaller == sorted(smaller, key=order.__getitem__)


def test_attempts_at_a_question_stay_together(tmp_path: Path) -> None:
    part = ids(subsampled(table(tmp_path), "7", 0))
    assert len(part) == 14 and part[::2] == part[1::2]


def test_another_seed_draws_others_and_the_same_the_same(tmp_path: Path) -> None:
    whole = table(tmp_path)
    first, again, other = (ids(subsampled(whole, "10", seed)) for seed in (0, 0, 1))
    assert first == again != other


def test_rows_keep_the_places_they_have_in_the_whole(tmp_path: Path) -> None:
    from datasets import Dataset

    whole = table(tmp_path)
    part = subsampled(whole, "5", 0)
    assert [whole.where(i) for i, row in enumerate(whole.rows) if row in part.rows] == [part.where(i) for i in range(10)]
    Dataset.from_list([{"id": f"q{i}"} for i in range(9)]).save_to_disk(str(tmp_path / "folder"))
    folder = subsampled(read_table(tmp_path / "folder"), "3", 0)
    assert [folder.where(i) for i in range(3)] == [f"{tmp_path / 'folder'}: row {row['id'][1:]} (id {row['id']})" for row in folder.rows]


@pytest.mark.parametrize(
    ("size", "message"),
    [
        ("0", "subsample: 0 of 80 questions is 0; expected 1 to 80."),
        ("1%", "subsample: 1% of 80 questions is 0; expected 1 to 80."),
        ("81", "subsample: 81 of 80 questions is 81; expected 1 to 80."),
        ("half", "subsample: size 'half': expected all, a share such as 10%, or a number of rows."),
    ],
)
def test_a_part_that_cannot_be_is_refused(tmp_path: Path, size: str, message: str) -> None:
    with pytest.raises(UserError) as error:
        subsampled(table(tmp_path), size, 0)
    assert str(error.value) == message
