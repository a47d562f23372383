"""Turn a raw dataset into questions: prompts for students and teachers, one HF dataset and a .jsonl."""

import hashlib
from collections.abc import Iterable, Iterator, Mapping
from contextlib import ExitStack
from dataclasses import dataclass, field
from functools import lru_cache
from itertools import islice
from pathlib import Path
from typing import Annotated, Any, BinaryIO, Literal

import orjson
from pydantic import Field, model_validator

from teacherlm.catalog import TemplateChoice, find
from teacherlm.dataset import BadRow, Dataset, DatasetChoice, Splits
from teacherlm.errors import UserError, unknown
from teacherlm.log import Progress, progress, say
from teacherlm.mixing import as_dataset
from teacherlm.prompts import KINDS, TEXT_COLUMN, TEXTS, letters, spec_of, teacher_text, template
from teacherlm.records import ATTEMPT, OUR_COLUMNS, Question
from teacherlm.stage import Alias, Outcome, Positional, Source, Stage, StageConfig
from teacherlm.store.scratch import Occurrences, scratch_database
from teacherlm.store.sources import Origin
from teacherlm.store.staging import staged

EXPLAINED = ("explanation_tail", "explanation_head")
EXTRA = ("messages", "references", "dataset")
"""Columns of ours that only some datasets have."""
WRITTEN = (*TEXTS, *OUR_COLUMNS, *EXTRA, *EXPLAINED)
JUDGED = ("verdict", "arithmetic", "leak", "truncation", "repetition", "length", "near_duplicate", "overlap", "supports", "judge")
RESERVED = frozenset((*TEXTS, *OUR_COLUMNS, *EXPLAINED, *KINDS, "all", "completion_index", "teacher", *ATTEMPT)) | {
    f"{kind}_{column}" for kind in KINDS for column in ("tail", "head", "finish", *JUDGED)
}
"""Columns of ours, here and in later stages. A source column of that name is kept as `source_<name>`."""
TEACHERLM = "teacherlm"
"""What a teacher reads is in this template's words, whatever the student reads."""
DROPPED = "dropped.jsonl"

Row = dict[str, Any]


class PrepareConfig(StageConfig):
    dataset: Annotated[DatasetChoice, Positional()]
    """A file in teacherlm/datasets/ and its settings, e.g. creak, or {name: jsonl, columns: {question: q}}."""
    source: Annotated[str | None, Source("data")] = None
    """File or folder of the published data, a save_to_disk folder, or a hub name; by default the dataset's own hub name."""
    mix: Annotated[
        dict[str, Any], Alias("--instruction_datasets", "instruction_datasets"), Alias("--dataset_sizes", "dataset_sizes")
    ] = {}
    """Instead of one dataset several, and how much of each: {arc: all, mmlu: 10%, mine: {dataset: jsonl, source: x.jsonl, size: 1000}}."""
    upsample: bool = False
    """Where a source of the mix has fewer rows than asked for, take them several times."""
    split: str = ""
    """The split that is written as <NAME>.jsonl for the teacher; by default train, else the dataset's first."""
    name: str = Field(default="", pattern=r"^[^/\\]*$")
    """NAME of the .jsonl; by default the dataset's title, or the stem of the source."""
    template: TemplateChoice | None = None
    """How a question is put and its answer stated: a file in teacherlm/templates/ and its settings; by default the dataset's own."""
    encoding: str = "utf-8"
    """Of the files: utf-8, latin-1, cp1252, ... A byte order mark says more than this does."""
    on_bad_row: Literal["fail", "drop"] = "fail"
    """fail: the first row that is no question ends the work; drop: it goes into dropped.jsonl with its reason, and is counted."""
    limit: int | None = Field(default=None, ge=1)
    """Only the first rows of each split."""
    explanations: bool = False
    """Add `explanation_tail` and `explanation_head`: the layouts with the source's own explanation as the rationale."""
    seed: int = 0
    """Decides what is drawn: generated questions, held-out rows."""

    @model_validator(mode="before")
    @classmethod
    def _mix_is_a_dataset(cls, values: Any) -> Any:
        if not isinstance(values, dict) or not isinstance(values.get("mix"), dict) or not values["mix"]:
            return values
        if "dataset" in values:
            raise UserError("dataset, mix: give one of the two.")
        others = {name: value for name, value in values.items() if name not in ("mix", "upsample")}
        return {**others, "dataset": as_dataset(values["mix"], bool(values.get("upsample", False)))}


def prepare(config: PrepareConfig) -> Outcome:
    """Writes the DatasetDict, and <NAME>.jsonl of the chosen split, into `config.output`."""
    from teacherlm.store.hf import write_dict_file

    dataset: Dataset = find("datasets", config.dataset.name)
    splits = read_splits(config, dataset)
    chosen = _chosen_split(config.split, splits)
    name = config.name or dataset.title or Path(config.source or config.dataset.name).stem
    spec = spec_of(config.template) if config.template else ""
    counts = {}
    with staged(config.output) as part, ExitStack() as opened:
        dropped = Dropped(part / DROPPED, config.on_bad_row == "fail", opened)
        for split, questions in splits.items():
            jsonl = part / f"{name}.jsonl" if split == chosen else None
            rows = Rows(spec or dataset.template, bool(spec), config.explanations, dropped, split)
            counts[split] = _write_split(part / split, jsonl, islice(questions, config.limit), rows, config)
        write_dict_file(part, list(splits))
    total = sum(counts.values())
    if dropped.count:
        say(f"prepare: {dropped.count} rows were no questions; {config.output / DROPPED} says why.")
    facts = {"dataset": config.dataset.name, "template": spec or dataset.template, "split": chosen, "jsonl": f"{name}.jsonl"}
    facts |= {"licence": dataset.licence} if dataset.licence else {}
    return Outcome(counts={"in": total + dropped.count, "out": total, "dropped": dropped.count, **counts}, facts=facts)


