"""Every weight of the student is trained."""

from typing import Any

from teacherlm.stage import Plugin
from teacherlm.training.settings import AdapterSettings


class FullSettings(AdapterSettings):
    name: str = "full"


def build(settings: FullSettings, model: str = "") -> Any:
    """None: the student is trained and saved as it is."""
    return None


ADAPTER = Plugin(FullSettings, build)
