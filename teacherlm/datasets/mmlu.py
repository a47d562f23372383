"""MMLU: examination questions of 57 subjects, in four choices. (MIT; Hendrycks et al. 2021)

    question,choice0,choice1,choice2,choice3,answer
    Which of the following is the body cavity that contains the pituitary gland?,Abdominal,Cranial,Pleural,Spinal,1

Published as dev/SUBJECT_dev.csv (five shots a subject), val/SUBJECT_val.csv, test/SUBJECT_test.csv and auxiliary_train/*.csv, without a
header: question, four choices, a letter. Others have a header and count the answer from 0 (`choice0..choice3`, or `A..D`), and the files
may all lie in one folder. The hub has `choices` and `subject` as columns; else the subject is the file's name.
"""

import re
from collections.abc import Iterator, Mapping, Sequence
from itertools import chain
from pathlib import Path
from typing import Any, Literal

from teacherlm.catalog import ChosenSettings
from teacherlm.dataset import BadRow, Dataset, Splits, read_questions
from teacherlm.datasets._choices import by_position, listed, require_gold
from teacherlm.datasets._options import as_letter, in_one_column
from teacherlm.datasets._splits import with_config
from teacherlm.datasets._texts import as_text
from teacherlm.errors import UserError
from teacherlm.prompts import LETTERS
from teacherlm.records import Question
from teacherlm.store.readers_text import plain_name
from teacherlm.store.sources import Origin, Table, csv_table, require

PATTERNS = {
    "auxiliary_train/*.csv": "train",
    "*_auxiliary_train.csv": "train",
    "*_train.csv": "train",
    "train.csv": "train",
    "dev/*_dev.csv": "dev",
    "*_dev.csv": "dev",
    "dev.csv": "dev",
    "val/*_val.csv": "validation",
    "*_val.csv": "validation",
    "*_validation.csv": "validation",
    "val.csv": "validation",
    "validation.csv": "validation",
    "test/*_test.csv": "test",
    "*_test.csv": "test",
    "test.csv": "test",
}
HUB_SPLITS = {"auxiliary_train": "train"}
COLUMNS = ("question", "A", "B", "C", "D", "answer")
"""Of the files without a header."""
CHOICES = (("choice0", "choice1", "choice2", "choice3"), ("A", "B", "C", "D"))
SUBJECT_FILE = re.compile(r"(.+?)_(?:dev|val|validation|test|train|auxiliary_train)$")
COMPLETE = (".", ",", "?", "!", '"')


class MmluSettings(ChosenSettings):
    name: Literal["mmlu"] = "mmlu"
    intro: bool = False
    """Begin prompts with `The following are multiple choice questions (with answers) about SUBJECT.`, as TeacherLM's evaluation."""
    subjects: list[str] = []
    """Only these, such as [abstract_algebra, anatomy]; by default all."""


def read(settings: MmluSettings, origin: Origin | None, seed: int) -> Splits:
    assert origin is not None
    config = settings.subjects[0] if len(settings.subjects) == 1 else "all"
    found = {split: _of_subjects(tables, settings) for split, tables in with_config(origin, config).several(PATTERNS).items()}
    if not any(found.values()):
        raise UserError(f"{origin.place}: has no file of the subject {' or '.join(settings.subjects)}.")
    there = {HUB_SPLITS.get(split, split): tables for split, tables in found.items() if tables}
    return {split: _questions([_table(table, origin) for table in tables], settings) for split, tables in there.items()}


def _of_subjects(tables: list[Table], settings: MmluSettings) -> list[Table]:
    """Those that may hold questions of the wanted subjects, by the names of their files."""
    return [table for table in tables if not settings.subjects or _subject(table) in ("", *settings.subjects)]


def _questions(tables: list[Table], settings: MmluSettings) -> Iterator[Question | BadRow]:
    found = chain.from_iterable(_questions_of(table, settings) for table in tables)
    return (one for one in found if not settings.subjects or _is_about(one, settings.subjects))


def _is_about(one: Question | BadRow, subjects: Sequence[str]) -> bool:
    """A row that is no question may be about any of them."""
    return isinstance(one, BadRow) or one.raw["subject"] in subjects


def _questions_of(table: Table, settings: MmluSettings) -> Iterator[Question | BadRow]:
    subject = _subject(table)
    return read_questions(table, lambda row, where: _question(row, subject, settings, where))


def _table(table: Table, origin: Origin) -> Table:
    """A .csv file as it has to be read: with a header where its first line is one."""
    path = Path(table.place)
    if not path.is_file() or Path(plain_name(path)).suffix != ".csv":
        return table
    bare = csv_table(path, origin.encoding, COLUMNS, origin.delimiter)
    _, first = next(iter(bare.rows_or_errors()))
    has_header = isinstance(first, UserError) or {"question", "answer"} <= {cell.strip().lower() for cell in first.values()}
    return table if has_header else bare


def _subject(table: Table) -> str:
    """`astronomy` of `.../astronomy_dev.csv`; "" for a table that is no file, or a file of a whole split."""
    path = Path(table.place)
    stem = Path(plain_name(path)).stem
    if not path.is_file() or f"{stem}.csv" in PATTERNS:
        return ""
    found = SUBJECT_FILE.match(stem)
    return found[1] if found else stem


def _question(row: dict[str, Any], subject: str, settings: MmluSettings, where: str) -> Question:
    subject = as_text(row.get("subject")) or subject
    text, choices = as_text(require(row, "question", where)), _choices(row, where)
    letter = _letter(row, choices, where)
    intro = introduction(subject, where) if settings.intro else ""
    return Question(
        question=f"{intro} {_sentence(text)}".strip(),
        answer=letter,
        choices=tuple(map(_one_line, choices)),
        answer_rule="letter",
        raw={**row, "subject": subject},
        where=where,
        blocks=(("QUESTION", text), ("CHOICES", listed(range(len(choices)), choices))),
        response=(("ANSWER", choices[LETTERS.index(letter)]),),
        definition=intro,
    )


def introduction(subject: str, where: str = "") -> str:
    """Raises: UserError where nothing says what the subject is."""
    if not subject:
        raise UserError(f"{where}: there is no column 'subject'; leave out `intro`.")
    return f"The following are multiple choice questions (with answers) about {subject.replace('_', ' ')}."


def _choices(row: Mapping[str, Any], where: str) -> tuple[str, ...]:
    if "choices" in row:
        choices = in_one_column(row["choices"], where).texts
    else:
        names = CHOICES[0] if CHOICES[0][0] in row else CHOICES[1]
        choices = tuple(as_text(require(row, name, where)) for name in names)
    if len(choices) != len(CHOICES[0]):
        raise UserError(f"{where}: expected {len(CHOICES[0])} choices, found {len(choices)}.")
    return choices


def _letter(row: Mapping[str, Any], choices: Sequence[str], where: str) -> str:
    """A letter as first published, a number from 0 elsewhere."""
    answer = require_gold(row, "answer", where)
    return as_letter(answer, by_position(choices), "index" if as_text(answer).strip().isdecimal() else "letter", True, where)


def _sentence(text: str) -> str:
    """On one line, with a full stop where no mark ends it."""
    line = _one_line(text)
    return line if line.endswith(COMPLETE) else f"{line}."


def _one_line(text: str) -> str:
    return re.sub(r"\r\n|\r|\n", " ", text).strip()


DATASET = Dataset(MmluSettings, read, title="MMLU", hub="cais/mmlu", licence="mit")
