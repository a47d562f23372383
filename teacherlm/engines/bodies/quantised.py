"""Weights in 8 or 4 bits, made by bitsandbytes while a model is loaded (the extra `quantized`)."""

import importlib.util
from typing import Any

import torch
from transformers import BitsAndBytesConfig

from teacherlm.errors import UserError

NF4, NF4_DOUBLE = "nf4", "nf4-double"
"""4 bits; double: the scales of each 64 weights are quantised too (0.4 bits less a weight), as QLoRA trains over them."""
QUANTISED = ("int8", NF4, NF4_DOUBLE)
CPU_ROWS = 32
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


def leave_unpacked(model: Any, training: bool = False) -> None:
    """On CPUs with AVX-512 BF16 bitsandbytes packs 4-bit weights at the first forward without gradients, and fails at widths that its
    kernel cannot; nor can what is packed be trained over any more. There the plain kernel is used."""
    from bitsandbytes.nn import Linear4bit

    for layer in model.modules():
        if isinstance(layer, Linear4bit):
            fits = layer.out_features % CPU_ROWS == 0 and layer.in_features % layer.weight.blocksize == 0
            layer.support_avx512bf16_for_cpu = layer.support_avx512bf16_for_cpu and fits and not training
