"""CoT-Collection: 1.84 million rationales for a thousand tasks of FLAN, and the answers they lead to (CC BY 4.0; Kim et al. 2023).

    {"0": {"source": "Which word of the list is a fruit? [Saturn, plum, hammer]", "target": "plum",
           "rationale": "A plum grows on a tree and is sweet. Saturn is a planet, a hammer is a tool.", "task": "words", "type": "CoT"}}

(Columns as published; no row of it was at hand, so this one's words are ours.) Published as CoT_collection_en.json, one JSON object of
rows under their index; lists and lines of such rows are read too. A prompt asks for the RATIONALE; it and the TARGET are learned.
"""

from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any, Literal

from teacherlm.catalog import ChosenSettings
from teacherlm.dataset import Dataset, Splits, read_questions
from teacherlm.datasets._documents import indexed
from teacherlm.datasets._texts import as_rationale, as_text
from teacherlm.errors import UserError
from teacherlm.records import Question
from teacherlm.store.sources import Origin, require

PUBLISHED = ("CoT_collection_en.json", "CoT_collection_en.json.gz", "data/CoT_collection_en.json")


class CotCollectionSettings(ChosenSettings):
    name: Literal["cot_collection"] = "cot_collection"


def read(settings: CotCollectionSettings, origin: Origin | None, seed: int) -> Splits:
    """`origin`: the published file, the folder it lies in (or that of the hub's copy), other files of such rows, a hub name."""
    assert origin is not None
    there = next((file for name in PUBLISHED if (file := Path(origin.place) / name).is_file()), None)
    table = indexed(replace(origin, place=str(there)) if there else origin, "source")
    tables = {"train": table} if table else origin.tables()
    return {split: read_questions(rows, _question) for split, rows in tables.items()}


def _question(row: Mapping[str, Any], where: str) -> Question:
    source, target = as_text(require(row, "source", where)), as_text(require(row, "target", where))
    rationale = as_rationale(require(row, "rationale", where))
    for name, value in (("source", source), ("target", target), ("rationale", rationale)):
        if not value.strip():
            raise UserError(f"{where}: the {name} is empty.")
    return Question(
        question=source,
        answer=target,
        answer_rule="text",
        explanation=rationale,
        raw=row,
        where=where,
        blocks=(("SOURCE", source),),
        response=(("RATIONALE", rationale), ("TARGET", target)),
    )


DATASET = Dataset(
    CotCollectionSettings, read, title="CoT-Collection", hub="pharaouk/CoT-Collection", template="blocks", licence="cc-by-4.0"
)
