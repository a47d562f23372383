"""AddSub: word problems of addition and subtraction. (Hosseini et al. 2014, no licence stated; the unified file MIT)

    {"question": "Joan found 70 seashells on the beach . she gave Sam some of her seashells . She has 27 seashell . How many seashells
                  did she give to Sam ?", "answer": "43"}

Published as addsub.json in the unified form of Fine-tune-CoT, and as AddSub.json with the columns `sQuestion`, `lSolutions`.
"""

from typing import Literal

from teacherlm.catalog import ChosenSettings
from teacherlm.dataset import Dataset, Splits
from teacherlm.datasets._unified import number, read_unified
from teacherlm.store.sources import Origin


class AddsubSettings(ChosenSettings):
    name: Literal["addsub"] = "addsub"


def read(settings: AddsubSettings, origin: Origin | None, seed: int) -> Splits:
    assert origin is not None
    return read_unified(origin, "addsub", number, ["AddSub.json"])


DATASET = Dataset(AddsubSettings, read, title="ADDSUB", licence="mit")
