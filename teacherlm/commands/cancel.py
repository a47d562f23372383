"""Take the jobs of a run out of Slurm's hands; what they have done is kept."""

from pathlib import Path
from typing import Annotated

import typer


def cancel(run: Annotated[Path, typer.Argument(help="Folder of a run (run_dir of its pipeline).")]) -> None:
    from teacherlm.launch.cancel import cancel_run
    from teacherlm.log import say

    cancelled = cancel_run(run)
    if not cancelled:
        say(f"{run}: nothing is queued or running.")
        return
    states = [job.state for job in cancelled]
    counts = f"{states.count('running')} running and {states.count('queued')} queued jobs"
    say(f"{run}: cancelled {counts}; `teacherlm submit` goes on from there.")


COMMAND = cancel
