"""Show rows as a person wants to read them: question, gold, rationales, and what a student reads, with what carries loss highlighted."""

from pathlib import Path
from typing import Annotated

import typer


def show(
    data: Annotated[Path, typer.Argument(help="An output of prepare, enhance or postprocess, one of their .jsonl, or a raw data file.")],
    n: Annotated[int, typer.Option("--n", "-n", min=1, help="How many rows.")] = 5,
    id_: Annotated[str, typer.Option("--id", help="Only the rows of this id.", metavar="ID")] = "",
    split: Annotated[str, typer.Option("--split", help="Of several splits; by default train, else the first.")] = "",
    train_on: Annotated[
        str, typer.Option("--train-on", help="The column a student learns; by default cot_tail, cot_head, ..., text, whichever is there.")
    ] = "",
    loss_on: Annotated[str, typer.Option("--loss-on", help="completion or all, as in finetune.")] = "completion",
    model: Annotated[str, typer.Option("--model", help="Student whose tokens are counted: a folder, or a hub id.", metavar="DIR")] = "",
    max_source_length: Annotated[
        int, typer.Option("--max-source-length", min=2, help="With --model: longest row in tokens, as in finetune.")
    ] = 2048,
    seed: Annotated[int | None, typer.Option("--seed", help="Rows drawn at random instead of the first ones.")] = None,
    dataset: Annotated[str, typer.Option("--dataset", help="Dataset that reads a raw file, where it is not recognised.")] = "",
    full: Annotated[bool, typer.Option("--full", help="Long texts whole.")] = False,
    trust_remote_code: Annotated[bool, typer.Option("--trust-remote-code", help="Run code that a hub model brings along.")] = False,
    plugins: Annotated[list[str] | None, typer.Option("--plugins", help="Folder laid out like the rooms.", metavar="FOLDER")] = None,
) -> None:
    from teacherlm.errors import UserError
    from teacherlm.log import quiet_libraries
    from teacherlm.showing.showing import Wanted, show

    quiet_libraries()
    if loss_on not in ("completion", "all"):
        raise UserError(f"--loss-on: expected completion or all, found '{loss_on}'.")
    show(Wanted(data, n, id_, split, seed, train_on, loss_on == "completion", model, max_source_length, trust_remote_code, dataset, full))


COMMAND = show
