"""Ends what a run has in Slurm's hands."""

from pathlib import Path

from teacherlm.errors import UserError
from teacherlm.launch import cluster
from teacherlm.launch.at_work import AtWork, find_at_work
from teacherlm.launch.local import is_held
from teacherlm.launch.planned import read_plan


def cancel_run(run_dir: Path) -> list[AtWork]:
    """The jobs that were queued or running; what runs ends in its own way, within the cluster's KillWait.

    Raises: UserError when the folder is not a run's, or a `run` on this machine is at work on it.
    """
    read_plan(run_dir)
    if is_held(run_dir):
        raise UserError(f"{run_dir}: a `teacherlm run` is at work on it; end that with Ctrl-C.")
    at_work = find_at_work(run_dir)
    cluster.cancel(dict.fromkeys(job.array for job in at_work))
    return at_work
