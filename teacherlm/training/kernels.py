"""In which numbers a student is held and by which kernels it is computed; what this machine lacks for them."""

import importlib.util
import shutil
from collections.abc import Mapping
from typing import Any

import torch

from teacherlm.errors import UserError
from teacherlm.training.settings import Recipe

HELD: Mapping[str, torch.dtype] = {"bf16-true": torch.bfloat16, "fp16-true": torch.float16, "fp64": torch.float64}
"""Precision -> how the weights are held; all others hold them in fp32."""


def weights_dtype(precision: str) -> torch.dtype:
    return HELD.get(precision, torch.float32)


def require_kernels(recipe: Recipe) -> None:
    """Raises: UserError for a precision or a kernel that this machine or its packages lack, naming what would do."""
    precision, has_gpu = recipe.precision, torch.cuda.is_available()
    if precision == "fp16" and not has_gpu:  # accelerate would compute in fp32 and not say so
        raise UserError("precision: fp16 needs a GPU, and there is none here; bf16, fp16-true and fp32 run on a CPU.")
    if precision in HELD and recipe.ds_config:
        raise UserError(
            f"precision: {precision} does not go with ds_config, which holds weights as it does; bf16 is what comes next to it."
        )
    if recipe.attention == "flash_attention_2":
        _require("attention: flash_attention_2", "flash-attn", "flash_attn", has_gpu, "sdpa (the default) needs neither")
        if precision not in ("bf16", "fp16", "bf16-true", "fp16-true"):
            raise UserError(f"attention: flash_attention_2 computes in half precision; set precision bf16 (found {precision}).")
    if recipe.liger:
        _require("liger", "liger-kernel", "liger_kernel", has_gpu, "leave it out")
    if recipe.torch_compile and not has_gpu and not (shutil.which("g++") or shutil.which("clang++")):
        raise UserError("torch_compile: on a CPU it needs a C++ compiler (g++), and there is none here; leave it out.")


def _require(setting: str, package: str, module: str, has_gpu: bool, instead: str) -> None:
    lacking = [] if importlib.util.find_spec(module) else [f"the package {package} (pip install {package})"]
    lacking += [] if has_gpu else ["a GPU"]
    if lacking:
        raise UserError(f"{setting} needs {' and '.join(lacking)}, not there; {instead}.")


def use_attention(model: Any, attention: str | None, name: str) -> None:
    """Raises: UserError where the model has no such attention."""
    if attention is None:
        return
    try:
        model.set_attn_implementation(attention)
    except (ValueError, ImportError) as error:
        raise UserError(f"attention: {name} cannot use {attention} ({' '.join(str(error).split())[:200]}).") from None
