"""What distilabel and Curator wrote, as rationales that `postprocess` takes.

    distilabel  {"instruction": ..., "generation": ..., "model_name": ..., "distilabel_metadata": {...}}; generations may be lists
    Curator     {"prompt": ... or "messages": [...], "response": ...}

Neither knows a right answer: it comes from a column of theirs, or from questions that `prepare` wrote, found by id or by text.
"""

from collections.abc import Iterator, Mapping
from contextlib import ExitStack
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from teacherlm.answers import find_answer
from teacherlm.catalog import find
from teacherlm.dataset import BadRow
from teacherlm.errors import UserError
from teacherlm.exports.files import Row
from teacherlm.exports.known_questions import KnownQuestions
from teacherlm.prompts import KINDS, TEXT_COLUMN, TEXTS, teacher_text, template
from teacherlm.records import ATTEMPT, OUR_COLUMNS, Question
from teacherlm.store.hf import is_dataset_folder
from teacherlm.store.manifest import require_finished
from teacherlm.store.scratch import Counts, number_of, scratch_database
from teacherlm.store.sources import Origin, Table

TEACHERLM = "teacherlm"
OURS = frozenset((*TEXTS, *OUR_COLUMNS, *KINDS, *ATTEMPT, "all", "completion_index", "teacher", "messages", "references", "dataset"))
"""A column of theirs of such a name is kept as `source_<name>`."""


@dataclass(frozen=True)
class System:
    """What its columns are called."""

    questions: tuple[str, ...]
    """The first of them that a row has."""
    rationale: str
    teachers: tuple[str, ...]


SYSTEMS: Mapping[str, System] = {
    "distilabel": System(("instruction", "prompt", "messages"), "generation", ("model_name", "generation_model")),
    "curator": System(("prompt", "question", "instruction", "messages"), "response", ("model_name", "model")),
}


@dataclass(frozen=True)
class Columns:
    """What the user says of the columns; "" leaves it to the system's own names."""

    question: str = ""
    answer: str = ""
    choices: str = ""
    rationale: str = ""
    teacher: str = ""
    id: str = ""
    questions: Path | None = None
    """Prepared questions to find the right answer in."""


@dataclass(frozen=True)
class Asked:
    """One row of theirs: a question, and what a teacher wrote."""

    row: Row
    question: str
    id: str
    texts: tuple[tuple[str, str], ...]
    """(teacher, text) of each attempt."""
    where: str


def generated_rows(what: str, path: Path, columns: Columns) -> Iterator[Row]:
    """Rows as `enhance` writes them. Raises: UserError naming the option that says what is missing."""
    if columns.questions is None and not columns.answer:
        raise UserError(
            f"{path}: {what} knows no right answers: name their column with --answer-column, or prepared questions with --questions."
        )
    if columns.questions is not None and (columns.answer or columns.choices):
        raise UserError("--questions brings the answers and choices; leave out --answer-column and --choices-column.")
    reader = Reader(SYSTEMS[what], columns)
    with ExitStack() as opened:
        database = opened.enter_context(scratch_database())
        attempts = Counts(database, "attempts")
        known = KnownQuestions(columns.questions, database) if columns.questions else None
        for table in tables_of(path):
            asked = reader.asked(table)
            pairs = (
                ((one, known.find(one.id, one.question, one.where)) for one in asked) if known else reader.with_answers(table.place, asked)
            )
            for one, base in pairs:
                for teacher, text in one.texts:
                    yield {**base, **_rationale(one, base, text), "completion_index": attempts.next(str(base["id"])), "teacher": teacher}


def tables_of(path: Path) -> list[Table]:
    """The splits of a file or folder; of a saved distiset those of every configuration in it."""
    require_finished(path)
    inner = (
        [folder for folder in sorted(path.iterdir()) if is_dataset_folder(folder)] if path.is_dir() and not is_dataset_folder(path) else []
    )
    return [table for place in inner or [path] for table in Origin(str(place)).tables().values()]


def _rationale(one: Asked, base: Row, text: str) -> Row:
    cot = text if text[:1].isspace() else f" {text}"
    found = find_answer(text, str(base["answer_rule"]), choices=list(base["choices"]))
    return {"cot": cot, "all": f"{one.question}{cot}", "found": found}


