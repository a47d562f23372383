"""Sources cut into splits."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from teacherlm.dataset import BadRow, Splits
from teacherlm.errors import UserError
from teacherlm.records import Question
from teacherlm.splitting import Cut, cut
from teacherlm.splitting.skeletons import Skeletons
from tests.dataset_files import rows_of

KEYS = ("addsub", "multiarith", "svamp", "coin_flip", "date_understanding", "last_letter_concatenation")
TEMPLATE_KEYS = ("multiarith", "date_understanding")


@pytest.fixture(scope="session")
def reasoning_teacher(test_data: Path) -> Path:
    return test_data / "data" / "reasoning_teacher"


def published(folder: Path, key: str, name: str) -> dict[str, list[int]]:
    found: dict[str, list[int]] = json.loads((folder / "split" / f"{key}__{name}.json").read_text())
    return found


def source(folder: Path, key: str) -> Callable[[], Splits]:
    return lambda: rows_of(key, folder / "dataset")


def indices(splits: Splits) -> dict[str, list[int]]:
    """`sample_index` of every row."""
    return {name: [row.raw["sample_index"] for row in rows if isinstance(row, Question)] for name, rows in splits.items()}


def questions(n: int, **changes: Any) -> Callable[[], Splits]:
    return lambda: {"train": [Question(f"How many is {i}?", str(i), source_id=f"q{i}", **changes) for i in range(n)]}


def ids(splits: Splits) -> dict[str, list[str]]:
    return {name: [row.source_id for row in rows if isinstance(row, Question)] for name, rows in splits.items()}


@pytest.mark.real
@pytest.mark.parametrize("key", KEYS)
def test_random_is_the_published_default_split(key: str, reasoning_teacher: Path) -> None:
    assert indices(cut(source(reasoning_teacher, key), Cut("random"))) == published(reasoning_teacher, key, "default")


@pytest.mark.real
@pytest.mark.parametrize(("key", "name"), [*((key, "default") for key in KEYS), *((key, "template") for key in TEMPLATE_KEYS)])
def test_a_published_split_file_is_followed(key: str, name: str, reasoning_teacher: Path) -> None:
    by = str(reasoning_teacher / "split" / f"{key}__{name}.json")
    found = indices(cut(source(reasoning_teacher, key), Cut(by)))
    assert {split: set(rows) for split, rows in found.items()} == {
        split: set(rows) for split, rows in published(reasoning_teacher, key, name).items()
    }


@pytest.mark.real
def test_few_shot_is_the_beginning_of_a_permutation_of_train(reasoning_teacher: Path) -> None:
    import numpy as np

    train = published(reasoning_teacher, "multiarith", "default")["train"]
    found = indices(cut(source(reasoning_teacher, "multiarith"), Cut("random", few_shot=32)))
    assert found["train"] == sorted(np.random.RandomState(0).permutation(train)[:32].tolist())
    assert found["test"] == published(reasoning_teacher, "multiarith", "default")["test"]
    smaller = indices(cut(source(reasoning_teacher, "multiarith"), Cut("random", few_shot=8)))
    assert set(smaller["train"]) < set(found["train"])


@pytest.mark.real
@pytest.mark.parametrize("key", TEMPLATE_KEYS)
def test_no_template_is_shared_by_train_and_test(key: str, reasoning_teacher: Path) -> None:
    read = source(reasoning_teacher, key)
    parts = {name: list(rows) for name, rows in cut(read, Cut("template")).items()}
    everything = [row for row in read()["train"] if isinstance(row, Question)]
    assert sorted(i for rows in indices(parts).values() for i in rows) == list(range(len(everything)))
    assert abs(len(parts["train"]) / len(everything) - 0.7) < 0.03
    skeletons = Skeletons()
    for row in everything:
        skeletons.learn(row.question)
    seen = {name: {skeletons.skeleton(row.question) for row in rows if isinstance(row, Question)} for name, rows in parts.items()}
    assert not seen["train"] & seen["test"]
    assert indices(cut(read, Cut("template"))) == indices(parts) != indices(cut(read, Cut("template", seed=1)))


@pytest.mark.real
@pytest.mark.parametrize(("key", "shared"), [("multiarith", 0), ("date_understanding", 18)])
def test_the_published_template_splits_share_next_to_none_of_our_templates(key: str, shared: int, reasoning_teacher: Path) -> None:
    """The 18 date questions differ from others in a year and a name alone ("... in 2000. Today is her 16-year-old birthday.")."""
    rows = [row for row in source(reasoning_teacher, key)()["train"] if isinstance(row, Question)]
    skeletons = Skeletons()
    for row in rows:
        skeletons.learn(row.question)
    keys, split = skeletons.group(row.question for row in rows), published(reasoning_teacher, key, "template")
    train = {keys[i] for i in split["train"]}
    assert sum(keys[i] in train for i in split["test"]) == shared
    at_random = published(reasoning_teacher, key, "default")
    train = {keys[i] for i in at_random["train"]}
    assert sum(keys[i] in train for i in at_random["test"]) > len(at_random["test"]) / 2


@pytest.mark.real
def test_lists_of_ids_are_followed_over_all_splits(test_data: Path, capsys: pytest.CaptureFixture[str]) -> None:
    lists = test_data / "data" / "ecqa" / "author_split"
    listed = {name: (lists / f"{name}_ids.txt").read_text().split() for name in ("train", "val")}
    both = set(listed["train"]) & set(listed["val"])
    held_out = [*sorted(both), *listed["val"][:5]]
    rows = [Question("Where?", "there", source_id=one) for one in (*held_out, *listed["train"][:7], "unheard of")]

    def read() -> Splits:
        return {"a": rows[:4], "b": rows[4:]}

    found = cut(read, Cut(str(lists)))
    assert ids(found) == {"train": listed["train"][:7], "validation": held_out}
    said = " ".join(capsys.readouterr().err.split())
    assert f"{len(both)} rows that" in said and "are in another of its lists too; they are left out of 'train'" in said
    train = len(listed["train"]) - len(both)
    assert f"{train - 7} of the {train} rows that" in said and "are no questions of the source" in said
    assert f"1 of {len(rows)} rows are in no list" in said


def test_rows_that_repeat_keep_their_ids_however_they_are_cut(tmp_path: Path) -> None:
    rows = [Question("How many?", "1"), *(Question(f"{i}?", "1", source_id="s") for i in range(3)), Question("How many?", "1")] * 4

    def read() -> Splits:
        return {"train": rows}

    everything = ids(cut(read, Cut(str(write(tmp_path / "all.json", {"all": list(range(20))})))))["all"]
    halves = ids(cut(read, Cut("random", 0.5)))
    numbered = dict(zip(range(20), everything, strict=True))
    assert everything[1:4] == ["s", "s-2", "s-3"] and everything[0] == "" and everything[4].endswith("-2")
    assert sorted(one for part in halves.values() for one in part) == sorted(numbered.values())
    assert len(set(everything)) == 20


def test_rows_that_are_no_questions_are_not_lost(tmp_path: Path) -> None:
    rows = [BadRow("x:1", "bad"), *questions(8)()["train"], BadRow("x:10", "bad")]

    def read() -> Splits:
        return {"train": rows}

    for by in ("random", "template", str(write(tmp_path / "ids.json", {"train": ["q1"], "test": ["q2"]}))):
        found = [row for part in cut(lambda: {"train": [*rows, Question("Who is it?", "me")]}, Cut(by)).values() for row in part]
        assert sum(isinstance(row, BadRow) for row in found) == 2
    by_number = cut(read, Cut(str(write(tmp_path / "n.json", {"train": [0, 2], "test": [1]}))))
    train, test = list(by_number["train"]), list(by_number["test"])
    assert isinstance(train[0], BadRow) and ids({"train": train, "test": test}) == {"train": ["q1"], "test": ["q0"]}


def test_few_shot_alone_leaves_the_other_splits_as_they_are() -> None:
    def read() -> Splits:
        return {**questions(50)(), "test": questions(10)()["train"]}

    found = ids(cut(read, Cut(few_shot=8)))
    assert len(found["train"]) == 8 and len(found["test"]) == 10
    assert ids(cut(read, Cut(few_shot=8, seed=1)))["train"] != found["train"]
    assert ids(cut(read, Cut())) == ids(read())


def write(path: Path, content: Any) -> Path:
    path.write_text(content if isinstance(content, str) else json.dumps(content))
    return path


@pytest.mark.parametrize(
    ("how", "message"),
    [
        (Cut("random", 0.001), r"split_by random: 10 rows at a train_share of 0\.001 leave none for 'train'"),
        (Cut("template"), r"all questions have the same template; use split_by random"),
        (Cut("random", few_shot=8), r"few_shot: 8 is more than the 7 rows of 'train'"),
        (Cut(train_share=0.5), r"train_share: needs split_by random or template"),
        (Cut("tempalte"), r"split_by: 'tempalte' is neither 'random' nor 'template', nor a file or folder of lists"),
    ],
)
def test_what_cannot_be_cut_is_one_clear_line(how: Cut, message: str) -> None:
    with pytest.raises(UserError, match=message):
        cut(questions(10), how)


def test_several_splits_are_cut_by_ids_alone(tmp_path: Path) -> None:
    def read() -> Splits:
        return {"train": questions(10)()["train"], "validation": [Question("Who?", "me", source_id="w")]}

    for by in ("random", "template", str(write(tmp_path / "n.json", {"train": [0], "test": [1]}))):
        with pytest.raises(UserError, match="needs a source of one split, this one has train, validation; give the file of one of them"):
            cut(read, Cut(by))
    assert ids(cut(read, Cut(str(write(tmp_path / "i.json", {"train": ["w"], "test": ["q3"]}))))) == {"train": ["w"], "test": ["q3"]}


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ({"train": ["q1"], "test": ["nobody"]}, r"no row of the source is in the list 'test' \(it has 1, e\.g\. 'nobody'\)"),
        ({"dev": [1], "test": [1]}, r"1 is listed for 'validation' and for 'test'"),
        ({"train": [1], "test": [1]}, r"no row of the source is in the list 'train' \(all of it is in other lists\)"),
        ({"train": [1], "test": []}, r"the list 'test' is empty"),
        (
            {"train": [1], "test": ["q1"]},
            r"expected \{\"train\": \[0, 2, \.\.\.\], \"test\": \[1, \.\.\.\]\}, numbers of rows from 0 or ids",
        ),
        ({"train": [True]}, r"expected \{\"train\""),
        ([1, 2], r"expected \{\"train\""),
        ({}, r"expected \{\"train\""),
    ],
)
def test_lists_that_fit_nothing_are_one_clear_line(content: Any, message: str, tmp_path: Path) -> None:
    with pytest.raises(UserError, match=message):
        cut(questions(10), Cut(str(write(tmp_path / "x.json", content))))


def test_a_text_file_of_ids_is_the_split_that_its_name_says(tmp_path: Path) -> None:
    write(tmp_path / "dev_ids.txt", "\ufeffq3\r\n\r\n q1 \n")
    assert ids(cut(questions(10), Cut(str(tmp_path / "dev_ids.txt")))) == {"validation": ["q1", "q3"]}
    write(tmp_path / "train_ids.txt", "q0\n")
    assert ids(cut(questions(10), Cut(str(tmp_path)))) == {"train": ["q0"], "validation": ["q1", "q3"]}
    (tmp_path / "empty").mkdir()
    with pytest.raises(UserError, match="holds no lists; expected files such as train_ids"):
        cut(questions(10), Cut(str(tmp_path / "empty")))


def test_a_published_sample_index_counts_before_the_place_in_the_file(tmp_path: Path) -> None:
    rows = [row._replace(raw={"sample_index": 9 - i}) for i, row in enumerate(questions(10)()["train"]) if isinstance(row, Question)]
    by = str(write(tmp_path / "x.json", {"train": [0], "test": [9]}))
    assert ids(cut(lambda: {"train": rows}, Cut(by))) == {"train": ["q9"], "test": ["q0"]}
