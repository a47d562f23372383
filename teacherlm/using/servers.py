"""What is started to serve a student: the words of `transformers serve` and of vLLM's server, and what both need to be there."""

import sys
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from importlib.util import find_spec
from typing import Literal

from teacherlm.errors import UserError, unknown

Quantise = Literal["", "int8", "nf4"]


@dataclass(frozen=True)
class Served:
    """A model as a server is to offer it."""

    place: str
    """Folder or hub id."""
    name: str
    """What clients call it."""
    host: str
    port: int
    quantise: Quantise = ""
    dtype: str = "auto"
    device: str = "auto"
    trust_remote_code: bool = False


@dataclass(frozen=True)
class Kind:
    """One kind of server."""

    words: Callable[[Served], list[str]]
    require: Callable[[Served], None]
    """Raises: UserError for what is not installed, and for what it cannot do."""


def _transformers_words(served: Served) -> list[str]:
    """A pinned model is called by its place: it is started where the name is a link to it."""
    program = "import sys; from transformers.cli.transformers import main; sys.argv[0] = 'transformers'; sys.exit(main())"
    words = [sys.executable, "-c", program, "serve", served.name, "--host", served.host, "--port", str(served.port)]
    words += ["--quantization", {"int8": "bnb-8bit", "nf4": "bnb-4bit"}[served.quantise]] if served.quantise else []
    words += ["--dtype", served.dtype, "--device", served.device]
    return words + (["--trust-remote-code"] if served.trust_remote_code else [])


def _vllm_words(served: Served) -> list[str]:
    words = [sys.executable, "-m", "vllm.entrypoints.openai.api_server", "--model", served.place, "--served-model-name", served.name]
    words += ["--host", served.host, "--port", str(served.port), "--dtype", served.dtype, "--generation-config", "vllm"]
    words += ["--quantization", "bitsandbytes"] if served.quantise else []
    return words + (["--trust-remote-code"] if served.trust_remote_code else [])


def _require_serving(served: Served) -> None:
    missing = [name for name in ("fastapi", "uvicorn") if find_spec(name) is None]
    if missing:
        raise UserError(f"serve: {missing[0]} is not installed, which `transformers serve` needs; pip install 'teacherlm[serving]'")
    _require_bitsandbytes(served)


def _require_vllm(served: Served) -> None:
    if served.quantise == "int8":
        raise UserError("--quantize int8: vLLM cannot quantise to int8 while it loads; take nf4, or --engine transformers.")
    if served.device != "auto":
        raise UserError("--device: vLLM's server decides itself; choose the card with CUDA_VISIBLE_DEVICES.")
    if find_spec("vllm") is None:
        raise UserError("serve: vLLM is not installed; pip install 'teacherlm[vllm]', or leave --engine out.")
    _require_bitsandbytes(served)


def _require_bitsandbytes(served: Served) -> None:
    if served.quantise and find_spec("bitsandbytes") is None:
        raise UserError(f"--quantize {served.quantise}: bitsandbytes is not installed; pip install 'teacherlm[quantized]'")


KINDS: Mapping[str, Kind] = {
    "transformers": Kind(_transformers_words, _require_serving),
    "vllm": Kind(_vllm_words, _require_vllm),
}


def kind_of(name: str) -> Kind:
    """Raises: UserError for an unknown one."""
    if name not in KINDS:
        raise unknown("server", name, KINDS)
    return KINDS[name]
