"""Rows of any table as questions, by the names of their columns; shared by jsonl, csv and parquet."""

import hashlib
import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from functools import partial
from typing import Any, Literal

from pydantic import Field, field_validator

from teacherlm.catalog import ChosenSettings
from teacherlm.dataset import BadRow, Splits, read_questions
from teacherlm.datasets._options import NO_OPTIONS, Options, as_letter, in_columns, in_one_column, plain_letter
from teacherlm.errors import UserError, unknown
from teacherlm.records import Question
from teacherlm.store.sources import Origin, Table, require

COLUMNS = ("question", "choices", "answer", "explanation", "id")
MISSING = frozenset(("", "n/a", "na", "none", "null", "nan", "-", "--", "?", "no explanation", "not available", "<na>"))
"""What people write where there is no explanation, in lower case and without a full stop."""
LONGEST_MISSING = 32
"""No longer text is one of them, spaces around it included."""
NUMBER = re.compile(r"[$€£]?-?(\d{1,3}(,\d{3})+|\d+)(\.\d+)?")

Row = Mapping[str, Any]


class ColumnSettings(ChosenSettings):
    columns: dict[str, str | list[str]] = {}
    """What a column is called in the file: {question: stem, answer: gold}; of question, choices, answer, explanation, id. Choices may
    stand in several: {choices: [A, B, C, D]}."""
    leave_out: list[str] = []
    """Columns of the file not to keep, such as one whose values share no type."""
    answer_rule: Literal["", "number", "yes_no", "exact"] = ""
    """How free answers are compared; by default as numbers or yes/no where the right answer is one, else word for word."""
    answer_is: Literal["", "letter", "text", "index", "index_from_1"] = ""
    """How an answer names its choice; by default whichever of them fits, and a row for which two choices fit is bad."""
    held_out: float = Field(default=0.0, ge=0.0, lt=1.0)
    """Part of the rows of `train` to hold out as `validation`, drawn by the seed."""

    @field_validator("columns")
    @classmethod
    def _known(cls, columns: dict[str, str | list[str]]) -> dict[str, str | list[str]]:
        for name, theirs in columns.items():
            if name not in COLUMNS:
                raise unknown("column of ours", name, COLUMNS)
            if isinstance(theirs, list) and (name != "choices" or not theirs):
                raise UserError(f"columns: {name}: expected the name of one column, found {theirs!r}; only choices stand in several.")
        return columns


def read_columns(settings: ColumnSettings, origin: Origin, seed: int, suffixes: Sequence[str], typed: bool = True) -> Splits:
    """The splits of a file, or of the files of a folder that end in one of the suffixes.

    `typed`: a number is written otherwise than a text that looks like one, so that a text is never the index of a choice if it is one.
    """
    tables = origin.tables(suffixes=suffixes)
    build = _Builder(settings, typed).question
    if not settings.held_out:
        return {split: read_questions(table, build) for split, table in tables.items()}
    if "train" not in tables or "validation" in tables:
        raise UserError(f"{origin.place}: held_out needs a split 'train' and none named 'validation' (found: {', '.join(tables)}).")
    train = tables.pop("train")
    drawn = partial(_is_drawn, seed, settings.held_out)
    return {
        "train": _wanted(train, build, lambda number: not drawn(number)),
        "validation": _wanted(train, build, drawn),
        **{split: read_questions(table, build) for split, table in tables.items()},
    }


def _is_drawn(seed: int, part: float, number: int) -> bool:
    digest = hashlib.blake2b(f"{seed}/{number}".encode(), digest_size=8).digest()
    return int.from_bytes(digest, "big") / 2**64 < part


def _wanted(table: Table, build: Callable[[dict[str, Any], str], Question], wanted: Callable[[int], bool]) -> Iterator[Question | BadRow]:
    return (question for number, question in enumerate(read_questions(table, build)) if wanted(number))


class _Builder:
    """Makes questions of rows."""

    def __init__(self, settings: ColumnSettings, typed: bool) -> None:
        self._rule, self._answer_is, self._typed = settings.answer_rule, settings.answer_is, typed
        self._left_out = frozenset(settings.leave_out)
        named = {name: settings.columns.get(name, name) for name in COLUMNS}
        self._several = named["choices"] if isinstance(named["choices"], list) else None
        self._question, self._choices, self._answer, self._explanation, self._id = (str(named[name]) for name in COLUMNS)
        self._mapped = [theirs for theirs in settings.columns.values() if isinstance(theirs, str)]

    def question(self, row: dict[str, Any], where: str) -> Question:
        for column in self._mapped:
            require(row, column, where)
        question, identity = row.get(self._question), row.get(self._id)
        if type(question) is not str or not question.strip():
            question = _as_text(require(row, self._question, where), f"{where}: column '{self._question}'")
        options = self._options(row, where)
        answer = self._letter(row, options, where) if options.texts else self._free(row, where)
        rule = "letter" if options.texts else self._rule or _rule_for(answer)
        explanation = explanation_of(row.get(self._explanation))
        source_id = "" if identity is None else str(identity)
        raw = {name: value for name, value in row.items() if name not in self._left_out} if self._left_out else row
        return Question(question, answer, options.texts, rule, explanation, source_id, raw, where)  # names take half as long again

    def _options(self, row: Row, where: str) -> Options:
        if self._several is not None:
            return in_columns([(name, require(row, name, where)) for name in self._several], where)
        given = row.get(self._choices)
        return NO_OPTIONS if given is None else in_one_column(given, where, self._choices)

    def _letter(self, row: Row, options: Options, where: str) -> str:
        gold = row.get(self._answer)
        if type(gold) is str and not self._answer_is and (letter := plain_letter(gold, options)):
            return letter
        place = f"{where}: column '{self._answer}'"
        return as_letter(_present(require(row, self._answer, where), place), options, self._answer_is, self._typed, place)

    def _free(self, row: Row, where: str) -> str:
        place = f"{where}: column '{self._answer}'"
        gold = _present(require(row, self._answer, where), place)
        if isinstance(gold, bool):
            return "yes" if gold else "no"
        if isinstance(gold, (list, Mapping)):
            raise UserError(f"{place}: expected a text, a number, true or false, found {type(gold).__name__}.")
        return str(gold).strip()


def _present(gold: Any, place: str) -> Any:
    """Raises: UserError where there is no answer."""
    if gold is None or gold != gold or (isinstance(gold, str) and not gold.strip()):
        raise UserError(f"{place}: there is no answer; a split without labels cannot be prepared.")
    return gold


def _as_text(value: Any, place: str) -> str:
    """Raises: UserError for a question that is none."""
    if isinstance(value, (list, Mapping)):
        raise UserError(f"{place}: expected the question as text, found {type(value).__name__}.")
    if value is None or not str(value).strip():
        raise UserError(f"{place}: the question is empty.")
    return str(value)


def explanation_of(value: Any) -> str:
    """The source's own rationale; "" for none, and for one of the words that mean none. Sentences in a list are joined."""
    if value is None or value == "":
        return ""
    text = " ".join(str(part).strip() for part in value) if isinstance(value, (list, tuple)) else str(value)
    return "" if len(text) < LONGEST_MISSING and text.strip().rstrip(".").lower() in MISSING else text


def _rule_for(answer: str) -> str:
    if NUMBER.fullmatch(answer):
        return "number"
    return "yes_no" if answer.lower() in ("yes", "no") else "exact"
