"""Upload the wandb runs below a folder that were kept offline."""

from pathlib import Path
from typing import Annotated

import typer


def wandb_sync(
    folder: Annotated[Path, typer.Argument(help="A run's folder, one output of finetune, or a wandb folder.", metavar="DIR")],
    dry_run: Annotated[bool, typer.Option("--dry-run", "-n", help="List them, and which were uploaded before.")] = False,
    again: Annotated[bool, typer.Option("--again", help="Upload those too that were uploaded before.")] = False,
) -> None:
    from teacherlm.launch.wandb_sync import find_offline_runs, upload

    runs = find_offline_runs(folder)
    if dry_run:
        for run, done in runs.items():
            typer.echo(f"{'uploaded' if done else 'offline':<9} {run}")
        return
    todo = [run for run, done in runs.items() if again or not done]
    if not todo:
        typer.echo(f"{folder}: nothing to upload ({len(runs)} runs, all uploaded).", err=True)
        return
    problems = upload(todo)
    for run, problem in problems.items():
        typer.echo(f"{run}: {problem}", err=True)
    typer.echo(f"{len(todo) - len(problems)} of {len(todo)} runs uploaded.", err=True)
    raise typer.Exit(1 if problems else 0)


COMMAND = wandb_sync
