"""Turn a raw dataset into questions: prompts for students and teachers, one HF dataset and a .jsonl."""

from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import ExitStack
from dataclasses import dataclass
from itertools import chain, islice
from pathlib import Path
from typing import Annotated, Any, BinaryIO, Literal

import orjson
from pydantic import Field, model_validator

from teacherlm.catalog import TemplateChoice, find
from teacherlm.contamination import MeasuredChoice, read_questions, without
from teacherlm.dataset import BadRow, Dataset, DatasetChoice, Splits
from teacherlm.errors import UserError, unknown
from teacherlm.log import Progress, progress, say
from teacherlm.mixing import as_dataset
from teacherlm.prompts import spec_of
from teacherlm.records import Question
from teacherlm.rows import WRITTEN, Row, RowLayout
from teacherlm.splitting import WAYS_TO_DRAW, Cut, cut
from teacherlm.stage import Alias, Outcome, Positional, Source, Stage, StageConfig
from teacherlm.store.files import DROPPED
from teacherlm.store.scratch import Occurrences, few_collections, scratch_database
from teacherlm.store.sources import Origin
from teacherlm.store.staging import staged

CHUNK = 1000
"""Rows that go through each step together."""
BUFFER = 1 << 20


class PrepareConfig(StageConfig):
    dataset: Annotated[DatasetChoice, Positional(), Alias("--data_name", "data_name"), Alias("--data", "data_name")]
    """A file in teacherlm/datasets/ and its settings, e.g. creak, or {name: jsonl, columns: {question: q}}."""
    source: Annotated[str | None, Source("data")] = None
    """File or folder of the published data, a save_to_disk folder, or a hub name; by default the dataset's own hub name."""
    mix: Annotated[dict[str, Any], Alias("--instruction_datasets", "instruction_datasets"), Alias("--dataset_sizes", "dataset_sizes")] = {}
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
    decontaminate: list[MeasuredChoice] = []
    """Leave out of the split that is taught what is measured later (13 words in a row, or all of a shorter question): tasks by name,
    split:validation of this dataset, data of your own, or {task, data, split}; in a pipeline file `pipeline` is all it evaluates."""
    limit: int | None = Field(default=None, ge=1)
    """Only the first rows of each split."""
    explanations: bool = False
    """Add `explanation_tail` and `explanation_head`: the layouts with the source's own explanation as the rationale."""
    split_by: Annotated[str | None, Source("data", words=WAYS_TO_DRAW)] = None
    """Cut the source's one split into train and test: random; template (no question template is in both); or a file that says which row
    is where: {"train": [0, 2, ...], "test": [...]}, or a folder of ids, one a line: train_ids.txt, val_ids.txt, ..."""
    train_share: float = Field(default=0.7, gt=0.0, lt=1.0)
    """How much of it becomes train, with split_by random or template."""
    few_shot: int | None = Field(default=None, ge=1)
    """Keep only so many rows of train, drawn by the seed."""
    seed: Annotated[int, Alias("--random_seed")] = 0
    """Decides what is drawn: generated questions, held-out rows, splits."""

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
    if config.decontaminate:
        splits = {**splits, chosen: _decontaminated(splits[chosen], config, dataset)}
    layout = RowLayout(spec or dataset.template, bool(spec), config.explanations)
    counts = {}
    with staged(config.output) as part, few_collections(), ExitStack() as opened:
        dropped = Dropped(part / DROPPED, config.on_bad_row == "fail", opened)
        for split, questions in splits.items():
            jsonl = part / f"{name}.jsonl" if split == chosen else None
            kept = Kept(layout, dropped, split, config.source or config.dataset.name)
            counts[split] = _write_split(part / split, jsonl, islice(questions, config.limit), kept)
        write_dict_file(part, list(splits))
    total = sum(counts.values())
    if dropped.count:
        say(f"prepare: {dropped.count} rows were left out; {config.output / DROPPED} says why.")
    facts = {"dataset": config.dataset.name, "template": spec or dataset.template, "split": chosen, "jsonl": f"{name}.jsonl"}
    facts |= {"licence": dataset.licence} if dataset.licence else {}
    return Outcome(counts={"in": total + dropped.count, "out": total, "dropped": dropped.count, **counts}, facts=facts)


