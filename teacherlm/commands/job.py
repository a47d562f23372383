"""Do the job of one frozen job file (what `run` starts in its worker processes)."""

from pathlib import Path
from typing import Annotated

import typer


def job(file: Annotated[Path, typer.Argument(help="A job.json written by `run`.")]) -> None:
    from teacherlm.launch.perform import perform_job

    perform_job(file)


COMMAND = job
