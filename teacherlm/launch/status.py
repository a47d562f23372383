"""How far a run is, here or on Slurm: read from the files on disk, and from the queue where there is one."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

from teacherlm.launch import cluster
from teacherlm.launch.at_work import AtWork, find_at_work
from teacherlm.launch.local import is_held, read_failures
from teacherlm.launch.logs import find_logs, last_words, seconds_left
from teacherlm.launch.planned import Planned, read_plan
from teacherlm.launch.records import Submitted, log_of, read_failed, read_submitted
from teacherlm.log import say
from teacherlm.plan import state_at
from teacherlm.store.manifest import Manifest, read_manifest

USUAL_REASONS = ("None", "Dependency", "Priority", "Resources", "JobArrayTaskLimit", "BeginTime")
"""Why jobs wait without anybody having to do something."""
LOOKED_AT = 8
"""Logs of running jobs that are read for the time left."""


@dataclass(frozen=True)
class StepStatus:
    step: str
    """`enhance`; in rounds `round-2/enhance`."""
    jobs: int
    done: int
    running: int
    queued: int
    """In Slurm's hands and waiting."""
    stopped: int
    """Begun, not ended, and nobody at work on it."""
    failed: int
    to_do: int
    rows: int
    """Rows written by the finished jobs."""
    seconds: int
    left: int | None
    """Seconds that the running and queued jobs will take, by what has ended so far; None while nothing tells."""


@dataclass
class Problems:
    """Label -> why it is not done."""

    failed: dict[str, str] = field(default_factory=dict)
    stopped: dict[str, str] = field(default_factory=dict)
    """Ended early because it was asked to, not started for such a one, or waits for something unusual."""


def read_status(run_dir: Path) -> tuple[list[StepStatus], dict[str, str]]:
    """One status per step, and what failed: job label -> why.

    Raises: UserError when the folder is not a run's, or Slurm has jobs of it and does not answer.
    """
    jobs = read_plan(run_dir)
    at_work = _find_at_work(run_dir)
    manifests = {job.label: _find_manifest(run_dir, job) for job in jobs}
    problems = _problems(run_dir, [job for job in jobs if manifests[job.label] is None], at_work)
    here = is_held(run_dir)
    kinds = {job.label: "done" if manifests[job.label] else _kind(run_dir, job, at_work, problems, here) for job in jobs}
    steps: dict[str, list[Planned]] = {}
    for job in jobs:
        steps.setdefault(job.title, []).append(job)
    found = [_of_step(run_dir, step, mine, kinds, manifests) for step, mine in steps.items()]
    failed = {**problems.failed, **problems.stopped}
    told = {label: why for label, why in failed.items() if kinds.get(label, "done") != "done"}
    return found, told


def _find_at_work(run_dir: Path) -> dict[Path, AtWork]:
    if not cluster.has_slurm():
        if read_submitted(run_dir):
            say("there is no `squeue` here: which of its jobs are queued or running cannot be seen.")
        return {}
    return {job.place: job for job in find_at_work(run_dir)}


def _find_manifest(run_dir: Path, job: Planned) -> Manifest | None:
    manifest = read_manifest(run_dir / job.place)
    return manifest if manifest is not None and manifest.fingerprint == job.fingerprint else None


def _kind(run_dir: Path, job: Planned, at_work: Mapping[Path, AtWork], problems: Problems, here: bool) -> str:
    """Of a job that is not done."""
    if (there := at_work.get(run_dir / job.place)) is not None:
        return there.state
    begun = state_at(run_dir / job.place, job.fingerprint) == "begun"
    if begun and here:
        return "running"
    if job.label in problems.failed:
        return "failed"
    return "stopped" if begun else "to do"


def _problems(run_dir: Path, unfinished: list[Planned], at_work: Mapping[Path, AtWork]) -> Problems:
    found = Problems()
    for label, failure in read_failures(run_dir).items():
        (found.stopped if failure.stopped else found.failed)[label] = failure.message
    for job in at_work.values():
        if job.state == "queued" and job.reason not in USUAL_REASONS:
            found.stopped[job.label] = f"waits: {job.reason}"
    told = dict(read_failed(run_dir))
    silent: dict[str, Planned] = {}
    for planned in unfinished:
        failed = told.get(planned.fingerprint)
        if failed is not None:
            (found.stopped if failed.stopped else found.failed)[planned.label] = failed.message
        elif run_dir / planned.place not in at_work:
            silent[planned.fingerprint] = planned
    _explain_silent(run_dir, silent, found)
    return found


def _explain_silent(run_dir: Path, silent: Mapping[str, Planned], found: Problems) -> None:
    """Jobs that Slurm had, has no longer, and that did not say how they ended: killed, cancelled, or never able to begin."""
    last: dict[str, tuple[Submitted, int]] = {}
    for record in read_submitted(run_dir):
        last.update({mark: (record, index) for index, mark in enumerate(record.fingerprints) if mark in silent})
    ends: dict[str, dict[int, str]] = {}
    for mark, (record, index) in last.items():
        if record.job not in ends:
            ends[record.job] = cluster.read_ends(record.job)
        known, log, label = ends[record.job], log_of(run_dir, record.job, index), silent[mark].label
        # An element that is cancelled while it waits is struck off its array.
        ended = known.get(index, "CANCELLED" if known and not log.is_file() else "")
        words = f": {last_words(log)}" if log.is_file() else ""
        if ended.startswith("CANCELLED"):
            found.stopped[label] = f"cancelled{words}"
        elif log.is_file():
            found.failed[label] = f"{ended.lower().replace('_', ' ') or 'ended'}{words} ({log})"
        else:
            hint = f"is {run_dir} on a file system that all nodes share?"
            found.failed[label] = f"{ended.lower() or 'ended'} without a word; {hint} (no {log})"


def _of_step(
    run_dir: Path, step: str, jobs: list[Planned], kinds: Mapping[str, str], manifests: Mapping[str, Manifest | None]
) -> StepStatus:
    mine = [kinds[job.label] for job in jobs]
    done = [manifest for job in jobs if (manifest := manifests[job.label]) is not None]
    seconds = sum(manifest.seconds for manifest in done)
    return StepStatus(
        step=step,
        jobs=len(jobs),
        done=len(done),
        running=mine.count("running"),
        queued=mine.count("queued"),
        stopped=mine.count("stopped"),
        failed=mine.count("failed"),
        to_do=mine.count("to do"),
        rows=sum(m.counts.get("rows", m.counts.get("out", 0)) for m in done),
        seconds=round(seconds),
        left=_left(run_dir, [job.label for job in jobs if kinds[job.label] == "running"], mine.count("queued"), seconds, len(done)),
    )


def _left(run_dir: Path, running: list[str], queued: int, seconds: float, done: int) -> int | None:
    """By the jobs that have ended; while none has, by what the running ones say themselves."""
    if not running:
        return None
    if done:
        return round(seconds / done * (len(running) + queued) / len(running))
    promised = seconds_left(find_logs(run_dir, set(running[:LOOKED_AT])))
    return None if promised is None else round(promised * (1 + queued / len(running)))
