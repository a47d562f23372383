"""Your own questions: any .jsonl or .json file, or a folder of them, one for each split.

    {"question": "Where do fish live?", "choices": ["in trees", "in water"], "answer": "B", "explanation": "They have gills."}

`choices` may be a list, {label: text}, a list of {label, text}, or {"label": [...], "text": [...]}; without it the answer is free
text. `answer` is a letter or label, the text of a choice, or its index from 0. `columns` maps other names to these. An explanation
such as "n/a" counts as none.
"""

from typing import Literal

from teacherlm.dataset import Dataset, Splits
from teacherlm.datasets._columns import ColumnSettings, read_columns
from teacherlm.store.readers import JSON
from teacherlm.store.sources import Origin


class JsonlSettings(ColumnSettings):
    name: Literal["jsonl"] = "jsonl"


def read(settings: JsonlSettings, origin: Origin | None, seed: int) -> Splits:
    assert origin is not None
    return read_columns(settings, origin, seed, JSON)


DATASET = Dataset(JsonlSettings, read)
