"""Read another system's file into rows that `score` and `postprocess` take: finetune_cot, zero_shot_cot."""

from pathlib import Path
from typing import Annotated

import typer


def import_(
    what: Annotated[str, typer.Argument(help="finetune_cot (a completion file) or zero_shot_cot (a log).")],
    file: Annotated[Path, typer.Argument(help="The file to read.")],
    output: Annotated[Path, typer.Option("--output", "-o", help="The .jsonl to write.")],
    dataset_key: Annotated[
        str | None, typer.Option("--dataset-key", help="The dataset, where a log has lost its head: multiarith, ...")
    ] = None,
    overwrite: Annotated[bool, typer.Option("--overwrite", help="Replace an output with other content.")] = False,
) -> None:
    from teacherlm.exports.imports import import_file
    from teacherlm.log import say

    count = import_file(what, file, output, dataset_key, overwrite)
    say(f"import: {count} rows written into {output}.")


COMMAND = import_
