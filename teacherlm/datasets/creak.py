"""CREAK: is a claim about an entity true or false? (MIT; Onoe et al. 2021)

    {"ex_id": "train_1", "sentence": "Marlboro used iconic imagery to promote its brand.",
     "explanation": "Marlboro (cigarette) is used cowboys as an advertising campaign.", "label": "true",
     "entity": "Marlboro (cigarette)", "en_wiki_pageid": "404590", "entity_mention_loc": [[0, 8]]}

Published as train.json, dev.json (JSON lines; `label` is a string) and a test file without labels, which cannot be prepared.
"""

from collections.abc import Iterator
from typing import Any, Literal

from teacherlm.catalog import ChosenSettings
from teacherlm.dataset import Dataset, Splits
from teacherlm.errors import UserError
from teacherlm.records import Question
from teacherlm.store.sources import Table, open_source, require

FILES = {"train.json": "train", "dev.json": "validation"}
INSTRUCTION = "Determine the correctness of the following sentence. "


class CreakSettings(ChosenSettings):
    name: Literal["creak"] = "creak"


def read(settings: CreakSettings, source: str | None, seed: int) -> Splits:
    """`source`: the folder of the published files, one of them, a `save_to_disk` folder or a hub name."""
    assert source is not None
    return {split: _questions(table) for split, table in open_source(source, FILES).items()}


def _questions(table: Table) -> Iterator[Question]:
    for where, row in table.rows():
        yield Question(
            question=INSTRUCTION + str(require(row, "sentence", where)),
            answer=_letter(require(row, "label", where), where),
            choices=("True", "False"),
            answer_rule="letter",
            explanation=str(row.get("explanation") or ""),
            source_id=str(row.get("ex_id") or ""),
            raw=row,
            where=where,
        )


def _letter(label: Any, where: str) -> str:
    if isinstance(label, bool):
        return "A" if label else "B"
    if label not in ("true", "false"):
        raise UserError(f"{where}: label {label!r} is neither 'true' nor 'false'.")
    return "A" if label == "true" else "B"


DATASET = Dataset(CreakSettings, read, title="CREAK", hub="amydeng2000/CREAK")
