"""A question as the row that `prepare` writes: the source's columns, the texts for students and teachers, then ours."""

from collections.abc import Mapping
from dataclasses import dataclass
from functools import lru_cache
from typing import Any

from teacherlm.errors import UserError
from teacherlm.prompts import KINDS, LETTERS, SUFFIX, TEXT_COLUMN, TEXTS, clean, letters, template
from teacherlm.records import ATTEMPT, OUR_COLUMNS, Question, content_id

EXPLAINED = ("explanation_tail", "explanation_head")
EXTRA = ("messages", "references", "dataset")
"""Columns of ours that only some datasets have."""
WRITTEN = (*TEXTS, *OUR_COLUMNS, *EXTRA, *EXPLAINED)
JUDGED = ("verdict", "arithmetic", "leak", "truncation", "repetition", "length", "near_duplicate", "overlap", "supports", "judge")
RESERVED = frozenset((*TEXTS, *OUR_COLUMNS, *EXPLAINED, *KINDS, "all", "completion_index", "teacher", *ATTEMPT)) | {
    f"{kind}_{column}" for kind in KINDS for column in ("tail", "head", "think", "finish", *JUDGED)
}
"""Columns of ours, here and in later stages. A source column of that name is kept as `source_<name>`."""
TEACHERLM = "teacherlm"
"""What a teacher reads is in this template's words, whatever the student reads."""

TEACHER_READS = tuple((column, SUFFIX[kind]) for kind, column in TEXT_COLUMN.items())
LABELS = tuple(frozenset(LETTERS[:count]) for count in range(len(LETTERS) + 1))
"""The letters of so many choices."""

Row = dict[str, Any]


@dataclass(frozen=True)
class RowLayout:
    """How questions become rows."""

    template: str
    """Spec of the template for questions that ask for none."""
    always: bool = False
    """Use it for the others too."""
    explanations: bool = False
    """Add the layouts with the source's own explanation as the rationale."""

    def row(self, question: Question) -> Row:
        """Its `id` is the source's, or says what the question holds: rows of the same id are told apart later.

        Raises: UserError for a question that no student could learn from, whichever dataset it comes from.
        """
        _check(question)
        chosen = template(question.template if question.template and not self.always else self.template)
        prompt, label = chosen.prompt(question), chosen.label(question)
        row = _source_columns(question.raw)
        row["text"] = text = prompt + label
        stated = clean(text if chosen.spec == TEACHERLM else _in_words_of_teacherlm(question))
        for column, suffix in TEACHER_READS:
            row[column] = stated + suffix
        row["id"] = question.source_id or content_id(question)
        row["prompt"] = prompt
        row["choices"] = list(question.choices)
        row["answer"] = question.answer
        row["answer_rule"] = question.answer_rule
        row["template"] = chosen.spec
        if question.messages or question.references or question.dataset:
            _add_extra(row, question)
        if self.explanations:
            if not question.explanation.strip():
                raise UserError(f"{question.where}: there is no explanation; leave out `explanations`.")
            answer_text = chosen.answer(question.answer, question.choices)
            row["explanation_tail"] = chosen.tail(prompt, answer_text, "cot", f" {question.explanation}")
            row["explanation_head"] = chosen.head(prompt, answer_text, "cot", question.explanation)
        return row


def _in_words_of_teacherlm(question: Question) -> str:
    words = template(TEACHERLM)
    return words.prompt(question) + words.answer(question.answer, question.choices)


def _add_extra(row: Row, question: Question) -> None:
    if question.messages:
        row["messages"] = [dict(turn) for turn in question.messages]
    if question.references:
        row["references"] = list(question.references)
    if question.dataset:
        row["dataset"] = question.dataset


def _check(question: Question) -> None:
    if not question.question.strip():
        raise UserError(f"{_place(question)}the question is empty.")
    if not question.answer.strip():
        raise UserError(f"{_place(question)}there is no answer; a split without labels cannot be prepared.")
    if (choices := question.choices) and (len(choices) > len(LETTERS) or question.answer not in LABELS[len(choices)]):
        expected = f"expected one of {', '.join(letters(question.choices))}"
        raise UserError(f"{_place(question)}answer '{question.answer}' is outside the choices ({expected}).")


def _place(question: Question) -> str:
    return f"{question.where}: " if question.where else ""


def _source_columns(raw: Mapping[str, Any]) -> Row:
    return dict(zip(_names(tuple(raw)), raw.values(), strict=True))


@lru_cache(maxsize=256)
def _names(columns: tuple[str, ...]) -> tuple[str, ...]:
    """Names under which source columns are kept."""
    taken = set(columns)
    names = []
    for column in columns:
        name = column
        while name in RESERVED or (name != column and name in taken):
            name = f"source_{name}"
        names.append(name)
    return tuple(names)
