"""MultiArith: word problems of two steps. (Roy and Roth 2015, no licence stated; the unified file MIT)

    {"question": "For Halloween Debby and her sister combined the candy they received. Debby had 32 pieces of candy while her sister had
                  42. If they ate 35 pieces the first night, how many pieces do they have left?", "answer": "39"}

Published as multiarith.json in the unified form of Fine-tune-CoT (20 questions occur twice), and as MultiArith.json with the columns
`sQuestion`, `lSolutions`.
"""

from typing import Literal

from teacherlm.catalog import ChosenSettings
from teacherlm.dataset import Dataset, Splits
from teacherlm.datasets._unified import number, read_unified
from teacherlm.store.sources import Origin


class MultiarithSettings(ChosenSettings):
    name: Literal["multiarith"] = "multiarith"


def read(settings: MultiarithSettings, origin: Origin | None, seed: int) -> Splits:
    assert origin is not None
    return read_unified(origin, "multiarith", number, ["MultiArith.json"])


DATASET = Dataset(MultiarithSettings, read, title="MULTIARITH", hub="ChilleD/MultiArith", licence="mit")
