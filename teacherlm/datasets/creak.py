"""CREAK: is a claim about an entity true or false? (MIT; Onoe et al. 2021)

    {"ex_id": "train_1", "sentence": "Marlboro used iconic imagery to promote its brand.",
     "explanation": "Marlboro (cigarette) is used cowboys as an advertising campaign.", "label": "true",
     "entity": "Marlboro (cigarette)", "en_wiki_pageid": "404590", "entity_mention_loc": [[0, 8]]}

Published as train.json, dev.json (JSON lines; `label` is a string) and a test file without labels, which cannot be prepared.
"""

from typing import Any, Literal

from teacherlm.catalog import ChosenSettings
from teacherlm.dataset import Dataset, Splits, read_questions
from teacherlm.errors import UserError
from teacherlm.records import Question
from teacherlm.store.sources import Origin, require

FILES = {"train.json": "train", "dev.json": "validation"}
INSTRUCTION = "Determine the correctness of the following sentence. "


class CreakSettings(ChosenSettings):
    name: Literal["creak"] = "creak"


def read(settings: CreakSettings, origin: Origin | None, seed: int) -> Splits:
    """`origin`: the folder of the published files, one of them, a `save_to_disk` folder or a hub name."""
    assert origin is not None
    return {split: read_questions(table, _question) for split, table in origin.tables(FILES).items()}


def _question(row: dict[str, Any], where: str) -> Question:
    return Question(
        question=INSTRUCTION + _sentence(require(row, "sentence", where), where),
        answer=_letter(require(row, "label", where), where),
        choices=("True", "False"),
        answer_rule="letter",
        explanation=str(row.get("explanation") or ""),
        source_id=str(row.get("ex_id") or ""),
        raw=row,
        where=where,
    )


def _sentence(value: Any, where: str) -> str:
    if not isinstance(value, str) or not value.strip():
        raise UserError(f"{where}: column 'sentence': expected a text, found {value!r}.")
    return value


def _letter(label: Any, where: str) -> str:
    if isinstance(label, bool):
        return "A" if label else "B"
    if label not in ("true", "false"):
        raise UserError(f"{where}: label {label!r} is neither 'true' nor 'false'.")
    return "A" if label == "true" else "B"


DATASET = Dataset(CreakSettings, read, title="CREAK", hub="amydeng2000/CREAK", licence="mit")
