"""The Slurm allocation that this process runs in: its number, how often it was queued again, when it began and when it ends."""

import os
import re
import shutil
import subprocess
from dataclasses import dataclass
from datetime import datetime

WAIT_SECONDS = 20


@dataclass(frozen=True)
class Allocation:
    job: str
    """Slurm's number of this job, elements of arrays have one each."""
    element: str
    """`12_3` for an element of an array, else the number."""
    restarts: int
    """How often Slurm has started it again."""
    nodes: str


def find_allocation() -> Allocation | None:
    """None outside of Slurm."""
    job = os.environ.get("SLURM_JOB_ID", "")
    if not job:
        return None
    array, index = os.environ.get("SLURM_ARRAY_JOB_ID"), os.environ.get("SLURM_ARRAY_TASK_ID")
    restarts = os.environ.get("SLURM_RESTART_COUNT", "0")
    return Allocation(
        job=job,
        element=f"{array}_{index}" if array and index else job,
        restarts=int(restarts) if restarts.isdigit() else 0,
        nodes=os.environ.get("SLURM_JOB_NODELIST", ""),
    )


def find_times(job: str) -> tuple[float | None, float | None]:
    """When a job began and when its time is up, in seconds of the epoch; None for what Slurm does not say."""
    given = [os.environ.get(name, "") for name in ("SLURM_JOB_START_TIME", "SLURM_JOB_END_TIME")]  # from Slurm 23.02 on
    if all(word.isdigit() for word in given):
        return float(given[0]), float(given[1])
    scontrol = shutil.which("scontrol")
    if scontrol is None:
        return None, None
    try:
        asked = subprocess.run(
            [scontrol, "--oneliner", "show", "job", job], capture_output=True, text=True, timeout=WAIT_SECONDS, check=False
        ).stdout
    except (OSError, subprocess.TimeoutExpired):
        return None, None
    return _parse_time(asked, "StartTime"), _parse_time(asked, "EndTime")


def _parse_time(words: str, name: str) -> float | None:
    found = re.search(rf"\b{name}=(\d{{4}}-\d\d-\d\dT\d\d:\d\d:\d\d)", words)
    return datetime.fromisoformat(found[1]).timestamp() if found else None
