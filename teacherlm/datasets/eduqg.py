"""EduQG: 3,397 multiple-choice questions of textbooks, to be written from their passage (no licence stated; Hadifar et al. 2022).

    [{"chapter": 3, "bname": "biology", "intro": "...", "chapter_text": "...", "summary": "...", "keyterm": "", "questions": [
      {"question": {"question_id": "7", "question_text": "Plants take in ___.", "cloze_format": "Plants take in ___.",
                    "normal_format": "Which gas do plants take in?", "question_choices": ["oxygen", "carbon dioxide", "helium"]},
       "answer": {"ans_text": "B", "ans_choice": 1}, "bloom": null, "references_are_paraphrase": 0,
       "hl_sentences": "Plants take in carbon dioxide.", "hl_context": "Air is a mix. <hl> Plants take in carbon dioxide. <hl>"}]}]

(Not a real specimen: the published files were not at hand; this is their documented schema.) The questions become tasks in the manner
of Super-NaturalInstructions: `qg` (passage and answer -> question), `opt` (passage, question and answer -> options), `both` of these,
or `qog` (passage and answer -> question and options). No chapter is in two splits. `write_tasks` names a folder that gets them as task
files with split lists; the dataset natural_instructions makes the same rows of it.
"""

from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from random import Random
from typing import Any, Literal

from pydantic import Field

from teacherlm.dataset import BadRow, Dataset, Splits
from teacherlm.datasets._eduqg_tasks import Item, chapter_items, chapter_names, split_tasks
from teacherlm.datasets._ni_encoding import EncodingSettings, task_questions
from teacherlm.datasets._ni_layout import LISTS
from teacherlm.datasets._ni_tasks import Task, write_task
from teacherlm.errors import UserError
from teacherlm.records import Question
from teacherlm.store.files import writing
from teacherlm.store.sources import Origin, Table

Chapter = tuple[str, Mapping[str, Any] | UserError]
"""(where a message says it is, the chapter)."""
FORMS_OF: Mapping[str, tuple[str, ...]] = {"qg": ("qg",), "opt": ("opt",), "qog": ("qog",), "both": ("qg", "opt")}
HELD_OUT = 0.2


class EduqgSettings(EncodingSettings):
    name: Literal["eduqg"] = "eduqg"
    form: Literal["qg", "opt", "qog", "both"] = "both"
    """qg: write the question; opt: its options; qog: both at once; both: qg and opt as two tasks."""
    passage: Literal["sentences", "context", "highlighted", "chapter"] = "sentences"
    """sentences: only those that the question is about; context: those around them too; highlighted: the same with `<hl>` around the
    sentences; chapter: all of it."""
    wording: Literal["normal", "cloze", "original"] = "normal"
    """Of the questions: whole sentences, or with a gap; one that lacks this form keeps its original wording."""
    test_size: float | None = Field(default=None, ge=0.0, lt=1.0)
    """Part of the chapters (or books) that is held out as `test`, drawn by the seed; by default a folder of files named train, valid
    and test keeps its splits, and of everything else a fifth is held out."""
    split_by: Literal["chapter", "book"] = "chapter"
    """What is held out as a whole."""
    max_num_instances_per_eval_task: int | None = Field(default=None, ge=1)
    """So many questions of each split that is not trained on; by default all."""
    write_tasks: str | None = None
    """Folder into which the tasks are written too, as `tasks/*.json` and `splits/default/*_tasks.txt`."""


def read(settings: EduqgSettings, origin: Origin | None, seed: int) -> Splits:
    """All chapters are held in memory."""
    assert origin is not None
    items, bad = _items(_split_chapters(origin, settings, seed), settings)
    if not any(items.values()) and not any(bad.values()):
        raise UserError(f"{origin.place}: the chapters hold no questions.")
    tasks = split_tasks(items, FORMS_OF[settings.form], seed, origin.place)
    last = list(tasks)[-1]
    return {split: _questions(bad[split], tasks, split, settings, seed, split == last) for split in tasks}


