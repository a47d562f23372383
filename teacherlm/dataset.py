"""What a dataset file declares: its settings, and how its splits are read as questions."""

from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import Annotated, Any

from pydantic import BeforeValidator, SerializeAsAny

from teacherlm.catalog import ChosenSettings, chosen
from teacherlm.errors import UserError
from teacherlm.records import Question
from teacherlm.store.readers_text import BrokenRow
from teacherlm.store.sources import Origin, Table

Row = Mapping[str, Any]


@dataclass(frozen=True)
class BadRow:
    """A row that gives no question; `prepare` fails with its reason, or drops it."""

    where: str
    reason: str
    row: Row = field(default_factory=dict)
    on_purpose: bool = False
    """It is left out because that was asked for; no reason to fail."""


Splits = Mapping[str, Iterable[Question | BadRow]]
"""Split name -> its questions, streamed: an iterable is begun only when its split is written, and only once."""


@dataclass(frozen=True)
class Dataset:
    """`DATASET` of a file in `datasets/`.

        DATASET = Dataset(CreakSettings, read, title="CREAK", hub="amydeng2000/CREAK")

    A generated dataset (`needs_source=False`) ignores the origin and draws everything from the seed.
    """

    settings: type[ChosenSettings]
    """The file's own settings, such as sizes or column names."""
    read: Callable[[Any, Origin | None, int], Splits]
    """(settings, origin, seed) -> splits in the order they are written; every name is fine. May be called several times."""
    title: str = ""
    """Names the .jsonl that `prepare` writes; "" takes the stem of the source."""
    hub: str | None = None
    """Hub name used when no source is given; `name:config` where the hub has several."""
    needs_source: bool = True
    template: str = "teacherlm"
    """How its questions are put where `prepare` is not told otherwise."""
    licence: str = ""
    """As its source states it (an SPDX name, or as the hub spells it), for the dataset card; "" where none is stated."""


def read_questions(table: Table, build: Callable[[dict[str, Any], str], Question]) -> Iterator[Question | BadRow]:
    """`build(row, where)` for every row of a table; a row for which it raises a UserError, or that cannot be read, is a BadRow."""
    for where, row in table.rows_or_errors():
        if isinstance(row, UserError):
            yield BadRow(where, str(row), row.found if isinstance(row, BrokenRow) else {})
            continue
        try:
            question = build(row, where)
        except UserError as error:
            yield BadRow(where, str(error), row)
        else:
            yield question


SPELLINGS: Mapping[str, Mapping[str, Any]] = {
    **{word: {"name": "openorca_mc"} for word in ("openorca_multiplechoice", "openorca_multiplechoice_10k", "openorca_mc10k")},
    "cot_collections": {"name": "cot_collection"},
    "slim_orca": {"name": "slimorca"},
    "strategy_qa": {"name": "strategyqa"},
    **{word: {"name": "commonsense_qa"} for word in ("commonsenseqa", "cqa")},
    **{f"anli{number}": {"name": "lm_eval", "task": f"anli_r{number}"} for number in (1, 2, 3)},
    "aqua_rat": {"name": "aqua"},
    "ai2_arc": {"name": "arc"},
    **{f"arc_{subset}": {"name": "arc", "subset": subset} for subset in ("challenge", "easy")},
    **{f"winogrande_{size}": {"name": "winogrande", "size": size} for size in ("xs", "s", "m", "l", "xl")},
}
"""Other names of datasets, as their sources spell them, and what they stand for."""


def spelled(word: str) -> Mapping[str, Any]:
    """`creak`, `openorca-multiplechoice`, or `lm_eval:arc_easy`, whose second part is the task."""
    name, colon, rest = word.partition(":")
    if colon and name == "lm_eval":
        return {"name": name, "task": rest}
    stem = word.replace("-", "_")
    return SPELLINGS.get(stem, {"name": stem})


DatasetChoice = Annotated[SerializeAsAny[ChosenSettings], BeforeValidator(chosen("datasets", spelled=spelled))]