@dataclass(frozen=True)
class Reader:
    system: System
    columns: Columns

    def asked(self, table: Table) -> Iterator[Asked]:
        for where, row in table.rows():
            identity = self._column(row, self.columns.id, "--id-column", where) if self.columns.id else None
            yield Asked(row, self._question(row, where), "" if identity is None else str(identity), tuple(self._texts(row, where)), where)

    def _texts(self, row: Row, where: str) -> Iterator[tuple[str, str]]:
        """A text that failed (null) is none."""
        found = self._column(row, self.columns.rationale or self.system.rationale, "--rationale-column", where)
        named = [self.columns.teacher] if self.columns.teacher else [name for name in self.system.teachers if row.get(name)]
        teacher = self._column(row, named[0], "--teacher-column", where) if named else ""
        for number, text in enumerate(found if isinstance(found, list) else [found]):
            if text is not None and not isinstance(text, str):
                raise UserError(f"{where}: expected a text of the teacher, found {text!r}; name its column with --rationale-column.")
            if text is not None:
                yield str(teacher[number] if isinstance(teacher, list) else teacher), text

    def _question(self, row: Row, where: str) -> str:
        """Of a conversation the user's last turn."""
        given = [self.columns.question] if self.columns.question else [name for name in self.system.questions if row.get(name)]
        found = self._column(row, (given or list(self.system.questions))[0], "--question-column", where)
        if isinstance(found, list) and all(isinstance(turn, Mapping) for turn in found):
            found = next((turn.get("content") for turn in reversed(found) if turn.get("role") == "user"), None)
        if not isinstance(found, str) or not found.strip():
            raise UserError(f"{where}: there is no question (found {found!r}); name its column with --question-column.")
        return found

    def _column(self, row: Row, name: str, option: str, where: str) -> Any:
        if name not in row:
            raise UserError(f"{where}: column '{name}' is missing; name the right one with {option} (found: {', '.join(row)}).")
        return row[name]

    def with_answers(self, place: str, asked: Iterator[Asked]) -> Iterator[tuple[Asked, Row]]:
        """Each with the row that `prepare jsonl` makes of it: that knows letters, texts and numbers of choices, and how to compare."""
        dataset = find("datasets", "jsonl")
        origin = Answered(place, rows=((one, self._as_jsonl(one)) for one in asked))
        for questions in dataset.read(dataset.settings(), origin, 0).values():
            for question in questions:
                if isinstance(question, BadRow):
                    raise UserError(question.reason)
                one = question.raw[ASKED]
                yield one, _prepared(question, one)

    def _as_jsonl(self, one: Asked) -> Row:
        row: Row = {"question": one.question, "id": one.id or None, ASKED: one}
        row["answer"] = self._column(one.row, self.columns.answer, "--answer-column", one.where)
        if self.columns.choices:
            row["choices"] = self._column(one.row, self.columns.choices, "--choices-column", one.where)
        return row


ASKED = "asked"


@dataclass(frozen=True)
class Answered(Origin):
    """Rows that are there already, where a dataset looks for files."""

    rows: Iterator[tuple[Asked, Row]] = field(default_factory=lambda: iter(()))

    def tables(self, *_: Any, **__: Any) -> dict[str, Table]:
        return {"train": Table(self.place, lambda: ((one.where, row) for one, row in self.rows))}


def _prepared(question: Question, one: Asked) -> Row:
    chosen = template(TEACHERLM)
    prompt, label = chosen.prompt(question), chosen.label(question)
    content = "\0".join((question.question, *question.choices, question.answer))
    return {
        **{f"source_{name}" if name in OURS else name: value for name, value in one.row.items()},
        "text": prompt + label,
        **{TEXT_COLUMN[kind]: teacher_text(prompt, label, kind) for kind in KINDS},
        "id": question.source_id or f"{number_of(content):016x}",
        "prompt": prompt,
        "choices": list(question.choices),
        "answer": question.answer,
        "answer_rule": question.answer_rule,
        "template": chosen.spec,
    }
