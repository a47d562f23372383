"""Hand a pipeline to Slurm: each step as arrays of jobs; only what is not done yet."""

from pathlib import Path
from typing import Annotated

import typer


def submit(
    file: Annotated[str, typer.Argument(help="A pipeline file, or the name of one that comes with the package.")],
    dry_run: Annotated[bool, typer.Option("--dry-run", "-n", help="Print the plan and the exact words for sbatch; do nothing.")] = False,
    assignments: Annotated[
        list[str] | None,
        typer.Option("--set", "-s", help="Change a setting: step.key=value, slurm.partition=gpu.", metavar="KEY=VALUE"),
    ] = None,
    plugins: Annotated[list[str] | None, typer.Option("--plugins", help="Folder laid out like the rooms.", metavar="FOLDER")] = None,
) -> None:
    from teacherlm.launch.submit import submit_pipeline

    submit_pipeline(file, assignments or [], [Path(folder) for folder in plugins or []], dry_run)


COMMAND = submit
