"""How far a run is, read from the files on disk."""

from dataclasses import dataclass
from pathlib import Path

from teacherlm.catalog import use_plugins
from teacherlm.errors import UserError
from teacherlm.launch.local import Failure, is_held, read_failures
from teacherlm.launch.run import PIPELINE
from teacherlm.parsing import parse_config
from teacherlm.pipeline import Pipeline
from teacherlm.plan import Job, plan
from teacherlm.store.files import read_json
from teacherlm.store.manifest import read_manifest


@dataclass(frozen=True)
class StepStatus:
    step: str
    """`enhance`; in rounds `round-2/enhance`."""
    jobs: int
    done: int
    running: int
    stopped: int
    """Begun, not ended, and nobody at work on it."""
    failed: int
    to_do: int
    rows: int
    """Rows written by the finished jobs."""
    seconds: int


def read_status(run_dir: Path) -> tuple[list[StepStatus], dict[str, str]]:
    """One status per step, and what failed: job label -> why.

    Raises: UserError when the folder is not a run's.
    """
    path = run_dir / PIPELINE
    if not path.is_file():
        raise UserError(f"{run_dir}: is not the folder of a run (no {PIPELINE}).")
    pipeline = parse_config(Pipeline, read_json(path), str(path))
    use_plugins(pipeline.plugins)
    jobs = plan(pipeline, str(path))
    failures, at_work = read_failures(run_dir), is_held(run_dir)
    steps = dict.fromkeys(job.title for job in jobs)
    found = [_of_step([job for job in jobs if job.title == step], failures, at_work) for step in steps]
    return found, {label: failure.message for label, failure in failures.items()}


def _of_step(jobs: list[Job], failures: dict[str, Failure], at_work: bool) -> StepStatus:
    kinds = [_kind(job, failures, at_work) for job in jobs]
    manifests = [read_manifest(job.place) for job, kind in zip(jobs, kinds, strict=True) if kind == "done"]
    return StepStatus(
        step=jobs[0].title,
        jobs=len(jobs),
        done=kinds.count("done"),
        running=kinds.count("running"),
        stopped=kinds.count("stopped"),
        failed=kinds.count("failed"),
        to_do=kinds.count("to do"),
        rows=sum(m.counts.get("rows", m.counts.get("out", 0)) for m in manifests if m is not None),
        seconds=round(sum(m.seconds for m in manifests if m is not None)),
    )


def _kind(job: Job, failures: dict[str, Failure], at_work: bool) -> str:
    state = job.state()
    if state == "done":
        return "done"
    if at_work and state == "begun":
        return "running"
    if job.label in failures and not failures[job.label].stopped:
        return "failed"
    return "stopped" if state == "begun" else "to do"
