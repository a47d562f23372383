"""How a source is prepared: by the dataset that knows it, or by its columns; tried on its first rows."""

import re
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from functools import cached_property
from pathlib import Path
from typing import Any

from teacherlm.errors import UserError
from teacherlm.proposing.columns import Look, look_at
from teacherlm.proposing.mapping import ColumnMap, guess, require_complete, with_given
from teacherlm.recognition import GENERAL, TRIED, Preview, Reading, general_reader, preview, readings, recognised
from teacherlm.store.hf import is_dataset_folder
from teacherlm.store.readers import SUFFIXES, suffix_of

SHARES = (0.1, 0.3, 0.5)
"""Of the rows that are measured and not taught, where the source has no split for it; the first that leaves some on both sides."""
NOTHING = re.compile("no rows to write|it has no rows")
TRIED_FOR_BAD = 2000
WAYS = ("", "letter", "index", "index_from_1", "text")
MIXED_TYPES = re.compile(r"column '(.+?)': values.* cannot share a type")
MOST_LEFT_OUT = 20
USUAL = frozenset(("validation", "test"))


@dataclass(frozen=True)
class Proposal:
    source: str
    name: str
    """Of the dataset."""
    columns: ColumnMap | None = None
    """Of a general reader."""
    delimiter: str = ""
    answer_is: str = ""
    leave_out: tuple[str, ...] = ()
    splits: tuple[str, ...] = ()
    held_out: float = SHARES[0]
    notes: tuple[str, ...] = ()
    """Why it is so, for people."""
    others: tuple[str, ...] = field(default=())
    """Datasets that could read it as well."""

    @property
    def dataset(self) -> dict[str, Any]:
        """The setting `dataset` of prepare."""
        settings: dict[str, Any] = {"name": self.name}
        if self.columns is not None:
            settings |= {"columns": self.columns.settings()} if self.columns.settings() else {}
            settings |= {"delimiter": self.delimiter} if self.delimiter else {}
            settings |= {"answer_is": self.answer_is} if self.answer_is else {}
            settings |= {"held_out": self.held_out} if self.splits == ("train",) else {}
        settings |= {"leave_out": list(self.leave_out)} if self.leave_out else {}
        return settings

    @property
    def prepare(self) -> dict[str, Any]:
        """The settings of the step."""
        dataset = self.dataset
        drawn = len(self.splits) == 1 and "held_out" not in dataset
        by_chance: dict[str, Any] = {"split_by": "random", "train_share": 1 - self.held_out} if drawn else {}
        bad: dict[str, Any] = {"on_bad_row": "drop"} if self.tried.dropped else {}
        return {"dataset": dataset if len(dataset) > 1 else self.name, "source": self.source, **by_chance, **bad}

    @property
    def measured(self) -> str:
        """The split that students are measured on."""
        if len(self.splits) == 1:
            return "validation" if "held_out" in self.dataset else "test"
        taught = "train" if "train" in self.splits else self.splits[0]
        others = [split for split in self.splits if split != taught]
        return next((split for split in ("test", "validation") if split in others), others[0])

    @cached_property
    def tried(self) -> Preview:
        """The first rows as they are prepared. Raises: UserError saying why none of them is a question."""
        return _prepared({"dataset": self.dataset, "source": self.source}, TRIED_FOR_BAD)


def propose(source: str, dataset: str, given: Mapping[str, str]) -> tuple[Proposal, Look | None]:
    """`dataset`: named by the user; `given`: role -> column, of a general reader.

    Raises: UserError for what nobody can read, for several datasets in one folder, and where the answers cannot be found.
    """
    found = readings(source)
    known = dataset or ("" if given else recognised(found))
    if known and known not in GENERAL:
        _refuse_several(source)
        return _known(source, known, found), None
    look = look_at(source)
    columns = require_complete(with_given(guess(look), given, look), look)
    others = tuple(one.name for one in found if one.name not in GENERAL)
    return mapped(source, known or general_reader(source), columns, look, others), look


