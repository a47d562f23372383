"""Write a first version of an evaluation task of your own, as YAML or as a Python class, with questions to try it on."""

from pathlib import Path
from typing import Annotated

import typer


def new_task(
    name: Annotated[str, typer.Argument(help="What the task is called: letters, digits and _.")],
    style: Annotated[str, typer.Option("--style", help="yaml: a task is described; python: a class asks and scores as it likes.")] = "yaml",
    output: Annotated[Path, typer.Option("--output", "-o", help="Folder for its files, then the --include-path of evaluate.")] = Path(
        "tasks"
    ),
) -> None:
    from teacherlm.proposing.new_task import write_new_task

    for path in write_new_task(name, style, output):
        typer.echo(f"{path} is written.")
    typer.echo(f"Measure with it: teacherlm evaluate --input MODEL --tasks {name} --include-path {output}")


COMMAND = new_task
