"""Last letters: take the last letter of each word and put them together. (MIT; after Wei et al. 2022)

    {"question": "Take the last letters of each words in \\"Whitney Erika Tj Benito\\" and concatenate them.", "answer": "yajo"}

Published as last_letter_concatenation.json in the unified form of Fine-tune-CoT, and by zero-shot-CoT as last_letters.json with a list
under `examples`.
"""

from typing import Literal

from teacherlm.catalog import ChosenSettings
from teacherlm.dataset import Dataset, Splits
from teacherlm.datasets._unified import exact, read_unified
from teacherlm.store.sources import Origin


class LastLetterConcatenationSettings(ChosenSettings):
    name: Literal["last_letter_concatenation"] = "last_letter_concatenation"


def read(settings: LastLetterConcatenationSettings, origin: Origin | None, seed: int) -> Splits:
    assert origin is not None
    return read_unified(origin, "last_letter_concatenation", exact, ["last_letters.json"])


DATASET = Dataset(LastLetterConcatenationSettings, read, title="LAST_LETTER_CONCATENATION", hub="ChilleD/LastLetterConcat", licence="mit")