def mapped(source: str, name: str, columns: ColumnMap, look: Look, others: tuple[str, ...] = ()) -> Proposal:
    """The columns, and how answers name their choices: the first way in which all rows can be read, else the one with the fewest bad ones.

    Raises: UserError saying why no row can be read.
    """
    splits = tuple(look.splits)
    start = Proposal(source, name, columns, look.delimiter, splits=splits, others=others)
    ways = WAYS if columns.choices else WAYS[:1]
    best: tuple[int, Proposal] | None = None
    problem: UserError | None = None
    for way in ways:
        try:
            fitting = _with_some_held_out(_without_mixed_types(replace(start, answer_is=way)))
            bad = len(_prepared({"dataset": fitting.dataset, "source": source}, TRIED).dropped)
        except UserError as error:
            problem = problem or error
            continue
        if not bad:
            return fitting
        if best is None or bad < best[0]:
            best = (bad, fitting)
    if best is None:
        raise problem or UserError(f"{source}: no row can be read.")
    return best[1]


def _known(source: str, name: str, found: list[Reading]) -> Proposal:
    """A single published file stands for its folder where that has a split to measure, too."""
    reading = next((one for one in found if one.name == name), None)
    splits = reading.splits if reading else tuple(_prepared({"dataset": name, "source": source}, TRIED).rows)
    if len(splits) == 1 and Path(source).is_file():
        folder = str(Path(source).parent)
        beside = next((one for one in readings(folder) if one.name == name), None)
        if beside and "train" in beside.splits and not USUAL.isdisjoint(beside.splits):
            note = f"{Path(source).name} lies beside the other splits of {name} ({', '.join(beside.splits)}), so the folder is the source."
            return Proposal(folder, name, splits=beside.splits, notes=(note,))
    proposal = Proposal(source, name, splits=splits)
    return proposal if len(splits) > 1 else _with_a_drawn_share(proposal)


def _with_a_drawn_share(proposal: Proposal) -> Proposal:
    count = len(proposal.tried.all)
    for share in SHARES:
        if 0 < round(count * (1 - share)) < count:
            return replace(proposal, held_out=share)
    raise UserError(f"{proposal.source}: has too few rows to hold some out.")


def _refuse_several(source: str) -> None:
    """Raises: UserError for a folder in which one file is of one dataset and another of another."""
    path = Path(source)
    files = [file for file in sorted(path.iterdir()) if suffix_of(file) in SUFFIXES and file.is_file()] if path.is_dir() else []
    if is_dataset_folder(path) or len(files) < 2:
        return
    names = {file.name: name for file in files[:MOST_LEFT_OUT] if (name := recognised(readings(str(file))))}
    if len(set(names.values())) > 1:
        told = ", ".join(f"{file} ({name})" for file, name in names.items())
        raise UserError(f"{source}: holds several datasets: {told}; give one of these files.")


def _with_some_held_out(proposal: Proposal) -> Proposal:
    """Of a handful of rows a tenth may be none."""
    for share in SHARES:
        tried = replace(proposal, held_out=share)
        try:
            preview({"dataset": tried.dataset, "source": tried.source}, TRIED)
        except UserError as error:
            if not NOTHING.search(str(error)):
                raise
        else:
            return tried
    raise UserError(f"{proposal.source}: has too few rows to hold some out.")


def _without_mixed_types(proposal: Proposal) -> Proposal:
    """Leaves out columns that a dataset of columns cannot hold."""
    for _ in range(MOST_LEFT_OUT):
        try:
            whole = {key: value for key, value in proposal.dataset.items() if key != "held_out"}
            _prepared({"dataset": whole, "source": proposal.source}, TRIED_FOR_BAD)
        except UserError as error:
            if not (found := MIXED_TYPES.search(str(error))):
                raise
            proposal = replace(proposal, leave_out=(*proposal.leave_out, found[1]))
        else:
            break
    return proposal


def _prepared(settings: Mapping[str, Any], limit: int) -> Preview:
    """Raises: UserError saying what is wrong with the first row, where every one is bad."""
    try:
        return preview(settings, limit)
    except UserError as error:
        if not NOTHING.search(str(error)):
            raise
    try:
        return preview({**settings, "on_bad_row": "fail"}, limit)
    except UserError as error:
        if not NOTHING.search(str(error)):
            raise
    raise UserError(f"{settings['source']}: has too few rows to hold some out.")
