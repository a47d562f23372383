"""One split cut into several: at random as Fine-tune-CoT did, so that no question template is shared, or as lists say."""

import random
from array import array
from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import chain, islice
from pathlib import Path

from teacherlm.dataset import BadRow, Splits
from teacherlm.errors import UserError
from teacherlm.log import say
from teacherlm.records import Question, content_id
from teacherlm.splitting.lists import Key, read_lists
from teacherlm.splitting.skeletons import Skeletons
from teacherlm.store.scratch import Occurrences, scratch_database

WAYS_TO_DRAW = RANDOM, TEMPLATE = "random", "template"
LEFT_OUT = 255
"""In place of a part's number."""
AT_ONCE = 1000

Found = Question | BadRow
Read = Callable[[], Splits]
"""Reads the whole source anew."""


@dataclass(frozen=True)
class Cut:
    """How a source is cut."""

    by: str | None = None
    """RANDOM, TEMPLATE, or a file or folder of lists."""
    train_share: float = 0.7
    few_shot: int | None = None
    """So many rows of train, and no others of it."""
    seed: int = 0


@dataclass(frozen=True)
class Parts:
    """Which row goes where. One byte a row; the source is read again for each part."""

    names: tuple[str, ...]
    of_row: "array[int]"
    """Number of the part, or LEFT_OUT."""
    ids: Mapping[int, str]
    """Of rows whose content or id came before: with their occurrence in the whole source, so that cutting changes no id."""


def cut(read: Read, how: Cut) -> Splits:
    """The splits of a source as `how` says.

    A row keeps its id however it is cut. Raises: UserError where that cannot be: several splits, one template, lists that fit no row.
    """
    if how.by not in WAYS_TO_DRAW and how.train_share != Cut.train_share:
        raise UserError("train_share: needs split_by random or template.")
    if how.by is None:
        return read() if how.few_shot is None else _few_of_train(read, how)
    if how.by in WAYS_TO_DRAW:
        _only_split(read(), f"split_by {how.by}")
        parts = _drawn(read, how)
    else:
        parts = _listed(read, Path(how.by))
    if how.few_shot is not None:
        _keep_few(parts, _number_of_train(parts.names, how.by), how)
    return {name: _part(read, parts, number) for number, name in enumerate(parts.names)}


def random_train(n: int, share: float, seed: int) -> list[int]:
    """The rows of train as Fine-tune-CoT drew them: the first of a permutation, in their order."""
    import numpy as np

    return sorted(np.random.RandomState(seed).permutation(n)[: round(n * share)].tolist())


def few_of(rows: Sequence[int], n: int, seed: int) -> list[int]:
    """As Fine-tune-CoT drew few-shot subsets: the first n of a permutation of these rows, in their order."""
    import numpy as np

    return sorted(np.random.RandomState(seed).permutation(list(rows))[:n].tolist())


def _drawn(read: Read, how: Cut) -> Parts:
    ids, n = _survey(read)
    of_row = array("B", bytes([1]) * n)
    for row in random_train(n, how.train_share, how.seed) if how.by == RANDOM else _train_by_template(read, how):
        of_row[row] = 0
    for number, name in enumerate(("train", "test")):
        if number not in of_row:
            raise UserError(f"split_by {how.by}: {n} rows at a train_share of {how.train_share} leave none for '{name}'.")
    return Parts(("train", "test"), of_row, ids)


def _train_by_template(read: Read, how: Cut) -> list[int]:
    """Templates in an order drawn by the seed, whole, until train has about its share."""
    skeletons = Skeletons()
    for found in _rows(read()):
        if isinstance(found, Question):
            skeletons.learn(found.question)
    keys = skeletons.group(found.question if isinstance(found, Question) else "" for found in _rows(read()))
    sizes = Counter(keys)
    if len(sizes) < 2:
        raise UserError("split_by template: all questions have the same template; use split_by random.")
    order = sorted(sizes)
    random.Random(how.seed).shuffle(order)
    wanted, taken, train = how.train_share * len(keys), 0, set()
    for key in order[:-1]:
        if taken and abs(taken + sizes[key] - wanted) > abs(taken - wanted):
            break
        train.add(key)
        taken += sizes[key]
    return [row for row, key in enumerate(keys) if key in train]


