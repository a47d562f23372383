"""Half of sft's loss (an objective of the tests)."""

from typing import Any

from teacherlm.stage import Plugin
from teacherlm.training.settings import ObjectiveSettings


class SftHalvedSettings(ObjectiveSettings):
    name: str = "sft_halved"


def build(settings: SftHalvedSettings, family: Any, tools: Any) -> Any:
    from teacherlm.training.sft import Sft

    class SftHalved(Sft):
        def weights(self) -> dict[str, float]:
            return {term: weight / 2 for term, weight in super().weights().items()}

    return SftHalved(family)


OBJECTIVE = Plugin(SftHalvedSettings, build)
