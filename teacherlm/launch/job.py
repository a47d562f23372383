"""A frozen job: everything a process anywhere needs to do one piece of a pipeline, as a small JSON file."""

from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

from teacherlm.errors import UserError
from teacherlm.store.files import read_json, work_folder, write_json
from teacherlm.store.manifest import JOB


@dataclass(frozen=True)
class FrozenJob:
    stage: str
    config: Mapping[str, Any]
    """The validated config, paths as the pipeline spells them."""
    fingerprint: str
    entry: Mapping[str, str] = field(default_factory=dict)
    """Matrix labels, such as {"student": "1b3", "seed": "0"}; they become the report's columns."""
    plugins: tuple[str, ...] = ()


def write_job(place: Path, job: FrozenJob) -> None:
    """Mark a place as begun by this job."""
    write_json(work_folder(place) / JOB, asdict(job))


def write_frozen(folder: Path, job: FrozenJob) -> Path:
    """The job as an immutable file named by its fingerprint; the same job is always the same file."""
    path = folder / f"{job.fingerprint}.json"
    write_json(path, asdict(job))
    return path


def read_job(path: Path) -> FrozenJob:
    """Raises: UserError when the file is missing or not a job."""
    values = read_json(path)
    try:
        return FrozenJob(**{**values, "plugins": tuple(values.get("plugins", ()))})
    except TypeError as error:
        raise UserError(f"{path}: not a job file ({error}).") from None
