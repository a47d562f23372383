"""Coin flip: is a coin still heads up after people flipped it, or did not? (MIT; after Wei et al. 2022)

    {"question": "A coin is heads up. Whitney flips the coin. Erika does not flip the coin. Tj does not flip the coin. Benito flips the
                  coin. Is the coin still heads up? Note that \\"flip\\" here means \\"reverse\\".", "answer": "yes"}

Published as coin_flip.json in the unified form of Fine-tune-CoT, and by zero-shot-CoT as a list under `examples`.
"""

from typing import Literal

from teacherlm.catalog import ChosenSettings
from teacherlm.dataset import Dataset, Splits
from teacherlm.datasets._unified import read_unified, yes_no
from teacherlm.store.sources import Origin


class CoinFlipSettings(ChosenSettings):
    name: Literal["coin_flip"] = "coin_flip"


def read(settings: CoinFlipSettings, origin: Origin | None, seed: int) -> Splits:
    assert origin is not None
    return read_unified(origin, "coin_flip", yes_no)


DATASET = Dataset(CoinFlipSettings, read, title="COIN_FLIP", hub="skrishna/coin_flip", licence="mit")
