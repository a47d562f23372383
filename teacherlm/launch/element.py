"""One element of a Slurm array: looks at what it needs, does its line of the list, writes down how it failed."""

import os
import time
from contextlib import suppress
from dataclasses import asdict
from pathlib import Path

from teacherlm.errors import UserError
from teacherlm.launch.job import FrozenJob, read_element
from teacherlm.launch.local import failure_of
from teacherlm.launch.perform import is_done, perform_frozen
from teacherlm.launch.records import Failed, failed_path, find_failed, write_failed
from teacherlm.log import say
from teacherlm.store.files import work_folder
from teacherlm.together import is_main

LOOKS = 3


class NotStarted(UserError):
    """A job whose input is not there."""

    def __init__(self, message: str, because_of: str) -> None:
        super().__init__(message)
        self.because_of = because_of


def perform_element(path: Path, index: int) -> None:
    """Do the job in line `index` of the list `path` (in `<run_dir>/slurm`).

    Raises: what the job raises, after writing it down for `status` and for the jobs that need this one.
    """
    job = read_element(path, index)
    say(f"{job.label} (job {os.environ.get('SLURM_JOB_ID', '?')} on {os.environ.get('SLURMD_NODENAME', os.uname().nodename)})")
    tells = is_main()  # of several processes of one job the first
    folder = path.absolute().parent
    try:
        require_needs(job, folder)
        perform_frozen(job, str(path))
    except BaseException as error:
        if tells:
            write_failed(folder, job.fingerprint, _failed(job, error))
        raise
    if tells:
        failed_path(folder, job.fingerprint).unlink(missing_ok=True)


def require_needs(job: FrozenJob, folder: Path) -> None:
    """Raises: NotStarted naming the job that failed first, when something this one needs is not done."""
    for label, place, fingerprint in job.needs:
        if is_done(Path(place), fingerprint):
            continue
        failed = find_failed(folder, fingerprint)
        if failed is None and _is_done_at_second_sight(Path(place), fingerprint):
            continue
        if failed is None:
            raise NotStarted(f"not started: it needs {label}, which is not done", label)
        first = failed.because_of or label
        how = "was stopped" if failed.stopped else "failed"
        raise NotStarted(f"not started: it needs {first}, which {how}", first)


def _is_done_at_second_sight(place: Path, fingerprint: str) -> bool:
    """A network file system may show a node for some seconds what was there before another node wrote."""
    for _ in range(LOOKS):
        time.sleep(1)
        with suppress(OSError):
            os.listdir(work_folder(place))
        if is_done(place, fingerprint):
            return True
    return False


def _failed(job: FrozenJob, error: BaseException) -> Failed:
    because_of = error.because_of if isinstance(error, NotStarted) else ""
    return Failed(job.label, **asdict(failure_of(error)), because_of=because_of)
