"""Do evaluation questions stand in what a student is trained on? Counted for the report, and left out where `prepare` is told to.

Two questions are the same where their words are, once what all questions of their source begin and end with is taken off. They share
a sequence where n words in a row stand in both (`overlap.py`).
"""

from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Annotated, Any

from pydantic import BeforeValidator, model_validator

from teacherlm.dataset import BadRow
from teacherlm.errors import UserError
from teacherlm.overlap import OverlapIndex, Texts, build_index, evaluation_tables, own_words, question_texts
from teacherlm.records import Question
from teacherlm.stage import Settings, Source
from teacherlm.store.files import read_json, read_jsonl, write_json
from teacherlm.store.fingerprint import cache_folder, digest
from teacherlm.store.manifest import read_manifest

VERSION = 1
"""Raised when the same texts would be counted otherwise."""
N, SHORTEST, COMMON = 13, 5, 10
"""As in GPT-3's report (Brown et al. 2020, appendix C): 13 words; shorter questions count whole. See `build_index` for the other two."""


class Measured(Settings):
    """Evaluation questions, from one of three places."""

    task: str = ""
    """An lm-eval task by name, as `evaluate` takes it."""
    data: Annotated[Path | None, Source("data")] = None
    """Local data of the task; without a task an output of `prepare`, or a .jsonl with a column `prompt` or `question`."""
    split: str = ""
    """Of `data`, by default all but train; without task and data a split of the dataset that is being prepared."""
    include_path: list[Path] = []
    """Folders with tasks of your own."""

    @model_validator(mode="after")
    def _names_something(self) -> "Measured":
        if not (self.task or self.data or self.split):
            raise UserError("name a task, the data of one, or a split of this dataset.")
        return self

    @property
    def name(self) -> str:
        return self.task or str(self.data or f"split {self.split}")


def spelled(value: Any) -> Any:
    """`creak` is a task, `split:validation` a split, `questions.jsonl` or an existing folder data."""
    if not isinstance(value, str):
        return value
    if value.startswith("split:"):
        return {"split": value.removeprefix("split:")}
    return {"data": value} if value.endswith((".jsonl", ".json")) or Path(value).exists() else {"task": value}


MeasuredChoice = Annotated[Measured, BeforeValidator(spelled)]


@dataclass(frozen=True)
class Found:
    """What one task's questions have in common with a training set."""

    questions: int
    exact: int
    """Questions that are trained on word for word."""
    shared: int
    """Questions of which n words in a row are, these included."""


@dataclass
class Questions:
    """The evaluation questions of one source, ready to be looked for."""

    name: str
    texts: Texts
    index: OverlapIndex = field(init=False)
    exact: frozenset[tuple[str, ...]] = field(init=False)

    def __post_init__(self) -> None:
        self.index = build_index([self.texts], N, SHORTEST, COMMON)
        self.exact = frozenset(map(tuple, own_words(self.texts)))

    def found_in(self, training: Texts, asked: Texts | None = None) -> Found:
        """`asked`: the questions of the training texts, by themselves; only these can be the same word for word."""
        seen = {words for words in map(tuple, own_words(asked or training)) if words in self.exact}
        numbers: set[int] = set()
        for text in training():
            numbers |= self.index.sequences_in(text)
        own = list(map(tuple, own_words(self.texts)))
        exact = [words for words in own if words in seen]
        shared = [words for words in own if words in seen or self.index.is_among(words, numbers)]
        return Found(len(own), len(exact), len(shared))


def without(training: Iterable[Question | BadRow], measured: Sequence[Questions]) -> Iterator[Question | BadRow]:
    """The training questions; one that is measured, or shares a sequence with one that is, comes as a BadRow that says so."""
    for one in training:
        found = next((m.name for m in measured if m.index.shares_sequence(one.question)), "") if isinstance(one, Question) else ""
        yield BadRow(one.where, f"{one.where}: overlaps with a question of {found}", one.raw, on_purpose=True) if found else one  # type: ignore[union-attr]


def read_questions(settings: Measured, own: Callable[[str], Texts]) -> Questions:
    """`own`: the questions of a split of the dataset that is being prepared.

    Raises: UserError for an unknown task, data without an evaluation split, and rows without a question.
    """
    if settings.task:
        return Questions(settings.name, _listed(_asked_by_task(settings)))
    if settings.data is not None:
        tables = list(evaluation_tables(str(settings.data), [settings.split] if settings.split else []))
        return Questions(settings.name, lambda: (text for table in tables for text in question_texts(table)()))
    return Questions(settings.name, own(settings.split))


def _listed(texts: Iterable[str]) -> Texts:
    kept = list(texts)
    return lambda: kept


def _asked_by_task(settings: Measured) -> Iterator[str]:
    from teacherlm.evaluation.loading import TaskOptions, load_tasks

    options = TaskOptions(settings.data, settings.split or None, shots=0)
    for loaded in load_tasks([settings.task], settings.include_path, options):
        yield from task_questions(loaded)


def task_questions(loaded: Any) -> Iterator[str]:
    """What a loaded task asks, without shots: one text for each document."""
    for _, doc in loaded.task.doc_iterator():
        asked = loaded.task.fewshot_context(doc, 0)
        yield asked if isinstance(asked, str) else asked[0]


def overlap_with(loaded: Any, training: Path, column: str) -> Found:
    """What the questions of a loaded task have in common with the texts of a column of a training set.

    Counted once for the same task and training set, however many students learnt from it; kept in the user's cache.
    """
    manifest = read_manifest(training)
    name = digest(VERSION, loaded.content, manifest.fingerprint if manifest else str(training), column)
    known = cache_folder("overlap") / f"{name}.json"
    if manifest is not None and known.is_file():
        return Found(**read_json(known))
    found = Questions(loaded.name, _listed(task_questions(loaded))).found_in(
        lambda: _column(training, column), lambda: _column(training, "prompt")
    )
    if manifest is not None:
        write_json(known, asdict(found))
    return found


def _column(path: Path, column: str) -> Iterator[str]:
    """The training texts of an output, or of a .jsonl; `column` as in `train_on`."""
    from teacherlm.store.hf import read_dataset
    from teacherlm.training.columns import columns_of

    rows = (row for _, row in read_jsonl(path)) if path.is_file() else read_dataset(path, "train")
    return ("\n".join(str(row.get(one) or "") for one in columns_of(column, tuple(row), path)) for row in rows)
