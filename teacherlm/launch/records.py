"""What a run knows of its jobs on Slurm, as files in `<run_dir>/slurm`: what was handed over, and what failed there."""

from collections.abc import Iterator
from dataclasses import asdict, dataclass
from datetime import datetime, timezone
from pathlib import Path
from typing import Any

from teacherlm.launch.local import Failure
from teacherlm.store.files import read_json, write_json

FOLDER = "slurm"


@dataclass(frozen=True)
class Submitted:
    """One array in Slurm's hands: `<run_dir>/slurm/<job>.json`."""

    job: str
    """Slurm's number of the array."""
    name: str
    """Slurm's name of it: numbers are given anew when a cluster is set up again."""
    file: str
    """The list of jobs, in the same folder."""
    labels: tuple[str, ...]
    """Of the jobs, by the array's index."""
    fingerprints: tuple[str, ...]
    places: tuple[str, ...]
    """Below the run's folder."""
    at: str = ""


@dataclass(frozen=True)
class Failed:
    """How an element ended that did not do its job: `<run_dir>/slurm/failed/<fingerprint>.json`."""

    label: str
    message: str
    by_user: bool
    stopped: int = 0
    because_of: str = ""
    """Label of the job that failed first, where this one was not started for it."""

    @property
    def failure(self) -> Failure:
        return Failure(self.message, self.by_user, self.stopped)


def slurm_folder(run_dir: Path) -> Path:
    return run_dir / FOLDER


def now() -> str:
    return datetime.now(timezone.utc).isoformat(timespec="seconds")


def write_submitted(run_dir: Path, record: Submitted) -> None:
    write_json(slurm_folder(run_dir) / f"{record.job}.json", asdict(record))


def read_submitted(run_dir: Path) -> list[Submitted]:
    """All arrays that were handed over, the oldest first."""
    paths = [path for path in slurm_folder(run_dir).glob("*.json") if path.stem.isdigit()]
    found = [_parse(read_json(path)) for path in paths]
    return sorted(found, key=lambda record: (record.at, int(record.job)))


def _parse(values: dict[str, Any]) -> Submitted:
    lists = {key: tuple(value) for key, value in values.items() if isinstance(value, list)}
    return Submitted(**{**values, **lists})


def log_of(run_dir: Path, job: str, index: int) -> Path:
    return slurm_folder(run_dir) / "logs" / f"{job}_{index}.log"


def failed_path(folder: Path, fingerprint: str) -> Path:
    """`folder` is `<run_dir>/slurm`."""
    return folder / "failed" / f"{fingerprint}.json"


def find_failed(folder: Path, fingerprint: str) -> Failed | None:
    path = failed_path(folder, fingerprint)
    return Failed(**read_json(path)) if path.is_file() else None


def write_failed(folder: Path, fingerprint: str, failed: Failed) -> None:
    write_json(failed_path(folder, fingerprint), asdict(failed))


def read_failed(run_dir: Path) -> Iterator[tuple[str, Failed]]:
    """(fingerprint, how it ended)"""
    for path in sorted((slurm_folder(run_dir) / "failed").glob("*.json")):
        yield path.stem, Failed(**read_json(path))


def forget_failed(run_dir: Path, fingerprints: set[str]) -> None:
    """These jobs are about to be done again."""
    for path in (slurm_folder(run_dir) / "failed").glob("*.json"):
        if path.stem in fingerprints:
            path.unlink(missing_ok=True)
