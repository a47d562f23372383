"""SVAMP: arithmetic word problems of one step, told so that shallow patterns fail. (MIT; Patel et al. 2021)

    {"question": "Each pack of dvds costs 76 dollars. If there is a discount of 25 dollars on each pack How much do you have to pay to
                  buy each pack?", "answer": "51.0"}

Published as svamp.json in the unified form of Fine-tune-CoT (MIT), and as SVAMP.json with the columns `Body`, `Question`, `Answer`.
"""

from typing import Literal

from teacherlm.catalog import ChosenSettings
from teacherlm.dataset import Dataset, Splits
from teacherlm.datasets._unified import number, read_unified
from teacherlm.store.sources import Origin


class SvampSettings(ChosenSettings):
    name: Literal["svamp"] = "svamp"


def read(settings: SvampSettings, origin: Origin | None, seed: int) -> Splits:
    assert origin is not None
    return read_unified(origin, "svamp", number, ["SVAMP.json"])


DATASET = Dataset(SvampSettings, read, title="SVAMP", hub="ChilleD/SVAMP", licence="mit")
