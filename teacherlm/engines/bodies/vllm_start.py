"""Starts vLLM for the vllm engine: what can be wrong is found before the model is loaded, and is one clear line."""

from dataclasses import fields
from typing import Any

from pydantic import ValidationError
from transformers import AutoConfig, AutoTokenizer
from vllm import AsyncEngineArgs

from teacherlm.engines.bodies.vllm import VllmEngine, first_line
from teacherlm.engines.bodies.vllm_process import run_engine
from teacherlm.engines.vllm import VllmSettings
from teacherlm.errors import UserError, unknown
from teacherlm.records import Load

FAILURES = (OSError, ValueError, KeyError, ImportError, RuntimeError, TypeError, AssertionError)
"""What vLLM and transformers raise for a model, or settings, that they cannot use."""


def start_engine(place: str, settings: VllmSettings, identity: str, load: Load) -> VllmEngine:
    """Raises: UserError when the model cannot be loaded, or vLLM cannot run it."""
    options = {"revision": settings.revision, "trust_remote_code": settings.trust_remote_code}
    try:
        config = AutoConfig.from_pretrained(place, **options)
        tokenizer = AutoTokenizer.from_pretrained(place, **options)
    except FAILURES as error:
        raise UserError(f"{place}: its config or tokenizer could not be loaded ({first_line(error)}).") from error
    if config.is_encoder_decoder:
        raise UserError(f"{place}: is an encoder-decoder, which engine vllm does not run; use engine transformers.")
    if settings.chat and not tokenizer.chat_template:
        raise UserError(f"{place}: its tokenizer has no chat template; leave out chat: true, or use the model's chat version.")
    try:
        running = run_engine(AsyncEngineArgs(**_arguments(place, settings, config, load)))
    except FAILURES as error:
        raise UserError(f"{place}: vLLM could not be started ({_reason(error)}).") from error
    ends = config.get_text_config().eos_token_id
    conversation = [{"role": "system", "content": settings.system}] if settings.system else []
    return VllmEngine(
        running,
        tokenizer,
        identity,
        ends=ends if isinstance(ends, list) else [] if ends is None else [ends],
        conversation=conversation if settings.chat else None,
    )


def _arguments(place: str, settings: VllmSettings, config: Any, load: Load) -> dict[str, Any]:
    known = [field.name for field in fields(AsyncEngineArgs)]
    for name in settings.engine_args:
        if name not in known:
            raise unknown("engine argument of vLLM", name, known)
    # vLLM's own auto halves the precision of weights that were saved in float32.
    saved = str(config.dtype or "auto").removeprefix("torch.")
    arguments = {
        "model": place,
        "revision": settings.revision,
        "tokenizer_revision": settings.revision,
        "trust_remote_code": settings.trust_remote_code,
        "dtype": saved if settings.dtype == "auto" else settings.dtype,
        "quantization": settings.quantization or None,
        "tensor_parallel_size": settings.tensor_parallel,
        "data_parallel_size": settings.data_parallel,
        "gpu_memory_utilization": settings.gpu_memory,
        "max_model_len": settings.max_model_len,
        "load_format": "safetensors",
        "enable_prefix_caching": True,
        "disable_log_stats": True,
    }
    return {**arguments, **({"max_num_seqs": load.rows} if load.rows else {}), **settings.engine_args}


def _reason(error: Exception) -> str:
    if isinstance(error, ValidationError):  # its first line is a title
        return str(error.errors()[0]["msg"]).removeprefix("Value error, ").splitlines()[0].rstrip(".")
    return first_line(error)
