"""What a dataset file declares: its settings, and how its splits are read as questions."""

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from typing import Any

from teacherlm.catalog import ChosenSettings
from teacherlm.records import Question

Splits = Mapping[str, Iterable[Question]]
"""Split name -> its questions, streamed: an iterable is begun only when its split is written, and only once."""


@dataclass(frozen=True)
class Dataset:
    """`DATASET` of a file in `datasets/`.

        DATASET = Dataset(CreakSettings, read, title="CREAK", hub="amydeng2000/CREAK")

    A generated dataset (`needs_source=False`) ignores the source and draws everything from the seed.
    """

    settings: type[ChosenSettings]
    """The file's own settings, such as sizes or column names."""
    read: Callable[[Any, str | None, int], Splits]
    """(settings, source, seed) -> splits in the order they are written; every name is fine. The source is a path or hub name."""
    title: str = ""
    """Names the .jsonl that `prepare` writes; "" takes the stem of the source."""
    hub: str | None = None
    """Hub name used when no source is given."""
    needs_source: bool = True
