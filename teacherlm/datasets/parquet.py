"""Your own questions in a .parquet or .arrow file, or a folder of them: one for each split, or numbered as on the hub.

    question: "Where do fish live?", choices: ["in trees", "in water"], answer: "B", explanation: "They have gills."

The columns are those of `jsonl`, and so are the shapes of `choices` and `answer`; `train-00000-of-00002.parquet` and its like are one
split. A class label of Hugging Face datasets comes as its name.
"""

from typing import Literal

from teacherlm.dataset import Dataset, Splits
from teacherlm.datasets._columns import ColumnSettings, read_columns
from teacherlm.store.readers import ARROW
from teacherlm.store.sources import Origin


class ParquetSettings(ColumnSettings):
    name: Literal["parquet"] = "parquet"


def read(settings: ParquetSettings, origin: Origin | None, seed: int) -> Splits:
    assert origin is not None
    return read_columns(settings, origin, seed, ARROW)


DATASET = Dataset(ParquetSettings, read)
