"""Run a pipeline on this machine; only what is not done yet."""

from pathlib import Path
from typing import Annotated

import typer


def run(
    file: Annotated[str, typer.Argument(help="A pipeline file, or the name of one that comes with the package.")] = "quickstart",
    dry_run: Annotated[bool, typer.Option("--dry-run", "-n", help="Say what would be done, and why; do nothing.")] = False,
    jobs: Annotated[
        int | None, typer.Option("--jobs", "-j", min=1, help="How many jobs at a time; by default one, and on GPUs one for each.")
    ] = None,
    only: Annotated[
        list[str] | None, typer.Option(help="Only this step, or round-2, or round-2/enhance (may be repeated).", metavar="STEP")
    ] = None,
    assignments: Annotated[
        list[str] | None, typer.Option("--set", "-s", help="Change a setting: step.key=value.", metavar="KEY=VALUE")
    ] = None,
    plugins: Annotated[list[str] | None, typer.Option("--plugins", help="Folder laid out like the rooms.", metavar="FOLDER")] = None,
) -> None:
    from teacherlm.launch.run import run_pipeline

    failed = run_pipeline(file, assignments or [], [Path(folder) for folder in plugins or []], dry_run, jobs, only or [])
    if failed and all(failure.stopped for failure in failed.values()):
        raise typer.Exit(max(failure.stopped for failure in failed.values()))
    raise typer.Exit(0 if not failed else 2 if all(failure.by_user for failure in failed.values()) else 1)


COMMAND = run
