"""The questions of EduQG's chapters, and the tasks that are made of them.

The definitions and the explanations are this project's own wording. What each form gives and asks for:

    qg    Passage: ...                      Which gas do plants take in?
          Answer: carbon dioxide
    opt   Passage: ...                      (A) oxygen (B) carbon dioxide (C) helium
          Question: Which gas do ...?
          Answer: carbon dioxide
    qog   Passage: ...                      Which gas do plants take in? (A) oxygen (B) carbon dioxide (C) helium
          Answer: carbon dioxide
"""

import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from random import Random
from typing import Any

from teacherlm.dataset import BadRow
from teacherlm.datasets._ni_tasks import Task
from teacherlm.errors import UserError
from teacherlm.prompts import LETTERS, letters
from teacherlm.records import Demonstration
from teacherlm.store.sources import require

EXAMPLES = 2
"""Questions of `train` that stand as worked examples in the prompts of all others, and are not taught themselves."""
PASSAGES: Mapping[str, str] = {"sentences": "hl_sentences", "context": "hl_context", "highlighted": "hl_context", "chapter": "chapter_text"}
WORDINGS: Mapping[str, str] = {"normal": "normal_format", "cloze": "cloze_format", "original": "question_text"}
MARK = re.compile(r"\s*</?hl>\s*")


@dataclass(frozen=True)
class Item:
    """One multiple-choice question of a chapter."""

    id: str
    book: str
    chapter: str
    bloom: str
    """Level 1 to 4 of Bloom's taxonomy; "" where nobody judged it."""
    passage: str
    question: str
    choices: tuple[str, ...]
    answer: str
    """The text of the right choice."""

    @property
    def options(self) -> str:
        return " ".join(f"({letter}) {choice}" for letter, choice in zip(letters(self.choices), self.choices, strict=True))


@dataclass(frozen=True)
class Form:
    """What is given of a question, and what is to be written."""

    definition: str
    category: str
    given: Callable[[Item], tuple[tuple[str, str], ...]]
    written: Callable[[Item], str]
    explanation: str
    """Why an example is right; true of every question."""

    def input(self, item: Item) -> str:
        return "\n".join(f"{name}: {text}" for name, text in self.given(item))


FORMS: Mapping[str, Form] = {
    "qg": Form(
        "You are given a passage from a textbook and an answer. Write a question about the passage to which the given answer is the "
        "right one.",
        "Question Generation",
        lambda item: (("Passage", item.passage), ("Answer", item.answer)),
        lambda item: item.question,
        "The question is about the passage, and the given answer is the right one.",
    ),
    "opt": Form(
        "You are given a passage from a textbook, a question about it and the right answer. Write the options of a multiple-choice "
        "question, each after its letter: the right answer, and wrong ones that someone who has not understood the passage might choose.",
        "Wrong Candidate Generation",
        lambda item: (("Passage", item.passage), ("Question", item.question), ("Answer", item.answer)),
        lambda item: item.options,
        "One of the options is the right answer, the others are plausible but wrong.",
    ),
    "qog": Form(
        "You are given a passage from a textbook and an answer. Write a multiple-choice question about the passage: a question to which "
        "the given answer is the right one, then the options, each after its letter: the right answer, and wrong ones that someone who "
        "has not understood the passage might choose.",
        "Question Generation",
        lambda item: (("Passage", item.passage), ("Answer", item.answer)),
        lambda item: f"{item.question} {item.options}",
        "The question is about the passage; one of the options is the given answer, the others are plausible but wrong.",
    ),
}


def chapter_names(chapter: Mapping[str, Any]) -> tuple[str, str]:
    """(book, chapter); "" for what is not said."""
    return _word(chapter.get("bname")), _word(chapter.get("chapter"))


def chapter_items(chapter: Mapping[str, Any], where: str, passage: str, wording: str) -> Iterator[Item | BadRow]:
    """The questions of one chapter."""
    questions = chapter.get("questions")
    if not isinstance(questions, list):
        yield BadRow(where, f"{where}: expected a chapter with a list of 'questions' (found: {', '.join(chapter) or 'nothing'}).", chapter)
        return
    for number, row in enumerate(questions, start=1):
        place = f"{where}: question {number}"
        try:
            item = _item(row, chapter, number, place, passage, wording)
        except UserError as error:
            yield BadRow(place, str(error), row if isinstance(row, dict) else {})
        else:
            yield item


