"""How a process of ours ends that did not do its work: one line, and an exit code."""

import os
import sys
import time

from teacherlm.errors import Failed, Stopped, UserError
from teacherlm.launch.apart import tell_end
from teacherlm.together import is_main

LET_THE_FIRST_SPEAK = 3.0
"""Seconds. What one process of a job finds wrong all do, and they are ended when the first has."""


def end_code(error: BaseException) -> int | None:
    """None for a bug, which keeps its traceback."""
    told = tell_end(error)
    if not isinstance(error, (UserError, Failed, Stopped)):
        return None
    if not told:
        if not is_main():
            time.sleep(LET_THE_FIRST_SPEAK)
        print(f"teacherlm: {error}", file=sys.stderr)
    if isinstance(error, UserError):
        return 2
    if isinstance(error, Failed):
        return 1
    if not told and "SLURM_JOB_ID" in os.environ:  # else the one that started this process does it
        from teacherlm.launch.requeue import requeue

        requeue(error)
    return error.exit_code
