"""Write rows of ours as another system's file: trl, messages, alpaca, llama_factory, axolotl, openai, parquet, finetune_cot, ..."""

from pathlib import Path
from typing import Annotated

import typer


def export(
    what: Annotated[
        str,
        typer.Argument(
            help="Of examples (`postprocess`): trl, messages, alpaca, llama_factory, axolotl, openai, parquet, prompt_completion; "
            "of rationales (`enhance`): finetune_cot.",
            metavar="FORMAT",
        ),
    ],
    source: Annotated[Path, typer.Argument(help="Folder or .jsonl to read.")],
    output: Annotated[Path, typer.Option("--output", "-o", help="Folder to write into, or (but for finetune_cot) the file itself.")],
    train_on: Annotated[
        str | None,
        typer.Option("--train-on", help="What is to be learned: text, cot_tail (default), cot_head, ...; the prompt comes off its front."),
    ] = None,
    name: Annotated[str | None, typer.Option(help="llama_factory: its name in dataset_info.json; by default <source>_<train on>.")] = None,
    base_model: Annotated[str | None, typer.Option("--base-model", help="finetune_cot: the model that wrote the completions.")] = None,
    completion_key: Annotated[str | None, typer.Option("--completion-key", help="finetune_cot: how it was asked, e.g. zs_cot.")] = None,
    dataset_key: Annotated[str | None, typer.Option("--dataset-key", help="finetune_cot: the dataset, e.g. multiarith.")] = None,
    train_key: Annotated[str | None, typer.Option("--train-key", help="finetune_cot: how a student was trained, e.g. ft_cot.")] = None,
    epoch: Annotated[int | None, typer.Option("--epoch", min=0, help="finetune_cot: after which epoch it wrote them.")] = None,
    finetune_key: Annotated[str | None, typer.Option("--finetune-key", help="What the finetune file is called: F_<key>.jsonl.")] = None,
    template: Annotated[
        str | None, typer.Option(help="ft_natural, ft_token, ft_cot_token, ft_cot_natural; of finetune_cot the template of prediction.")
    ] = None,
    model_type: Annotated[str | None, typer.Option("--model-type", help="prompt_completion: decoder or encoder_decoder.")] = None,
    kind: Annotated[str | None, typer.Option("--kind", help="prompt_completion: the rationale, cot by default.")] = None,
    stop_phrase: Annotated[
        str | None, typer.Option("--stop-phrase", help="prompt_completion: ends a completion, END by default; '' for none.")
    ] = None,
    overwrite: Annotated[bool, typer.Option("--overwrite", help="Replace a file with other content.")] = False,
) -> None:
    from teacherlm.exports.exporting import export_rows
    from teacherlm.log import say

    given = {
        "train_on": train_on,
        "name": name,
        "base_model": base_model,
        "completion_key": completion_key,
        "dataset_key": dataset_key,
        "train_key": train_key,
        "epoch": epoch,
        "finetune_key": finetune_key,
        "template": template,
        "model_type": model_type,
        "kind": kind,
        "stop_phrase": stop_phrase,
    }
    count, path = export_rows(what, source, output, {key: value for key, value in given.items() if value is not None}, overwrite)
    say(f"export: {count} rows written into {path}.")


COMMAND = export