def _item(row: Any, chapter: Mapping[str, Any], number: int, where: str, passage: str, wording: str) -> Item:
    asked = _mapping(require(_mapping(row, where), "question", where), f"{where}: 'question'")
    choices = _choices(require(asked, "question_choices", where), where)
    text = _joined(asked.get(WORDINGS[wording])) or _joined(asked.get("question_text"))
    if not text:
        raise UserError(f"{where}: there is no question: '{WORDINGS[wording]}' and 'question_text' are empty.")
    book, position = chapter_names(chapter)
    return Item(
        id="-".join(part for part in (book, position, _word(asked.get("question_id")) or str(number)) if part),
        book=book,
        chapter=position,
        bloom=_word(row.get("bloom")),
        passage=_passage({**chapter, **row}, where, passage),
        question=text,
        choices=choices,
        answer=choices[_right(_mapping(require(row, "answer", where), f"{where}: 'answer'"), choices, where)],
    )


def _passage(columns: Mapping[str, Any], where: str, passage: str) -> str:
    column = PASSAGES[passage]
    text = _joined(require(columns, column, where))
    if passage != "highlighted":
        text = MARK.sub(" ", text).strip()
    if not text:
        others = " or ".join(name for name in PASSAGES if PASSAGES[name] != column)
        raise UserError(f"{where}: '{column}' is empty, so there is no passage; other choices of `passage`: {others}.")
    return text


def _choices(given: Any, where: str) -> tuple[str, ...]:
    choices = tuple(str(choice).strip() for choice in given) if isinstance(given, list) else ()
    if len(choices) < 2 or not all(choices):
        raise UserError(f"{where}: 'question_choices' must be a list of two or more texts, found {given!r}.")
    letters(choices)
    return choices


def _right(answer: Mapping[str, Any], choices: Sequence[str], where: str) -> int:
    """Position of the right choice. Raises: UserError where the answer's two columns do not say the same."""
    position, said = require(answer, "ans_choice", where), str(answer.get("ans_text") or "").strip()
    if isinstance(position, bool) or not isinstance(position, int) or not 0 <= position < len(choices):
        raise UserError(f"{where}: ans_choice {position!r} is outside the {len(choices)} choices (it counts from 0).")
    if said and said.strip("(). ").upper() != LETTERS[position] and said != choices[position]:
        raise UserError(f"{where}: ans_choice {position} (counted from 0) is {LETTERS[position]}, but ans_text says {said!r}.")
    return position


def _mapping(value: Any, where: str) -> Mapping[str, Any]:
    if not isinstance(value, dict):
        raise UserError(f"{where}: expected an object, found {value!r}.")
    return value


def _word(value: Any) -> str:
    return "" if value is None else str(value).strip()


def _joined(value: Any) -> str:
    """A text, or a list of sentences."""
    return " ".join(str(part).strip() for part in value) if isinstance(value, list) else str(value or "").strip()


def split_tasks(splits: Mapping[str, Sequence[Item]], forms: Sequence[str], seed: int, place: str) -> dict[str, list[Task]]:
    """For each split a task of each form; all share the worked examples, two questions of `train` that are in none of them.

    The instances of the splits that are not trained on are in an order drawn by the seed: their first ones are a fair sample.
    """
    train = splits.get("train", ())
    shown = Random(f"{seed}/examples").sample(list(train), k=max(0, min(EXAMPLES, len(train) - 1)))
    tasks: dict[str, list[Task]] = {}
    for split, items in splits.items():
        kept = [item for item in items if item not in shown]
        if split != "train":
            Random(f"{seed}/{split}").shuffle(kept)
        tasks[split] = [_task(form, split, kept, shown, place) for form in forms]
    return tasks


def _task(name: str, split: str, items: Sequence[Item], shown: Sequence[Item], place: str) -> Task:
    form, task = FORMS[name], f"eduqg_{name}_{split}"
    return Task(
        name=task,
        definition=form.definition,
        category=form.category,
        demonstrations=tuple(Demonstration(form.input(item), form.written(item), form.explanation) for item in shown),
        instances=[_instance(name, item) for item in items],
        place=f"{place}: {task}",
    )


def _instance(name: str, item: Item) -> dict[str, Any]:
    form = FORMS[name]
    return {
        "id": f"eduqg_{name}-{item.id}",
        "input": form.input(item),
        "output": [form.written(item)],
        "book": item.book,
        "chapter": item.chapter,
        "bloom": item.bloom,
    }
