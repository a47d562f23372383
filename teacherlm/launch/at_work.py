"""Which jobs of a run are in Slurm's hands now."""

from dataclasses import dataclass
from pathlib import Path

from teacherlm.launch import cluster
from teacherlm.launch.records import read_submitted

NAMED = 5
"""Jobs named in a message."""


@dataclass(frozen=True)
class AtWork:
    """A job of this run that Slurm has not done with."""

    array: str
    index: int
    label: str
    fingerprint: str
    place: Path
    state: str
    reason: str


def find_at_work(run_dir: Path) -> list[AtWork]:
    """Jobs of the run that are queued or running. Raises: UserError when Slurm does not answer."""
    records = read_submitted(run_dir)
    if not records:
        return []
    queue = cluster.read_queue()
    found = []
    by_job = {(record.job, record.name): record for record in records}
    for (number, name, index), queued in queue.items():
        record = by_job.get((number, name))
        if record is not None and index < len(record.labels):
            about = (record.labels[index], record.fingerprints[index], run_dir / record.places[index])
            found.append(AtWork(number, index, *about, queued.state, queued.reason))
    return found


def named(labels: list[str]) -> str:
    """The first few of them."""
    more = len(labels) - NAMED
    return ", ".join(labels[:NAMED]) + (f" and {more} more" if more > 0 else "")
