"""Do one frozen job: a job file, or a line of a list (what `run` and `submit` have processes do)."""

from pathlib import Path
from typing import Annotated

import typer


def job(
    file: Annotated[Path, typer.Argument(help="A job.json written by `run`, or a list written by `submit`.")],
    line: Annotated[int | None, typer.Option(help="Which line of a list, from 0: the index of an array's element.", min=0)] = None,
) -> None:
    import os

    from teacherlm.launch.signals import heed_warnings
    from teacherlm.launch.torchrun import PARENT, end_with

    heed_warnings()
    if parent := os.environ.pop(PARENT, ""):
        end_with(int(parent))
    if line is not None:
        from teacherlm.launch.element import perform_element

        perform_element(file, line)
        return
    from teacherlm.launch.perform import perform_job

    perform_job(file)


COMMAND = job
