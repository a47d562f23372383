"""Any language model that vLLM runs, on the GPUs of this machine: continuous batching, common beginnings of prompts computed once."""

import json
import os
from concurrent.futures import ThreadPoolExecutor
from hashlib import blake2b
from importlib import import_module
from importlib.util import find_spec
from pathlib import Path
from typing import Annotated, Any, Literal

from pydantic import Field, field_validator, model_validator

from teacherlm.catalog import ChosenSettings
from teacherlm.engines.bodies.late import Late
from teacherlm.engines.transformers import TransformersSettings, check_model_folder, identity_of
from teacherlm.errors import UserError
from teacherlm.records import Load
from teacherlm.stage import Model, Plugin, Runtime, Settings
from teacherlm.store.adapters import is_adapter_folder
from teacherlm.store.checkpoints import resolve_model

OURS = {
    "model": "model",
    "tokenizer": "model",
    "revision": "revision",
    "tokenizer_revision": "revision",
    "dtype": "dtype",
    "quantization": "quantization",
    "tensor_parallel_size": "tensor_parallel",
    "data_parallel_size": "data_parallel",
    "gpu_memory_utilization": "gpu_memory",
    "max_model_len": "max_model_len",
    "trust_remote_code": "trust_remote_code",
}
"""Arguments of vLLM that are settings here, under these names."""
PICKLED = ("auto", "hf", "pt", "npcache")
"""What vLLM calls ways of loading that read, or fall back to, pickled weights."""
DECISIVE = ("quantization", "max_model_len", "chat", "system", "engine_args")
"""Settings that change what is written, beside those that the transformers engine has too."""

ENVIRONMENT = {"VLLM_LOGGING_LEVEL": "ERROR", "VLLM_NO_USAGE_STATS": "1", "VLLM_WORKER_MULTIPROC_METHOD": "spawn"}
"""Unless the user says otherwise: it says what went wrong, reports nothing to its makers, and starts processes without our threads."""


class VllmOptions(Settings):
    """How vLLM runs a model, whichever it is."""

    quantization: str = ""
    """One of vLLM's methods (fp8, bitsandbytes, awq, ...); by default what the model's own config says, if anything."""
    tensor_parallel: Annotated[Runtime[int], Field(ge=1)] = 1
    """GPUs that share one copy of the model."""
    data_parallel: Annotated[Runtime[int], Field(ge=1)] = 1
    """Copies of the model, each on `tensor_parallel` GPUs of its own; requests go to the one with the least to do."""
    gpu_memory: Annotated[Runtime[float], Field(gt=0, le=1)] = 0.9
    """Share of each GPU's memory that vLLM takes, for weights and cache together."""
    max_model_len: Annotated[int | None, Field(ge=2)] = None
    """Most tokens of prompt and text together; by default the model's own. A smaller one leaves room for more rows at once."""
    engine_args: dict[str, Any] = {}
    """Further engine arguments of vLLM, under its own names: {enforce_eager: true, kv_cache_dtype: fp8}."""

    @field_validator("engine_args")
    @classmethod
    def _leaves_ours(cls, value: dict[str, Any]) -> dict[str, Any]:
        for key in value:
            if key in OURS:
                raise UserError(f"'{key}' is a setting of its own here: {OURS[key]}.")
        if "hf_token" in value:
            raise UserError("'hf_token' would be written into manifests; put it into the environment variable HF_TOKEN.")
        if value.get("load_format") in PICKLED:
            raise UserError(f"load_format: '{value['load_format']}' may read pickled weights, which can run code; use safetensors.")
        return value


class VllmSettings(VllmOptions, ChosenSettings):
    name: Literal["vllm"] = "vllm"
    model: Model
    """A model folder, the output of `finetune` (its last checkpoint), or a hub id; safetensors only."""
    revision: str = "main"
    """Branch, tag or commit of a hub model."""
    dtype: Literal["auto", "float32", "float16", "bfloat16"] = "auto"
    """Precision of the weights; auto: as they were saved."""
    chat: bool = False
    """The prompt is one user turn in the model's chat template; otherwise the model continues it as it stands."""
    system: str = ""
    """The system turn before it (with chat only)."""
    trust_remote_code: bool = False
    """Run code that comes with the model. Only for models you trust."""

    @model_validator(mode="after")
    def _system_needs_chat(self) -> "VllmSettings":
        if self.system and not self.chat:
            raise UserError("a system turn needs chat: true.")
        return self


def build(settings: VllmSettings, seed: int = 0, load: Load | None = None) -> Late:
    """An engine whose model is loaded when something is asked of it.

    Raises: UserError at once where vLLM is missing, and for a folder without safetensors or tokenizer.
    """
    require_installed()
    place = resolve_model(settings.model)
    if Path(place).exists():
        if is_adapter_folder(Path(place)):
            raise UserError(f"{place}: is an adapter, which engine vllm does not read; `teacherlm merge` it, or use engine transformers.")
        check_model_folder(Path(place))
        if not any(Path(place).glob("*.safetensors")):
            raise UserError(f"{place}: holds pickled weights only, which engine vllm does not read; save them as safetensors.")
    identity = identify(settings, seed)

    def loaded() -> Any:
        for name, value in ENVIRONMENT.items():
            os.environ.setdefault(name, value)
        # A library that vLLM imports keeps an exception of that import, and so every frame under it with what it holds: here that would
        # be the engine, which could never end and free the GPU for the next job. Under a thread's import there is nothing of ours.
        with ThreadPoolExecutor(1) as apart:
            body = apart.submit(import_module, "teacherlm.engines.bodies.vllm_start").result()
        return body.start_engine(place, settings, identity, load or Load())

    return Late(identity, loaded)


def require_installed() -> None:
    """Raises: UserError where vLLM is missing."""
    if find_spec("vllm") is None:
        raise UserError("engine vllm: vLLM is not installed; pip install 'teacherlm[vllm]'")


def identify(settings: VllmSettings, seed: int) -> str:
    """The model as the transformers engine names it, and that vLLM writes: its random draws are its own."""
    model = TransformersSettings(model=settings.model, revision=settings.revision, dtype=settings.dtype)
    return f"{identity_of(model, seed)}, {name_of(settings)}"


def name_of(options: VllmOptions) -> str:
    """`vllm`, and a digest of the settings that change what it writes."""
    changed = options.model_dump(include=set(DECISIVE), exclude_defaults=True)
    return f"vllm {blake2b(json.dumps(changed, sort_keys=True, default=str).encode(), digest_size=4).hexdigest()}" if changed else "vllm"


ENGINE = Plugin(VllmSettings, build)
