"""A frozen job: everything a process anywhere needs to do one piece of a pipeline, as a small JSON object."""

from collections.abc import Iterable, Mapping
from dataclasses import asdict, dataclass, field
from itertools import islice
from pathlib import Path
from typing import Any

import orjson

from teacherlm.errors import UserError
from teacherlm.plan import Job
from teacherlm.store.files import read_json, work_folder, write_json, writing
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
    label: str = ""
    """What a pipeline calls it."""
    needs: tuple[tuple[str, str, str], ...] = ()
    """(label, place, fingerprint) of the jobs whose outputs it reads."""


def frozen(job: Job, plugins: tuple[str, ...], needed: Mapping[Path, Job] | None = None) -> FrozenJob:
    """`needed`: place -> job, where the job itself is to look whether what it needs is done."""
    needs = tuple((needed[place].label, str(place), needed[place].fingerprint) for place in job.needs) if needed is not None else ()
    return FrozenJob(job.stage, job.config.model_dump(mode="json"), job.fingerprint, dict(job.entry), plugins, job.label, needs)


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
    return _parse(read_json(path), str(path))


def write_list(path: Path, lines: Iterable[bytes]) -> None:
    """An immutable list: the index of an array's element is a line of it."""
    with writing(path) as file:
        file.writelines(lines)


def list_line(job: FrozenJob) -> bytes:
    return orjson.dumps(job, option=orjson.OPT_APPEND_NEWLINE)


def read_element(path: Path, index: int) -> FrozenJob:
    """The job in a line of a list, counted from 0. Raises: UserError when there is none."""
    try:
        with path.open("rb") as file:
            line = next(islice(file, index, None), b"")
    except FileNotFoundError:
        raise UserError(f"{path}: no such file.") from None
    if not line:
        raise UserError(f"{path}: has no line {index} (counted from 0).")
    try:
        return _parse(orjson.loads(line), f"{path}:{index + 1}")
    except orjson.JSONDecodeError as error:
        raise UserError(f"{path}:{index + 1}: not valid JSON ({error}).") from None


def _parse(values: Any, where: str) -> FrozenJob:
    try:
        needs = tuple((label, place, mark) for label, place, mark in values.get("needs", ()))
        return FrozenJob(**{**values, "plugins": tuple(values.get("plugins", ())), "needs": needs})
    except (AttributeError, TypeError, ValueError) as error:
        raise UserError(f"{where}: not a job file ({error}).") from None
