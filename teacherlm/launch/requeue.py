"""A Slurm job whose time is nearly up is queued again, so many times; it goes on from what it has saved."""

import os
import subprocess

from teacherlm.allocation import find_allocation
from teacherlm.errors import OUT_OF_TIME, Stopped
from teacherlm.log import say
from teacherlm.together import is_main

REQUEUES = "TEACHERLM_REQUEUES"
"""How often a job may be queued again; set by the scripts of `submit`. Unset: it just ends."""
WAIT_SECONDS = 60


def requeue(stopped: Stopped) -> bool:
    """Whether the job was queued again: only when it ran out of time, and only by the first of its processes."""
    allocation, most = find_allocation(), os.environ.get(REQUEUES, "")
    if stopped.exit_code != OUT_OF_TIME or allocation is None or not most.isdigit() or not is_main():
        return False
    if allocation.restarts >= int(most):
        say(f"job {allocation.element} was queued again {allocation.restarts} times; requeues allows no more. Submit again to go on.")
        return False
    # Before this process ends, or Slurm would take the job for done and start those that wait for it.
    try:
        done = subprocess.run(["scontrol", "requeue", allocation.job], capture_output=True, text=True, timeout=WAIT_SECONDS, check=False)
        problem = done.stderr.strip() if done.returncode else ""
    except (OSError, subprocess.TimeoutExpired) as error:
        problem = str(error)
    if problem:
        say(f"warning: job {allocation.element} could not be queued again ({' '.join(problem.split())}); submit again.")
        return False
    say(f"job {allocation.element} is queued again ({allocation.restarts + 1} of {most}).")
    return True
