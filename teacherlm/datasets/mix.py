"""Several datasets as one: so many rows of each, drawn by the seed; every row says where it comes from.

    prepare: {mix: {arc: all, mmlu: 10%, slimorca: 1000, mine: {dataset: jsonl, source: mine.jsonl, size: 50%, epochs: 2}}}

Only the `train` split of each is mixed (of a dataset without one its only split). Its columns differ from source to source, so they are
kept as one JSON text, `source_row`; the column `dataset` holds the part's name. Every source has its own licence.
"""

from collections.abc import Iterable, Iterator, Mapping
from typing import Annotated, Any, Literal

import orjson
from pydantic import Field, field_validator, model_validator

from teacherlm.catalog import ChosenSettings, find
from teacherlm.dataset import BadRow, Dataset, DatasetChoice, Splits
from teacherlm.errors import UserError
from teacherlm.mixing import by_weight, draw, parse_size
from teacherlm.records import Question
from teacherlm.stage import Settings, Source
from teacherlm.store.sources import Origin


class Part(Settings):
    """One source of a mix."""

    dataset: DatasetChoice
    """A file in teacherlm/datasets/ and its settings; by default the part's own name."""
    source: Annotated[str | None, Source("data")] = None
    """File or folder of its data, or a hub name; by default the dataset's own hub name."""
    size: str = "all"
    """Rows to draw: all, a share such as 10%, or a number."""
    weight: Annotated[float | None, Field(gt=0)] = None
    """Instead of a size: its share of the mix's `rows`, beside the weights of the others."""
    epochs: Annotated[float, Field(gt=0)] = 1.0
    """How often the rows drawn stand in the mix; of 1.5 every second row stands there twice."""
    encoding: str = "utf-8"
    """Of its files."""

    @field_validator("size", mode="before")
    @classmethod
    def _word(cls, value: Any) -> Any:
        return str(value) if isinstance(value, int) and not isinstance(value, bool) else value


class MixSettings(ChosenSettings):
    name: Literal["mix"] = "mix"
    parts: Annotated[dict[str, Part], Field(min_length=1)]
    """Name -> size, or {dataset, source, size, weight, epochs}."""
    rows: Annotated[int | None, Field(ge=1)] = None
    """Rows that the weights share out."""
    upsample: bool = False
    """Where a source has fewer rows than asked for, take them several times; without it that is an error."""

    @field_validator("parts", mode="before")
    @classmethod
    def _spelled_out(cls, parts: Any) -> Any:
        """`{arc: 10%}` -> {arc: {dataset: arc, size: 10%}}"""
        if not isinstance(parts, Mapping):
            return parts
        return {name: {"dataset": name, **(given if isinstance(given, Mapping) else {"size": given})} for name, given in parts.items()}

    @model_validator(mode="after")
    def _weighed_together(self) -> "MixSettings":
        weighed = [name for name, part in self.parts.items() if part.weight is not None]
        if (self.rows is not None) != bool(weighed):
            raise UserError("weights share out `rows`: give both, or neither.")
        if weighed and len(weighed) < len(self.parts):
            without = next(name for name in self.parts if name not in weighed)
            raise UserError(f"parts.{without}: has no weight, but {weighed[0]} has one; give every part a weight, or none.")
        return self


def read(settings: MixSettings, origin: Origin | None, seed: int) -> Splits:
    """The split `train`: part after part, each in the order of its source; training shuffles."""
    return {"train": _mixed(settings, seed)}


def _mixed(settings: MixSettings, seed: int) -> Iterator[Question | BadRow]:
    counts = {name: sum(isinstance(one, Question) for one in _questions(name, part, seed)) for name, part in settings.parts.items()}
    for name, wanted in _sizes(settings, counts).items():
        part = settings.parts[name]
        times = iter(draw(counts[name], wanted, part.epochs, f"{seed}/{name}"))
        spec = _dataset(part).template
        for one in _questions(name, part, seed):
            if isinstance(one, BadRow):
                yield one
                continue
            for _ in range(next(times)):
                yield _marked(one, name, spec)


def _sizes(settings: MixSettings, counts: Mapping[str, int]) -> dict[str, int]:
    """Rows to draw of each part. Raises: UserError naming a part that has too few."""
    weights = {name: part.weight for name, part in settings.parts.items() if part.weight is not None}
    if settings.rows is not None:
        wanted = by_weight(weights, settings.rows)
    else:
        wanted = {name: _size(name, part.size, counts[name]) for name, part in settings.parts.items()}
    for name, rows in wanted.items():
        if rows > counts[name] and not (settings.upsample and counts[name]):
            raise UserError(f"mix.{name}: {rows} rows are asked for, the source has {counts[name]}; take fewer, or say upsample.")
    return wanted


def _size(name: str, word: str, count: int) -> int:
    try:
        return parse_size(word, count)
    except UserError as error:
        raise UserError(f"mix.{name}: {error}") from None


def _dataset(part: Part) -> Dataset:
    found: Dataset = find("datasets", part.dataset.name)
    return found


def _questions(name: str, part: Part, seed: int) -> Iterable[Question | BadRow]:
    dataset = _dataset(part)
    place = part.source or dataset.hub
    if place is None and dataset.needs_source:
        raise UserError(f"mix.{name}.source: is required for dataset '{part.dataset.name}': a file or folder of its data.")
    splits = dataset.read(part.dataset, Origin(place, part.encoding) if place is not None else None, seed)
    if "train" not in splits and len(splits) > 1:
        raise UserError(f"mix.{name}: has no split 'train' (found: {', '.join(splits)}).")
    return splits["train"] if "train" in splits else next(iter(splits.values()))


def _marked(question: Question, name: str, spec: str) -> Question:
    """Its columns as one text: those of different sources share no type."""
    source_row = orjson.dumps(question.raw, default=str).decode()
    return question._replace(dataset=name, template=question.template or spec, raw={"source_row": source_row})


DATASET = Dataset(MixSettings, read, title="MIX", needs_source=False)
