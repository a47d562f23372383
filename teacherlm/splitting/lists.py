"""Lists that say which row is in which split: numbers of rows in a JSON file, ids in text files."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from teacherlm.errors import UserError
from teacherlm.log import say
from teacherlm.store.files import read_json
from teacherlm.store.sources import USUAL_SPLITS

TRAIN = "train"
Key = int | str
"""A row's number from 0, or its source's id."""


def read_lists(path: Path) -> dict[str, list[Key]]:
    """Split -> the rows listed for it: {"train": [0, 2], "test": [1]}, or text files of ids, one a line (`train_ids.txt`).

    Raises: UserError for another shape, an empty list, and a row in two lists neither of which is train.
    """
    if not path.exists():
        raise UserError(f"split_by: '{path}' is neither 'random' nor 'template', nor a file or folder of lists.")
    if path.suffix == ".json":
        lists = _checked_lists(read_json(path), path)
    else:
        files = sorted(path.glob("*.txt")) if path.is_dir() else [path]
        if not files:
            raise UserError(f"{path}: holds no lists; expected files such as train_ids.txt, with one id a line.")
        lists = {_split_of(file): _lines(file) for file in files}
    for name, keys in lists.items():
        if not keys:
            raise UserError(f"{path}: the list '{name}' is empty.")
    return _apart(lists, path)


def _apart(lists: Mapping[str, list[Key]], path: Path) -> dict[str, list[Key]]:
    """`train` first, without the rows that another list holds out: the authors' lists of ECQA have seven ids in two of them.

    Raises: UserError for a row in two other lists.
    """
    held_out: dict[Key, str] = {}
    for name, keys in lists.items():
        for key in keys if name != TRAIN else ():
            if held_out.setdefault(key, name) != name:
                raise UserError(f"{path}: {key!r} is listed for '{held_out[key]}' and for '{name}'.")
    if TRAIN not in lists:
        return dict(lists)
    train = [key for key in lists[TRAIN] if key not in held_out]
    if twice := len(lists[TRAIN]) - len(train):
        say(f"prepare: {twice} rows that {path} lists for 'train' are in another of its lists too; they are left out of 'train'.")
    return {TRAIN: train, **{name: keys for name, keys in lists.items() if name != TRAIN}}


def _checked_lists(given: Any, path: Path) -> dict[str, list[Key]]:
    good = isinstance(given, Mapping) and given and all(isinstance(keys, list) for keys in given.values())
    kinds = {type(key) for keys in given.values() for key in keys} if good else set()
    if not good or (kinds - {int} and kinds - {str}):
        raise UserError(f'{path}: expected {{"train": [0, 2, ...], "test": [1, ...]}}, numbers of rows from 0 or ids.')
    return {USUAL_SPLITS.get(name, name): list(keys) for name, keys in given.items()}


def _split_of(file: Path) -> str:
    stem = file.stem.removesuffix("_ids")
    return USUAL_SPLITS.get(stem, stem)


def _lines(file: Path) -> list[Key]:
    return [line.strip() for line in file.read_text(encoding="utf-8-sig").splitlines() if line.strip()]
