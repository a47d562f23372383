"""Supervised finetuning on a column of text."""

from typing import Any

from teacherlm.stage import Plugin
from teacherlm.training.settings import ObjectiveSettings


class SftSettings(ObjectiveSettings):
    name: str = "sft"


def build(settings: SftSettings, family: Any, tools: Any) -> Any:
    from teacherlm.training.sft import Sft

    return Sft(family)


OBJECTIVE = Plugin(SftSettings, build)
