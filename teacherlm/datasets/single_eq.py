"""SingleEq: word problems that one equation solves. (Koncel-Kedziorski et al. 2015, no licence stated; the unified file MIT)

    {"question": "Joan found 70 seashells on the beach . She gave Sam some of her seashells . She has 27 seashells . How many seashells
                  did she give to Sam ?", "answer": "43.0"}

Published as single_eq.json in the unified form of Fine-tune-CoT, and as questions.json with the columns `sQuestion`, `lSolutions`.
"""

from typing import Literal

from teacherlm.catalog import ChosenSettings
from teacherlm.dataset import Dataset, Splits
from teacherlm.datasets._unified import number, read_unified
from teacherlm.store.sources import Origin


class SingleEqSettings(ChosenSettings):
    name: Literal["single_eq"] = "single_eq"


def read(settings: SingleEqSettings, origin: Origin | None, seed: int) -> Splits:
    assert origin is not None
    return read_unified(origin, "single_eq", number, ["questions.json"])


DATASET = Dataset(SingleEqSettings, read, title="SINGLE_EQ", licence="mit")