def read_splits(config: PrepareConfig, dataset: Dataset) -> Splits:
    place = config.source or dataset.hub
    if place is None and dataset.needs_source:
        raise UserError(f"source: is required for dataset '{config.dataset.name}': a file or folder of its data.")
    origin = Origin(place, config.encoding) if place is not None else None
    how = Cut(config.split_by, config.train_share, config.few_shot, config.seed)
    return cut(lambda: dataset.read(config.dataset, origin, config.seed), how)


def _decontaminated(questions: Iterable[Question | BadRow], config: PrepareConfig, dataset: Dataset) -> Iterator[Question | BadRow]:
    def own(split: str) -> Callable[[], Iterator[str]]:
        if split not in (splits := read_splits(config, dataset)):
            raise unknown("split", split, splits)
        return lambda: (one.question for one in read_splits(config, dataset)[split] if isinstance(one, Question))

    return without(questions, [read_questions(one, own) for one in config.decontaminate])


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
        if self.fails and not bad.on_purpose:
            raise UserError(bad.reason)
        if self._file is None:
            self._file = self.opened.enter_context(self.path.open("wb"))
        line = {"split": split, "where": bad.where, "reason": bad.reason, "row": bad.row}
        self._file.write(orjson.dumps(line, default=str, option=orjson.OPT_APPEND_NEWLINE))
        self.count += 1


@dataclass(frozen=True)
class Kept:
    """The rows of one split; what is no question goes to those that are dropped."""

    layout: RowLayout
    dropped: Dropped
    split: str
    origin: str

    def rows(self, questions: Iterable[Question | BadRow]) -> Iterator[Row]:
        """Raises: UserError for a split of which nothing is left."""
        kept, first_bad, dropped_before = 0, "", self.dropped.count
        for question in questions:
            found = question if isinstance(question, BadRow) else self._row(question)
            if isinstance(found, BadRow):
                first_bad = first_bad or found.reason
                self.dropped.add(found, self.split)
            else:
                kept += 1
                yield found
        if not kept:
            bad = self.dropped.count - dropped_before
            why = f"none of its {bad} rows can be used; the first: {first_bad}" if bad else "it has no rows."
            raise UserError(f"{self.origin}: split '{self.split}': {why}")

    def _row(self, question: Question) -> Row | BadRow:
        try:
            return self.layout.row(question)
        except UserError as error:
            return BadRow(question.where, str(error), question.raw)


def _write_split(folder: Path, jsonl: Path | None, questions: Iterable[Question | BadRow], kept: Kept) -> int:
    """Writes one split as a Dataset, and as .jsonl where asked; returns its number of rows."""
    from teacherlm.store.hf import write_dataset

    with ExitStack() as stack:
        file = stack.enter_context(jsonl.open("wb", BUFFER)) if jsonl else None
        names = Occurrences(stack.enter_context(scratch_database()))
        bar = stack.enter_context(progress(f"prepare {folder.name}", None, "rows"))
        chunks = _copied(_with_ids(_chunks(kept.rows(questions)), names), file, bar)
        return write_dataset(folder, chain.from_iterable(chunks), folder.name, last=WRITTEN, origin=kept.origin)


def _chunks(rows: Iterable[Row]) -> Iterator[list[Row]]:
    stream = iter(rows)
    while chunk := list(islice(stream, CHUNK)):
        yield chunk


def _with_ids(chunks: Iterable[list[Row]], names: Occurrences) -> Iterator[list[Row]]:
    """The same rows, no two of which have the same id."""
    for chunk in chunks:
        for row, name in zip(chunk, names.unique([row["id"] for row in chunk]), strict=True):
            row["id"] = name
        yield chunk


def _copied(chunks: Iterable[list[Row]], file: BinaryIO | None, bar: Progress) -> Iterator[list[Row]]:
    """The same rows, each also written as a line of the file."""
    for chunk in chunks:
        if file is not None:
            for row in chunk:
                file.write(orjson.dumps(row, option=orjson.OPT_APPEND_NEWLINE))
        bar.advance(len(chunk))
        yield chunk


STAGE = Stage(prepare, PrepareConfig, version=1, words=("output", "source"))
