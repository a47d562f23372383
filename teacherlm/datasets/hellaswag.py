"""HellaSwag: which of four endings goes on as the world does? (MIT; Zellers et al. 2019)

    {"ind": 4, "activity_label": "Removing ice from car", "split": "train", "split_type": "indomain", "label": 3,
     "ctx_a": "Then, the man writes over the snow covering the window of a car, and a woman wearing winter clothes smiles.",
     "ctx_b": "then", "ctx": "Then, the man writes over the snow covering the window of a car, and a woman wearing ... smiles. then",
     "endings": [", the man adds wax to the windshield and cuts it.", ", a person board a ski lift, while two men supporting the
                 head of the person wearing winter clothes snow as the we girls sled.", ", the man puts on a christmas coat, knitted
                 with netting.", ", the man continues removing the snow on his car."], "source_id": "activitynet~v_-1IBHYS3L-Y"}

Published as hellaswag_train.jsonl, hellaswag_val.jsonl and a test file without labels, which cannot be prepared. `label` counts from 0,
as a number or as text. The question is put together and cleaned as lm-eval does; the blocks hold context and endings as published.
"""

import re
from typing import Any, Literal

from teacherlm.catalog import ChosenSettings
from teacherlm.dataset import Dataset, Splits, read_questions
from teacherlm.datasets._choices import by_position, listed, require_gold, texts_of
from teacherlm.datasets._options import as_letter
from teacherlm.datasets._splits import labelled
from teacherlm.datasets._texts import as_text
from teacherlm.prompts import LETTERS
from teacherlm.records import Question
from teacherlm.store.sources import Origin, require

FILES = {
    "hellaswag_train.jsonl": "train",
    "train.jsonl": "train",
    "hellaswag_val.jsonl": "validation",
    "val.jsonl": "validation",
    "hellaswag_test.jsonl": "test",
    "test.jsonl": "test",
}


class HellaswagSettings(ChosenSettings):
    name: Literal["hellaswag"] = "hellaswag"


def read(settings: HellaswagSettings, origin: Origin | None, seed: int) -> Splits:
    assert origin is not None
    return {split: read_questions(table, _question) for split, table in labelled(origin.tables(FILES), "label").items()}


def _question(row: dict[str, Any], where: str) -> Question:
    texts = texts_of(row, "endings", where)
    letter = as_letter(require_gold(row, "label", where), by_position(texts), "index", True, where)
    return Question(
        question=without_brackets(f"{as_text(require(row, 'activity_label', where))}: {_context(row, where)}"),
        answer=letter,
        choices=tuple(map(without_brackets, texts)),
        answer_rule="letter",
        source_id=as_text(row.get("ind")),
        raw=row,
        where=where,
        blocks=(("CONTEXT", _published_context(row)), ("CANDIDATE ENDINGS", listed(range(len(texts)), texts))),
        response=(("ANSWER", texts[LETTERS.index(letter)]),),
    )


def without_brackets(text: str) -> str:
    """What WikiHow's articles brought along: `[header]`, `[title]`, `[step]`, `[substeps]`."""
    return re.sub(r"\[.*?\]", "", text.strip().replace(" [title]", ". ")).replace("  ", " ")


def _context(row: dict[str, Any], where: str) -> str:
    """The second part begins the sentence that the endings end."""
    if "ctx_a" not in row:
        return as_text(require(row, "ctx", where))
    return f"{as_text(row['ctx_a'])} {as_text(row.get('ctx_b')).capitalize()}"


def _published_context(row: dict[str, Any]) -> str:
    return as_text(row["ctx"]) if "ctx" in row else f"{as_text(row.get('ctx_a'))} {as_text(row.get('ctx_b'))}".strip()


DATASET = Dataset(HellaswagSettings, read, title="HellaSwag", hub="Rowan/hellaswag", licence="mit")
