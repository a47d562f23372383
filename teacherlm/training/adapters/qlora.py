"""QLoRA: as LoRA, over weights kept in 4 bits (nf4, double quantisation, computed in bf16; extra `quantized`)."""

from typing import Any

from teacherlm.stage import Plugin
from teacherlm.training.adapters.lora import LoraSettings


class QloraSettings(LoraSettings):
    name: str = "qlora"


def build(settings: QloraSettings, model: str = "") -> Any:
    """Raises: UserError where bitsandbytes is not installed."""
    from teacherlm.training.adapting import Lora, require_bitsandbytes

    require_bitsandbytes()
    return Lora(settings, model, quantised=True)


ADAPTER = Plugin(QloraSettings, build)
