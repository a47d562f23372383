"""Turn a raw dataset into questions: prompts for students and teachers, one HF dataset and a .jsonl."""

import hashlib
from collections.abc import Iterable, Iterator, Mapping
from contextlib import ExitStack
from functools import lru_cache
from itertools import islice
from pathlib import Path
from typing import Annotated, Any, BinaryIO

import orjson
from pydantic import Field

from teacherlm.catalog import DatasetChoice, find
from teacherlm.dataset import Dataset
from teacherlm.errors import UserError, unknown
from teacherlm.log import Progress, progress
from teacherlm.prompts import KINDS, TEXT_COLUMN, Template, head, letters, tail, teacher_text, template
from teacherlm.records import OUR_COLUMNS, Question
from teacherlm.stage import Outcome, Positional, Source, Stage, StageConfig
from teacherlm.store.scratch import Occurrences, scratch_database
from teacherlm.store.staging import staged

TEXTS = ("text", *TEXT_COLUMN.values())
EXPLAINED = ("explanation_tail", "explanation_head")
WRITTEN = (*TEXTS, *OUR_COLUMNS, *EXPLAINED)
ATTEMPT = ("completion_index", "teacher", "conclusion", "found", "hinted", "pass_rate", "vote")
JUDGED = ("verdict", "arithmetic", "leak", "truncation", "repetition", "length", "near_duplicate", "overlap", "supports", "judge")
RESERVED = frozenset((*WRITTEN, *KINDS, "all", *ATTEMPT)) | {
    f"{kind}_{column}" for kind in KINDS for column in ("tail", "head", "finish", *JUDGED)
}
"""Columns of ours, here and in later stages. A source column of that name is kept as `source_<name>`."""

Row = dict[str, Any]


class PrepareConfig(StageConfig):
    dataset: Annotated[DatasetChoice, Positional()]
    """A file in teacherlm/datasets/ and its settings, e.g. creak, or {name: jsonl, columns: {question: q}}."""
    source: Annotated[str | None, Source("data")] = None
    """File or folder of the published data, a save_to_disk folder, or a hub name; by default the dataset's own hub name."""
    split: str = ""
    """The split that is written as <NAME>.jsonl for the teacher; by default train, else the dataset's first."""
    name: str = Field(default="", pattern=r"^[^/\\]*$")
    """NAME of the .jsonl; by default the dataset's title, or the stem of the source."""
    template: str = "teacherlm"
    """How a question is put and its answer stated."""
    limit: int | None = Field(default=None, ge=1)
    """Only the first rows of each split."""
    explanations: bool = False
    """Add `explanation_tail` and `explanation_head`: the layouts with the source's own explanation as the rationale."""
    seed: int = 0
    """Decides what is drawn: generated questions, held-out rows."""


def prepare(config: PrepareConfig) -> Outcome:
    """Writes the DatasetDict, and <NAME>.jsonl of the chosen split, into `config.output`."""
    from teacherlm.store.hf import write_dict_file

    dataset: Dataset = find("datasets", config.dataset.name)
    splits = dataset.read(config.dataset, _source(config, dataset), config.seed)
    chosen = _chosen_split(config.split, splits)
    name = config.name or dataset.title or Path(config.source or config.dataset.name).stem
    counts = {}
    with staged(config.output) as part:
        for split, questions in splits.items():
            jsonl = part / f"{name}.jsonl" if split == chosen else None
            counts[split] = _write_split(part / split, jsonl, islice(questions, config.limit), config)
        write_dict_file(part, list(splits))
    total = sum(counts.values())
    facts = {"dataset": config.dataset.name, "template": config.template, "split": chosen, "jsonl": f"{name}.jsonl"}
    return Outcome(counts={"in": total, "out": total, "dropped": 0, **counts}, facts=facts)


def _source(config: PrepareConfig, dataset: Dataset) -> str | None:
    source = config.source or dataset.hub
    if source is None and dataset.needs_source:
        raise UserError(f"source: is required for dataset '{config.dataset.name}': a file or folder of its data.")
    return source


def _chosen_split(wanted: str, splits: Mapping[str, Any]) -> str:
    if wanted and wanted not in splits:
        raise unknown("split", wanted, splits)
    return wanted or ("train" if "train" in splits else next(iter(splits)))


def _write_split(folder: Path, jsonl: Path | None, questions: Iterable[Question], config: PrepareConfig) -> int:
    """Writes one split as a Dataset, and as .jsonl where asked; returns its number of rows."""
    from teacherlm.store.hf import write_dataset

    with ExitStack() as stack:
        file = stack.enter_context(jsonl.open("wb")) if jsonl else None
        names = Occurrences(stack.enter_context(scratch_database()))
        bar = stack.enter_context(progress(f"prepare {folder.name}", None, "rows"))
        rows = (_row(question, names, template(config.template), config.explanations) for question in questions)
        return write_dataset(folder, _copied(rows, file, bar), folder.name, last=WRITTEN, origin=config.source or config.dataset.name)


def _copied(rows: Iterable[Row], file: BinaryIO | None, bar: Progress) -> Iterator[Row]:
    """The same rows, each also written as a line of the file."""
    for row in rows:
        if file is not None:
            file.write(orjson.dumps(row, option=orjson.OPT_APPEND_NEWLINE))
        bar.advance()
        yield row


def _row(question: Question, names: Occurrences, chosen: Template, explanations: bool) -> Row:
    """Source columns, then the texts, then ours."""
    _check(question)
    prompt = chosen.prompt(question.question, question.choices)
    answer_text = chosen.answer(question.answer, lettered=bool(question.choices))
    row = _source_columns(question.raw)
    row["text"] = prompt + answer_text
    row.update((TEXT_COLUMN[kind], teacher_text(prompt, answer_text, kind)) for kind in KINDS)
    row["id"] = names.unique(question.source_id or content_id(question))
    row["prompt"] = prompt
    row["choices"] = list(question.choices)
    row["answer"] = question.answer
    row["answer_rule"] = question.answer_rule
    row["template"] = chosen.name
    if explanations:
        if not question.explanation.strip():
            raise UserError(f"{question.where}: there is no explanation; leave out `explanations`.")
        row["explanation_tail"] = tail(prompt, answer_text, "cot", f" {question.explanation}")
        row["explanation_head"] = head(prompt, answer_text, "cot", question.explanation)
    return row


def _check(question: Question) -> None:
    """Raises: UserError for a row that no student could learn from, whichever dataset it comes from."""
    where = f"{question.where}: " if question.where else ""
    if not question.question.strip():
        raise UserError(f"{where}the question is empty.")
    if not question.answer.strip():
        raise UserError(f"{where}there is no answer; a split without labels cannot be prepared.")
    known = letters(question.choices)
    if known and question.answer not in tuple(known):
        raise UserError(f"{where}answer '{question.answer}' is outside the choices (expected one of {', '.join(known)}).")


def content_id(question: Question) -> str:
    """16 hex digits for a row without an id of its own."""
    words = (question.question, *question.choices, question.answer)
    return hashlib.blake2b("\0".join(words).encode(), digest_size=8).hexdigest()


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


STAGE = Stage(prepare, PrepareConfig, version=1, words=("output", "source"))
