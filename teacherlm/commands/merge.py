"""Merge an adapter into its base: a plain model folder that needs neither the base nor peft."""

from enum import Enum
from pathlib import Path
from typing import Annotated

import typer


class Dtype(str, Enum):
    auto = "auto"
    float32 = "float32"
    bfloat16 = "bfloat16"
    float16 = "float16"


def merge(
    checkpoint: Annotated[str, typer.Argument(help="A checkpoint-<step> folder with an adapter, or a finetune output (its last one).")],
    output: Annotated[Path, typer.Argument(help="Folder to write; must not exist yet, or be empty.")],
    dtype: Annotated[Dtype, typer.Option(help="Of the weights written; auto: as the base was saved.")] = Dtype.auto,
    trust_remote_code: Annotated[bool, typer.Option("--trust-remote-code", help="Run code that comes with the base.")] = False,
) -> None:
    """The sum is made in fp32. Of a qlora the base is what its 4 bits say. A bottleneck adapter cannot be merged."""
    from teacherlm.training.merging import merge as write

    write(checkpoint, output, dtype.value, trust_remote_code)


COMMAND = merge
