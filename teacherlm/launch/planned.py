"""What a run was planned to do, as a file in its folder: `status`, `logs` and `cancel` read it and need to plan nothing again."""

from dataclasses import asdict, dataclass
from pathlib import Path

from teacherlm.errors import UserError
from teacherlm.pipeline import Pipeline
from teacherlm.plan import Job
from teacherlm.store.files import read_json, write_json

PIPELINE = "pipeline.json"
PLAN = "plan.json"


@dataclass(frozen=True)
class Planned:
    """One job, as far as watching it needs."""

    label: str
    title: str
    place: str
    """Below the run's folder, which may have been moved."""
    fingerprint: str


def write_plan(pipeline: Pipeline, jobs: list[Job]) -> None:
    write_json(pipeline.run_dir / PIPELINE, pipeline.model_dump(mode="json"))
    write_json(pipeline.run_dir / PLAN, [asdict(planned(job, pipeline.run_dir)) for job in jobs])


def planned(job: Job, run_dir: Path) -> Planned:
    return Planned(job.label, job.title, str(job.place.relative_to(run_dir)), job.fingerprint)


def read_plan(run_dir: Path) -> list[Planned]:
    """Raises: UserError when the folder is not a run's."""
    path = run_dir / PLAN
    if not path.is_file():
        raise UserError(f"{run_dir}: is not the folder of a run (no {PLAN}).")
    return [Planned(**values) for values in read_json(path)]