def read_splits(config: PrepareConfig, dataset: Dataset) -> Splits:
    place = config.source or dataset.hub
    if place is None and dataset.needs_source:
        raise UserError(f"source: is required for dataset '{config.dataset.name}': a file or folder of its data.")
    return dataset.read(config.dataset, Origin(place, config.encoding) if place is not None else None, config.seed)


def _chosen_split(wanted: str, splits: Mapping[str, Any]) -> str:
    if wanted and wanted not in splits:
        raise unknown("split", wanted, splits)
    return wanted or ("train" if "train" in splits else next(iter(splits)))


@dataclass
class Dropped:
    """Rows that are no questions."""

    path: Path
    fails: bool
    opened: ExitStack
    count: int = 0
    _file: BinaryIO | None = None

    def add(self, bad: BadRow, split: str) -> None:
        """Raises: UserError where such a row ends the work."""
        if self.fails:
            raise UserError(bad.reason)
        if self._file is None:
            self._file = self.opened.enter_context(self.path.open("wb"))
        line = {"split": split, "where": bad.where, "reason": bad.reason, "row": bad.row}
        self._file.write(orjson.dumps(line, default=str, option=orjson.OPT_APPEND_NEWLINE))
        self.count += 1


@dataclass
class Rows:
    """Questions of one split as rows."""

    template: str
    """Spec of the template for questions that ask for none."""
    always: bool
    """Use it for the others too."""
    explanations: bool
    dropped: Dropped
    split: str
    names: Occurrences = field(init=False)

    def rows(self, questions: Iterable[Question | BadRow], names: Occurrences) -> Iterator[Row]:
        self.names = names
        for question in questions:
            if isinstance(question, BadRow):
                self.dropped.add(question, self.split)
                continue
            try:
                row = self._row(question)
            except UserError as error:
                self.dropped.add(BadRow(question.where, str(error), question.raw), self.split)
            else:
                yield row

    def _row(self, question: Question) -> Row:
        """Source columns, then the texts, then ours."""
        _check(question)
        chosen = template(question.template if question.template and not self.always else self.template)
        prompt = chosen.prompt(question)
        row = _source_columns(question.raw)
        row["text"] = prompt + chosen.label(question)
        row.update(_teacher_texts(question, prompt if chosen.spec == TEACHERLM else ""))
        row["id"] = self.names.unique(question.source_id or content_id(question))
        row["prompt"] = prompt
        row["choices"] = list(question.choices)
        row["answer"] = question.answer
        row["answer_rule"] = question.answer_rule
        row["template"] = chosen.spec
        row.update(_extra(question))
        if self.explanations:
            if not question.explanation.strip():
                raise UserError(f"{question.where}: there is no explanation; leave out `explanations`.")
            answer_text = chosen.answer(question.answer, question.choices)
            row["explanation_tail"] = chosen.tail(prompt, answer_text, "cot", f" {question.explanation}")
            row["explanation_head"] = chosen.head(prompt, answer_text, "cot", question.explanation)
        return row


def _teacher_texts(question: Question, prompt: str) -> Row:
    """`prompt`: the question as the teacher reads it, where that is known already."""
    words = template(TEACHERLM)
    asked, answer_text = prompt or words.prompt(question), words.answer(question.answer, question.choices)
    return {TEXT_COLUMN[kind]: teacher_text(asked, answer_text, kind) for kind in KINDS}


def _extra(question: Question) -> Row:
    values = {"messages": [dict(turn) for turn in question.messages], "references": list(question.references), "dataset": question.dataset}
    return {name: value for name, value in values.items() if value}


def _write_split(folder: Path, jsonl: Path | None, questions: Iterable[Question | BadRow], rows: Rows, config: PrepareConfig) -> int:
    """Writes one split as a Dataset, and as .jsonl where asked; returns its number of rows."""
    from teacherlm.store.hf import write_dataset

    with ExitStack() as stack:
        file = stack.enter_context(jsonl.open("wb")) if jsonl else None
        names = Occurrences(stack.enter_context(scratch_database()))
        bar = stack.enter_context(progress(f"prepare {folder.name}", None, "rows"))
        copied = _copied(rows.rows(questions, names), file, bar)
        return write_dataset(folder, copied, folder.name, last=WRITTEN, origin=config.source or config.dataset.name)


def _copied(rows: Iterable[Row], file: BinaryIO | None, bar: Progress) -> Iterator[Row]:
    """The same rows, each also written as a line of the file."""
    for row in rows:
        if file is not None:
            file.write(orjson.dumps(row, option=orjson.OPT_APPEND_NEWLINE))
        bar.advance()
        yield row


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
