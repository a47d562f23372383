"""The datasets of Fine-tune-CoT: their unified files, and those that they were made from.

    [{"question": "...", "answer": "39"}, ...]
    {"metadata": {"dataset_key": "multiarith"}, "data": [{"sample_index": 0, "question": "...", "answer": "39", "rationale": "..."}, ...]}
    {"examples": [{"question": "...", "answer": "yes"}, ...]}

Splits are published as numbers of rows, so every row keeps its own as `sample_index`.
"""

import re
from collections.abc import Callable, Iterable, Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

from teacherlm.answers.numbers import NUMBER
from teacherlm.choices import split_choices
from teacherlm.dataset import Splits, read_questions
from teacherlm.datasets._texts import as_rationale, as_text
from teacherlm.errors import UserError
from teacherlm.prompts import LETTERS
from teacherlm.records import Question
from teacherlm.store.readers_json import read_document
from teacherlm.store.readers_text import GZIP, Found, encoding_of, text_lines
from teacherlm.store.sources import Origin, Table, require

Row = Mapping[str, Any]
Build = Callable[[Row, str], Question]
"""(row, where) -> question. Raises: UserError for a row that is none."""

LISTS = ("data", "examples")
"""Under which key a file that is one JSON object holds its rows."""
UNIFIED = {"sample_index", "question", "answer", "rationale"}
QUESTIONS = ("question", "sQuestion", "inputs", "input")
ANSWERS = ("answer", "lSolutions", "Answer", "final_ans", "targets", "target")
IDS = ("ID", "iIndex")
"""What the unified files, those of zero-shot-CoT and those of the hub call these columns, in this order."""


def read_unified(origin: Origin, key: str, build: Build, names: Iterable[str] = ()) -> Splits:
    """`names` are other names of the file than `{key}.json`. A folder may hold train.json and test.json instead."""
    whole = (f"{key}.json", f"dataset/{key}.json", *names)
    files = {**dict.fromkeys(whole, "train"), "train.json": "train", "test.json": "test"}
    tables = origin.tables(files)
    return {split: read_questions(numbered(table, key, origin.encoding), build) for split, table in tables.items()}


def find_unified(origin: Origin, key: str, build: Build) -> Splits | None:
    """For datasets that are mostly read as their authors published them: the unified file in the folder, or that file itself."""
    path = Path(origin.place)
    folders = (path, path / "dataset") if path.is_dir() else ()
    file = next((file for folder in folders for name in _spellings(key) if (file := folder / name).is_file()), path)
    if not file.is_file() or not (_says_its_key(file, origin.encoding) or (file.name in _spellings(key) and _begins(file, build, origin))):
        return None
    return read_unified(replace(origin, place=str(file)), key, build)


def _spellings(key: str) -> tuple[str, str]:
    return f"{key}.json", f"{key}.json{GZIP}"


def _says_its_key(file: Path, encoding: str) -> bool:
    return "metadata" in (document_of(file, encoding) or {})


def _begins(file: Path, build: Build, origin: Origin) -> bool:
    """Whether the first row is a unified one: the authors' own rows may lie in a file of that name."""
    for where, row in numbered(next(iter(replace(origin, place=str(file)).tables().values())), "", origin.encoding).rows_or_errors():
        try:
            return not isinstance(row, UserError) and set(row) <= UNIFIED and bool(build(row, where))
        except UserError:
            return False
    return False


def numbered(table: Table, key: str = "", encoding: str = "utf-8") -> Table:
    """The rows with their `sample_index`; those of a file that is one JSON object around them too.

    Raises (while it is read): UserError for the file of a dataset with another key.
    """

    def rows() -> Found:
        found = _document_rows(Path(table.place), key, encoding)
        for number, (where, row) in enumerate(table.rows_or_errors() if found is None else found):
            yield where, row if isinstance(row, UserError) else {"sample_index": number, **row}

    return Table(table.place, rows)


def document_of(path: Path, encoding: str) -> dict[str, Any] | None:
    """The one JSON object that a file is; None for JSON lines, a JSON list, and what is no JSON file."""
    if not path.is_file() or ".json" not in path.suffixes:
        return None
    first = next((line.strip() for line, _ in text_lines(path, encoding_of(path, encoding)) if line.strip()), "")
    if not first.startswith("{"):
        return None
    try:
        document = read_document(path, encoding)
    except UserError:  # JSON lines; or whoever reads them says in which line it is broken
        return None
    return document if any(name in document for name in (*LISTS, "metadata", "subtasks")) else None