def _questions(
    bad: Sequence[BadRow], tasks: Mapping[str, Sequence[Task]], split: str, settings: EduqgSettings, seed: int, last: bool
) -> Iterator[Question | BadRow]:
    """Task files are written only when all bad rows were let pass."""
    yield from bad
    if last and settings.write_tasks:
        write_tasks(Path(settings.write_tasks), tasks)
    for task in tasks[split]:
        yield from task_questions(task, split, settings, seed)


def write_tasks(folder: Path, tasks: Mapping[str, Sequence[Task]]) -> None:
    """A folder that the dataset natural_instructions reads."""
    for split, name in LISTS.items():
        file = folder / "splits" / "default" / name
        if split not in tasks:
            file.unlink(missing_ok=True)
            continue
        for task in tasks[split]:
            write_task(folder / "tasks", task)
        with writing(file) as lines:
            lines.write("".join(f"{task.name}\n" for task in tasks[split]).encode())


def _items(splits: Mapping[str, Sequence[Chapter]], settings: EduqgSettings) -> tuple[dict[str, list[Item]], dict[str, list[BadRow]]]:
    items: dict[str, list[Item]] = {split: [] for split in splits}
    bad: dict[str, list[BadRow]] = {split: [] for split in splits}
    for split, chapters in splits.items():
        for where, chapter in chapters:
            if isinstance(chapter, UserError):
                bad[split].append(BadRow(where, str(chapter)))
                continue
            for found in chapter_items(chapter, where, settings.passage, settings.wording):
                if isinstance(found, BadRow):
                    bad[split].append(found)
                else:
                    items[split].append(found)
    return {split: found for split, found in items.items() if found or bad[split]}, bad


def _split_chapters(origin: Origin, settings: EduqgSettings, seed: int) -> Mapping[str, Sequence[Chapter]]:
    tables = origin.tables(suffixes=(".json", ".jsonl"))
    named = {name: _split_named(name) for name in tables}
    if settings.test_size is None and len(tables) > 1 and "train" in named.values() and None not in named.values():
        return _gathered(tables, named)
    chapters = [chapter for table in tables.values() for chapter in table.rows_or_errors()]
    size = HELD_OUT if settings.test_size is None else settings.test_size
    return _held_out(chapters, size, settings.split_by, seed, origin.place) if size else {"train": chapters}


def _split_named(file: str) -> str | None:
    """`train` for qg_train_v0."""
    marks = {"train": "train", "valid": "validation", "dev": "validation", "test": "test"}
    return next((split for mark, split in marks.items() if mark in file.lower()), None)


def _gathered(tables: Mapping[str, Table], named: Mapping[str, str | None]) -> dict[str, list[Chapter]]:
    splits: dict[str, list[Chapter]] = {"train": []}
    for name, table in tables.items():
        splits.setdefault(str(named[name]), []).extend(table.rows_or_errors())
    return splits


def _held_out(chapters: Sequence[Chapter], size: float, by: str, seed: int, place: str) -> dict[str, list[Chapter]]:
    """Raises: UserError where there is nothing to divide."""
    groups: dict[tuple[str, ...], list[Chapter]] = {}
    for where, chapter in chapters:
        groups.setdefault(_group(where, chapter, by), []).append((where, chapter))
    if len(groups) < 2:
        raise UserError(
            f"{place}: only one {by}, so none can be held out; use test_size=0" + (", or split_by=chapter." if by == "book" else ".")
        )
    keys = sorted(groups)
    Random(f"{seed}/split").shuffle(keys)
    count = min(len(keys) - 1, max(1, round(len(keys) * size)))
    drawn = set(keys[:count])
    return {
        "train": [chapter for key in groups if key not in drawn for chapter in groups[key]],
        "test": [chapter for key in groups if key in drawn for chapter in groups[key]],
    }


def _group(where: str, chapter: Mapping[str, Any] | UserError, by: str) -> tuple[str, ...]:
    """What must not be divided; a chapter that does not say which it is stands alone."""
    if isinstance(chapter, UserError):
        return (where,)
    book, number = chapter_names(chapter)
    names = (book,) if by == "book" else (book, number)
    return names if any(names) else (where,)


DATASET = Dataset(EduqgSettings, read, title="EduQG", template="tk_instruct")
