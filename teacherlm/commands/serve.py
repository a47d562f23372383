"""Serve a student behind an OpenAI-compatible API: `transformers serve` or vLLM, ended by Ctrl-C."""

from enum import Enum
from typing import Annotated

import typer


class Quantize(str, Enum):
    int8 = "int8"
    nf4 = "nf4"


class Server(str, Enum):
    transformers = "transformers"
    vllm = "vllm"


def serve(
    model: Annotated[
        str, typer.Option("--model", help="A finetune output (its last checkpoint), a checkpoint, a model folder, a hub id.", metavar="DIR")
    ],
    host: Annotated[str, typer.Option("--host", help="Address to listen at; 0.0.0.0 lets other machines in.")] = "127.0.0.1",
    port: Annotated[int, typer.Option("--port", min=0, max=65535, help="0: any that is free.")] = 8000,
    name: Annotated[str, typer.Option("--name", help="What clients call the model; by default the run's folder.")] = "",
    quantize: Annotated[Quantize | None, typer.Option("--quantize", help="Quantise the weights while loading (bitsandbytes).")] = None,
    engine: Annotated[Server, typer.Option("--engine", help="Which server.")] = Server.transformers,
    dtype: Annotated[str, typer.Option("--dtype", help="Precision of the weights; auto: as they were saved.")] = "auto",
    device: Annotated[str, typer.Option("--device", help="cpu, cuda:1, ...; auto: a GPU where there is one.")] = "auto",
    trust_remote_code: Annotated[bool, typer.Option("--trust-remote-code", help="Run code that comes with the model.")] = False,
) -> None:
    """Says the URL and one curl line when the model is loaded. An adapter is merged into its base, for as long as it is served."""
    from teacherlm.log import quiet_libraries
    from teacherlm.using.serve import Wanted, serve
    from teacherlm.using.servers import Quantise

    quiet_libraries()
    quantise: Quantise = quantize.value if quantize else ""
    serve(Wanted(model, host, port, name, engine.value, quantise, dtype, device, trust_remote_code))


COMMAND = serve
