"""Supervised finetuning on a column of text."""

from typing import Any

from teacherlm.catalog import ChosenSettings
from teacherlm.stage import Plugin


class SftSettings(ChosenSettings):
    name: str = "sft"


def build(settings: SftSettings, family: Any) -> Any:
    from teacherlm.training.sft import Sft

    return Sft(family)


OBJECTIVE = Plugin(SftSettings, build)
