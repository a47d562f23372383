"""Date understanding: infer a date from context, five or six choices. (Apache-2.0, of BIG-bench; the unified file MIT)

    {"question": "Yesterday was April 30, 2021. What is the date today in MM/DD/YYYY?\\nWhich choice is true? Answer choices:
                  (A) 06/12/2021, (B) 03/11/2021, (C) 02/23/2021, (D) 05/09/2021, (E) 04/29/2021, (F) 05/01/2021.", "answer": "F"}

Published as date_understanding.json in the unified form of Fine-tune-CoT, as BIG-bench's task.json, and in BIG-bench Hard.
"""

from typing import Literal

from teacherlm.catalog import ChosenSettings
from teacherlm.dataset import Dataset, Splits
from teacherlm.datasets._bigbench import letter_or_scores
from teacherlm.datasets._unified import read_unified
from teacherlm.store.sources import Origin


class DateUnderstandingSettings(ChosenSettings):
    name: Literal["date_understanding"] = "date_understanding"


def read(settings: DateUnderstandingSettings, origin: Origin | None, seed: int) -> Splits:
    assert origin is not None
    return read_unified(origin, "date_understanding", letter_or_scores(seed), ["task.json"])


DATASET = Dataset(
    DateUnderstandingSettings, read, title="DATE_UNDERSTANDING", hub="SaylorTwift/bbh:date_understanding", licence="apache-2.0"
)
