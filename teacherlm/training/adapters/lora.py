"""LoRA: beside each chosen linear layer two thin ones are trained (peft); they can be merged into it."""

from typing import Annotated, Any

from pydantic import Field

from teacherlm.stage import Plugin
from teacherlm.training.settings import AdapterSettings


class LoraSettings(AdapterSettings):
    name: str = "lora"
    rank: Annotated[int, Field(gt=0)] = 8
    """Width of the thin layers: each layer costs rank x (its inputs + its outputs) weights."""
    alpha: Annotated[float, Field(gt=0)] = 32
    """What they say counts alpha / rank times."""
    dropout: Annotated[float, Field(ge=0, lt=1)] = 0.1
    """Share of their inputs that is left out while training."""
    targets: list[str] = []
    """Names of linear layers (the last part, or more: q_proj, mlp.c_proj); by default the architecture's usual ones."""


def build(settings: LoraSettings, model: str = "") -> Any:
    from teacherlm.training.adapting import Lora

    return Lora(settings, model)


ADAPTER = Plugin(LoraSettings, build)
