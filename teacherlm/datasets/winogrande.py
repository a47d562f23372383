"""WinoGrande: which of two names fills the gap? (CC BY for the data, Apache-2.0 for the code; Sakaguchi et al. 2020)

    {"qID": "3QHITW7OYO7Q6B6ISU2UMJB84ZLAQE-2", "option1": "Ian", "option2": "Dennis", "answer": "2",
     "sentence": "Ian volunteered to eat Dennis's menudo after already having a bowl because _ despised eating intestine."}

Published as train_{xs,s,m,l,xl}.jsonl, dev.jsonl and a test file without answers, which cannot be prepared. `answer` counts from 1,
as text.
"""

from pathlib import Path
from typing import Any, Literal

from teacherlm.catalog import ChosenSettings
from teacherlm.dataset import Dataset, Splits, read_questions
from teacherlm.datasets._choices import by_position, require_gold
from teacherlm.datasets._options import as_letter
from teacherlm.datasets._splits import labelled, with_config
from teacherlm.datasets._texts import as_text
from teacherlm.records import Question
from teacherlm.store.sources import Origin, require

SIZES = ("xs", "s", "m", "l", "xl")


class WinograndeSettings(ChosenSettings):
    name: Literal["winogrande"] = "winogrande"
    size: Literal["xs", "s", "m", "l", "xl"] = "xl"
    """Which of the training sets: 160, 640, 2,558, 10,234 or 40,398 sentences."""


def read(settings: WinograndeSettings, origin: Origin | None, seed: int) -> Splits:
    assert origin is not None
    tables = with_config(origin, f"winogrande_{settings.size}").tables(_files(settings, origin))
    return {split: read_questions(table, _question) for split, table in labelled(tables, "answer").items()}


def _files(settings: WinograndeSettings, origin: Origin) -> dict[str, str]:
    """A file that is named itself may be of any size."""
    sizes = SIZES if Path(origin.place).is_file() else (settings.size,)
    return {**{f"train_{size}.jsonl": "train" for size in sizes}, "dev.jsonl": "validation", "test.jsonl": "test"}


def _question(row: dict[str, Any], where: str) -> Question:
    sentence = as_text(require(row, "sentence", where))
    options = tuple(as_text(require(row, column, where)) for column in ("option1", "option2"))
    letter = as_letter(require_gold(row, "answer", where), by_position(options), "index_from_1", True, where)
    return Question(
        question=sentence,
        answer=letter,
        choices=options,
        answer_rule="letter",
        source_id=as_text(row.get("qID")),
        raw=row,
        where=where,
        blocks=(("SENTENCE", sentence), ("OPTION1", options[0]), ("OPTION2", options[1])),
        response=(("ANSWER", options[0 if letter == "A" else 1]),),
    )


DATASET = Dataset(WinograndeSettings, read, title="WinoGrande", hub="allenai/winogrande", licence="cc-by-4.0")
