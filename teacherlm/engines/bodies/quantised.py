"""Weights in 8 or 4 bits, made by bitsandbytes while a model is loaded (the extra `quantized`)."""

import importlib.util
from typing import Any

import torch
from transformers import BitsAndBytesConfig

from teacherlm.errors import UserError

NF4, NF4_DOUBLE = "nf4", "nf4-double"
"""4 bits; double: the scales of each 64 weights are quantised too (0.4 bits less a weight), as QLoRA trains over them."""
QUANTISED = ("int8", NF4, NF4_DOUBLE)
CPU_BLOCK = 32
"""Outputs that bitsandbytes' 4-bit kernel for CPUs with AVX-512 BF16 packs together."""


def quantised(dtype: str) -> BitsAndBytesConfig:
    """How the weights are made. Raises: UserError where bitsandbytes is not installed."""
    if importlib.util.find_spec("bitsandbytes") is None:
        raise UserError(f"dtype: {dtype} needs bitsandbytes: pip install 'teacherlm[quantized]'.")
    if dtype == "int8":
        return BitsAndBytesConfig(load_in_8bit=True)
    double = dtype == NF4_DOUBLE
    return BitsAndBytesConfig(
        load_in_4bit=True, bnb_4bit_quant_type=NF4, bnb_4bit_compute_dtype=torch.bfloat16, bnb_4bit_use_double_quant=double
    )


def check_widths(place: str, model: Any) -> None:
    """Raises: UserError where bitsandbytes would fail on this CPU, without a word that helps."""
    from bitsandbytes.nn import Linear4bit

    for name, layer in model.named_modules():
        packed = isinstance(layer, Linear4bit) and layer.weight.device.type == "cpu" and layer.support_avx512bf16_for_cpu
        if packed and layer.out_features % CPU_BLOCK:
            given = f"{name} has {layer.out_features}"
            raise UserError(f"{place}: nf4 on this CPU needs widths that {CPU_BLOCK} divides; {given}. Use int8.")
