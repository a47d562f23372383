"""Which dataset file reads a source: each one's own reader tries the first rows, so that column names stand in one place only."""

import re
import tempfile
from collections.abc import Mapping
from dataclasses import dataclass
from itertools import islice
from pathlib import Path
from typing import Any

from pydantic import ValidationError

from teacherlm.catalog import files, find
from teacherlm.dataset import BadRow, Dataset
from teacherlm.errors import UserError
from teacherlm.log import muted
from teacherlm.parsing import parse_config
from teacherlm.records import Question
from teacherlm.store.files import read_jsonl
from teacherlm.store.hf import is_dataset_folder
from teacherlm.store.readers import ARROW, CSV, SUFFIXES, suffix_of
from teacherlm.store.sources import Origin

GENERAL = ("jsonl", "csv", "parquet")
"""Read any table, so that they say nothing about what it is."""
NO_FILES = ("mix", "lm_eval")
TRIED = 50
"""Rows of each split."""
BAD_SHARE = 0.1
"""A reader that refuses more rows than this was not made for the file."""
NAMED = 4
"""Being named in the path counts as much as everything that a reader can find in a row."""


@dataclass(frozen=True)
class Reading:
    """How one dataset reads the source."""

    name: str
    splits: tuple[str, ...]
    good: int
    bad: int
    evidence: int
    """How much of the row it understands: an answer of a kind, choices, explanation, id; and whether the path names it."""


@dataclass(frozen=True)
class Preview:
    """What `prepare` makes of the first rows."""

    rows: Mapping[str, list[dict[str, Any]]]
    """Split -> rows, as they would be written."""
    dropped: tuple[dict[str, Any], ...]

    @property
    def all(self) -> list[dict[str, Any]]:
        return [row for rows in self.rows.values() for row in rows]


def readings(source: str, encoding: str = "utf-8") -> list[Reading]:
    """Every dataset that can read it, with the best first.

    Raises: UserError for a hub name that cannot be loaded: that takes a while, and would be tried by every dataset.
    """
    if not Path(source).exists():
        Origin(source, encoding).tables()
    found = [reading for name in files("datasets") if name not in NO_FILES and (reading := _reading(name, source, encoding))]
    return sorted(found, key=lambda reading: (-reading.evidence, reading.bad, reading.name))


def recognised(found: list[Reading]) -> str:
    """The one dataset that understands the source best; "" where none does, or several equally well.

    A dataset has to understand more of the rows than a general reader would, else any questions with answers were one of it.
    """
    special = [reading for reading in found if reading.name not in GENERAL]
    general = max((reading.evidence for reading in found if reading.name in GENERAL), default=-1)
    if not special or special[0].evidence <= general:
        return ""
    equal = [reading for reading in special if reading.evidence == special[0].evidence]
    return equal[0].name if len(equal) == 1 or general < 0 else ""


def general_reader(source: str) -> str:
    """By what the files are called."""
    path = Path(source)
    if not path.exists() or is_dataset_folder(path):
        return "jsonl"
    file = path if path.is_file() else next((one for one in sorted(path.rglob("*")) if suffix_of(one) in SUFFIXES), path)
    return "csv" if suffix_of(file) in CSV else "parquet" if suffix_of(file) in ARROW else "jsonl"


def preview(settings: Mapping[str, Any], limit: int | None = TRIED) -> Preview:
    """`settings` as a step of a pipeline has them. Raises: UserError for what cannot be prepared at all."""
    from teacherlm.stages.prepare import PrepareConfig, prepare
    from teacherlm.store.hf import iterate, split_names

    with tempfile.TemporaryDirectory(prefix="teacherlm-") as folder, muted():
        output = Path(folder) / "prepared"
        given = {"on_bad_row": "drop", **settings, "output": str(output)}
        prepare(parse_config(PrepareConfig, given | ({"limit": limit} if limit else {})))
        from datasets import load_from_disk

        rows = {split: list(iterate(load_from_disk(str(output / split), keep_in_memory=True))) for split in split_names(output)}
        dropped = output / "dropped.jsonl"
        bad = tuple(row for _, row in read_jsonl(dropped)) if dropped.is_file() else ()
    return Preview(rows, bad)


def _reading(name: str, source: str, encoding: str) -> Reading | None:
    dataset: Dataset = find("datasets", name)
    if not dataset.needs_source:
        return None
    try:
        with muted():
            splits = dataset.read(parse_config(dataset.settings, {"name": name}), Origin(source, encoding), 0)
            found = {split: list(islice(questions, TRIED)) for split, questions in splits.items()}
    except (UserError, ValidationError):
        return None
    questions = [one for rows in found.values() for one in rows if isinstance(one, Question)]
    bad = sum(isinstance(one, BadRow) for rows in found.values() for one in rows)
    if not questions or bad > BAD_SHARE * (bad + len(questions)):
        return None
    evidence = min(_evidence(question) for question in questions[:TRIED]) + (
        NAMED if name not in GENERAL and _is_named(name, source) else 0
    )
    return Reading(name, tuple(found), len(questions), bad, evidence)


def _evidence(question: Question) -> int:
    texts = str(list(question.raw.values()))
    own_choices = bool(question.choices) and any(choice in texts for choice in question.choices)
    return (question.answer_rule != "exact") + own_choices + bool(question.source_id) + bool(question.explanation)


def _is_named(name: str, source: str) -> bool:
    """By the file, or by the folder it lies in."""

    def plain(text: str) -> str:
        return re.sub(r"[^a-z0-9]", "", text.lower())

    path = Path(source)
    return any(plain(name) in plain(part) for part in (path.name, path.absolute().parent.name))