def _document_rows(path: Path, key: str, encoding: str) -> Found | None:
    document = document_of(path, encoding)
    if document is None:
        return None
    said = document.get("metadata")
    theirs = said.get("dataset_key") if isinstance(said, Mapping) else None
    if key and theirs is not None and theirs != key:
        raise UserError(f"{path}: metadata.dataset_key is {theirs!r}, expected '{key}'; this is the file of another dataset.")
    return rows_of(document, path)


def rows_of(document: Row, path: Path) -> Found:
    """Raises: UserError for an object without a list of rows."""
    name = next((name for name in LISTS if name in document), "")
    rows = document.get(name)
    if name == "data" and isinstance(rows, Mapping):
        raise UserError(f"{path}: holds completions, not questions; read it with `teacherlm import finetune_cot`.")
    if document.get("subtasks"):
        raise UserError(f"{path}: is made of subtasks; give the task.json of one of them.")
    if not isinstance(rows, list) or not rows:
        raise UserError(f"{path}: expected rows in a list under 'data' or 'examples' (found: {', '.join(document)}).")
    for number, row in enumerate(rows):
        where = f"{path}: {name}[{number}]"
        yield where, row if isinstance(row, dict) else UserError(f"{where}: expected a JSON object, found {type(row).__name__}.")


def number(row: Row, where: str) -> Question:
    """`51.0` and `1,234` stay as they are written: answers are compared as numbers."""
    gold = gold_of(row, where)
    if not re.fullmatch(rf"(?:{NUMBER})(?:/\d+)?", gold):
        raise UserError(f"{where}: answer {gold!r} is no number.")
    return _free(row, gold, "number", where)


def yes_no(row: Row, where: str) -> Question:
    gold = gold_of(row, where).lower().removesuffix(".")
    answer = {"true": "yes", "false": "no"}.get(gold, gold)
    if answer not in ("yes", "no"):
        raise UserError(f"{where}: answer {gold!r} is neither 'yes' nor 'no'.")
    return _free(row, answer, "yes_no", where)


def exact(row: Row, where: str) -> Question:
    return _free(row, gold_of(row, where), "exact", where)


def letter(row: Row, where: str) -> Question:
    """The choices stand in the question: `Which? Answer choices: (A) one, (B) two.`"""
    text, choices = split_choices(question_of(row, where))
    if not choices:
        raise UserError(f"{where}: the question has no choices; they look like `Answer choices: (A) one, (B) two.`")
    gold = gold_of(row, where).strip("().").upper()
    if gold not in tuple(LETTERS[: len(choices)]):
        raise UserError(f"{where}: answer {gold!r} is outside the choices (expected one of {', '.join(LETTERS[: len(choices)])}).")
    return Question(text, gold, tuple(choices), "letter", as_rationale(row.get("rationale")), raw=row, where=where)


def question_of(row: Row, where: str) -> str:
    """SVAMP's own files tell the story and ask in two columns."""
    if "Body" in row and "Question" in row:
        return f"{as_text(row['Body']).strip()} {as_text(row['Question']).strip()}"
    return as_text(require(row, _first(QUESTIONS, row), where))


def gold_of(row: Row, where: str) -> str:
    """Raises: UserError for a row without one right answer."""
    value = require(row, _first(ANSWERS, row), where)
    if isinstance(value, list):
        if len(value) != 1:
            raise UserError(f"{where}: expected one right answer, found {value!r}.")
        (value,) = value
    gold = as_text(value).strip()
    if not gold:
        raise UserError(f"{where}: there is no answer; a split without labels cannot be prepared.")
    return gold


def _free(row: Row, gold: str, rule: str, where: str) -> Question:
    return Question(
        question=question_of(row, where),
        answer=gold,
        answer_rule=rule,
        explanation=as_rationale(row.get("rationale")),
        source_id=next((as_text(row[name]) for name in IDS if row.get(name) is not None), ""),
        raw=row,
        where=where,
    )


def _first(names: tuple[str, ...], row: Row) -> str:
    """The name that the row has; where it has none, the usual one, for the message."""
    return next((name for name in names if name in row), names[0])
