"""Tracking shuffled objects: who holds what after several swaps, three choices. (Apache-2.0, of BIG-bench; the unified file MIT)

    {"question": "Alice, Bob, and Claire are playing a game. At the start of the game, they are each holding a ball: Alice has a yellow
                  ball, Bob has a blue ball, and Claire has a pink ball. ... At the end of the game, Bob has the\\nWhich choice is true?
                  Answer choices: (A) yellow ball, (B) blue ball, (C) pink ball.", "answer": "A"}

Published as tracking_shuffled_objects.json in the unified form of Fine-tune-CoT, as BIG-bench's task.json, and in BIG-bench Hard.
"""

from typing import Literal

from teacherlm.catalog import ChosenSettings
from teacherlm.dataset import Dataset, Splits
from teacherlm.datasets._bigbench import letter_or_scores
from teacherlm.datasets._unified import read_unified
from teacherlm.store.sources import Origin

HUB = "SaylorTwift/bbh:tracking_shuffled_objects_three_objects"


class TrackingShuffledObjectsSettings(ChosenSettings):
    name: Literal["tracking_shuffled_objects"] = "tracking_shuffled_objects"


def read(settings: TrackingShuffledObjectsSettings, origin: Origin | None, seed: int) -> Splits:
    assert origin is not None
    return read_unified(origin, "tracking_shuffled_objects", letter_or_scores(seed), ["task.json"])


DATASET = Dataset(TrackingShuffledObjectsSettings, read, title="TRACKING_SHUFFLED_OBJECTS", hub=HUB, licence="apache-2.0")
