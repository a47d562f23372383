"""Starts vLLM for the vllm engine: what can be wrong is found before the model is loaded, and is one clear line."""

import asyncio
import signal
import threading
from concurrent.futures import Future
from dataclasses import fields
from multiprocessing import resource_tracker
from typing import Any

from pydantic import ValidationError
from transformers import AutoConfig, AutoTokenizer
from vllm import AsyncEngineArgs, AsyncLLMEngine
from vllm.usage.usage_lib import UsageContext

from teacherlm.engines.bodies.vllm import VllmEngine, first_line
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
        started, loop, thread = _start(AsyncEngineArgs(**_arguments(place, settings, config, load)))
    except FAILURES as error:
        raise UserError(f"{place}: vLLM could not be started ({_reason(error)}).") from error
    ends = config.get_text_config().eos_token_id
    conversation = [{"role": "system", "content": settings.system}] if settings.system else []
    return VllmEngine(
        started,
        loop,
        thread,
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


def _start(arguments: AsyncEngineArgs) -> tuple[AsyncLLMEngine, asyncio.AbstractEventLoop, threading.Thread]:
    """In a thread that hears no SIGINT and SIGTERM, as do then the processes that it starts: both come to a whole process group,
    and what is being written shall be finished. This process answers them, and ends those when it ends."""
    resource_tracker.ensure_running()  # starting it later would let the signals through again
    started: Future[tuple[AsyncLLMEngine, asyncio.AbstractEventLoop]] = Future()

    async def begin() -> AsyncLLMEngine:
        return AsyncLLMEngine.from_engine_args(arguments, usage_context=UsageContext.LLM_CLASS)

    def serve() -> None:
        signal.pthread_sigmask(signal.SIG_BLOCK, (signal.SIGINT, signal.SIGTERM))
        loop = asyncio.new_event_loop()
        try:
            engine = loop.run_until_complete(begin())
        except BaseException as error:
            started.set_exception(error)
            return
        started.set_result((engine, loop))
        del engine
        loop.run_forever()
        left = asyncio.all_tasks(loop)
        for task in left:
            task.cancel()
        loop.run_until_complete(asyncio.gather(*left, return_exceptions=True))
        loop.close()

    thread = threading.Thread(target=serve, name="vllm", daemon=True)
    thread.start()
    return (*started.result(), thread)


def _reason(error: Exception) -> str:
    if isinstance(error, ValidationError):  # its first line is a title
        return str(error.errors()[0]["msg"]).removeprefix("Value error, ").splitlines()[0].rstrip(".")
    return first_line(error)