def _listed(read: Read, path: Path) -> Parts:
    lists = read_lists(path)
    names = tuple(lists)
    part_of = {key: number for number, keys in enumerate(lists.values()) for key in keys}
    by_number = all(isinstance(key, int) for key in part_of)
    splits = read()
    if by_number:
        _only_split(splits, f"split_by {path}")
    ids, n = _survey(read)
    of_row = array("B", bytes([LEFT_OUT]) * n)
    matched: set[Key] = set()
    for row, found in enumerate(_rows(splits)):
        keys = (_number(found, row),) if by_number else _names(found, ids.get(row))
        key = next((key for key in keys if key in part_of), None)
        if key is not None:
            of_row[row] = part_of[key]
            matched.add(key)
        elif isinstance(found, BadRow) and not by_number:
            of_row[row] = 0
    _say_what_did_not_match(path, lists, matched, of_row.count(LEFT_OUT), n)
    return Parts(names, of_row, ids)


def _number(found: Found, row: int) -> int:
    raw = found.raw if isinstance(found, Question) else found.row
    said = raw.get("sample_index")
    return said if isinstance(said, int) and not isinstance(said, bool) else row


def _names(found: Found, unique: str | None) -> tuple[str, ...]:
    """What a list may call a row: the column `id` that `prepare` writes, or what its source calls it."""
    if isinstance(found, BadRow):
        return ()
    name = found.source_id or content_id(found)
    return (unique, name) if unique else (name,)


def _say_what_did_not_match(path: Path, lists: Mapping[str, Sequence[Key]], matched: set[Key], left_out: int, n: int) -> None:
    """Raises: UserError for a list of which no row is there."""
    for name, keys in lists.items():
        missing = len(set(keys) - matched)
        if missing == len(set(keys)):
            which = f"it has {len(keys)}, e.g. {keys[0]!r}" if keys else "all of it is in other lists"
            raise UserError(f"{path}: no row of the source is in the list '{name}' ({which}); a single list may be given too.")
        if missing:
            say(f"prepare: {missing} of the {len(set(keys))} rows that {path} lists for '{name}' are no questions of the source.")
    if left_out:
        say(f"prepare: {left_out} of {n} rows are in no list of {path}; they are left out.")


def _few_of_train(read: Read, how: Cut) -> Splits:
    """The source's own train becomes few-shot; its other splits stay as they are."""
    splits = read()
    name = "train" if "train" in splits else _only_split(splits, "few_shot")

    def read_train() -> Splits:
        return {name: read()[name]}

    ids, n = _survey(read_train)
    parts = Parts((name,), array("B", bytes(n)), ids)
    _keep_few(parts, 0, how)
    return {split: _part(read_train, parts, 0) if split == name else found for split, found in splits.items()}


def _number_of_train(names: Sequence[str], by: str) -> int:
    if "train" not in names:
        raise UserError(f"few_shot: needs a split 'train' ({by} lists {', '.join(names)}).")
    return names.index("train")


def _keep_few(parts: Parts, number: int, how: Cut) -> None:
    """Leaves out all rows of a part but a few."""
    assert how.few_shot is not None
    rows = [row for row, part in enumerate(parts.of_row) if part == number]
    if how.few_shot > len(rows):
        raise UserError(f"few_shot: {how.few_shot} is more than the {len(rows)} rows of '{parts.names[number]}'.")
    say(f"prepare: {how.few_shot} of the {len(rows)} rows of '{parts.names[number]}' are kept.")
    kept = set(few_of(rows, how.few_shot, how.seed))
    for row in rows:
        if row not in kept:
            parts.of_row[row] = LEFT_OUT


def _survey(read: Read) -> tuple[dict[int, str], int]:
    """(ids of the rows whose name came before, number of rows)."""
    ids: dict[int, str] = {}
    row = 0
    rows = _rows(read())
    with scratch_database() as database:
        names = Occurrences(database)
        while batch := list(islice(rows, AT_ONCE)):
            own = [(row + i, found.source_id or content_id(found)) for i, found in enumerate(batch) if isinstance(found, Question)]
            given = names.unique([name for _, name in own])
            ids.update({at: unique for (at, name), unique in zip(own, given, strict=True) if unique != name})
            row += len(batch)
    return ids, row


def _part(read: Read, parts: Parts, number: int) -> Iterator[Found]:
    for row, found in enumerate(_rows(read())):
        if parts.of_row[row] == number:
            yield found._replace(source_id=parts.ids[row]) if isinstance(found, Question) and row in parts.ids else found


def _rows(splits: Splits) -> Iterator[Found]:
    return chain.from_iterable(splits.values())


def _only_split(splits: Splits, by: str) -> str:
    """Raises: UserError where there are several: what would be cut is then in doubt."""
    if len(splits) > 1:
        raise UserError(f"{by}: needs a source of one split, this one has {', '.join(splits)}; give the file of one of them.")
    return next(iter(splits))
