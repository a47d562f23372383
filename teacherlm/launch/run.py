"""A pipeline file -> what is not done yet -> done, on this machine."""

import shlex
from collections import Counter
from collections.abc import Mapping
from pathlib import Path
from types import MappingProxyType

from teacherlm.catalog import plugin_folders, use_plugins
from teacherlm.errors import UserError, unknown
from teacherlm.launch.at_work import find_at_work, named
from teacherlm.launch.cluster import has_slurm
from teacherlm.launch.local import Failure, holding, run_jobs
from teacherlm.launch.planned import write_plan
from teacherlm.launch.records import forget_failed
from teacherlm.launch.signals import noted
from teacherlm.log import say
from teacherlm.pipeline import find_pipeline, read_pipeline
from teacherlm.plan import Job, State, plan, to_do

WHY = {
    "missing": "not there yet",
    "changed": "its settings or inputs have changed",
    "begun": "begun and not ended: it continues",
    "done": "done",
}
NAMED_SINGLY = 200
"""More jobs than these are counted, step by step."""


def run_pipeline(
    name: str, assignments: list[str], plugins: list[Path], dry_run: bool, workers: int | None, only: list[str]
) -> dict[str, Failure]:
    """Do what is not done of a pipeline (of the steps in `only`, if any are named).

    Returns: job label -> why it failed; empty when everything is done.
    Raises: UserError for a pipeline that could not run, Stopped after Ctrl-C or SIGTERM.
    """
    use_plugins(plugins)
    path = find_pipeline(name)
    pipeline = read_pipeline(path, assignments)
    use_plugins(pipeline.plugins)
    jobs = plan(pipeline, str(path))
    open_jobs = _chosen(to_do(jobs), jobs, only)
    if dry_run:
        announce(jobs, open_jobs)
        return {}
    _refuse_at_work(pipeline.run_dir)
    with noted() as wishes, holding(pipeline.run_dir):
        announce(jobs, open_jobs)
        write_plan(pipeline, jobs)
        forget_failed(pipeline.run_dir, {job.fingerprint for job, _ in open_jobs})
        failures = run_jobs([job for job, _ in open_jobs], pipeline.run_dir, workers, tuple(map(str, plugin_folders())), wishes)
    for label, failure in failures.items():
        say(f"{label}: {failure.message}")
    if not failures:
        say(f"{jobs[-1].label}: {jobs[-1].output}")
    return failures


def _refuse_at_work(run_dir: Path) -> None:
    """Raises: UserError while Slurm has jobs of the run: two processes would write one output."""
    labels = [job.label for job in find_at_work(run_dir)] if has_slurm() else []
    if labels:
        todo = f"wait for them, or `teacherlm cancel {shlex.quote(str(run_dir))}`"
        raise UserError(f"{run_dir}: jobs are queued or running on Slurm ({named(labels)}); {todo}.")


def _chosen(open_jobs: list[tuple[Job, State]], jobs: list[Job], only: list[str]) -> list[tuple[Job, State]]:
    """Those of the steps named, in all rounds (`enhance`), in one (`round-2/enhance`), or of a whole round (`round-2`)."""
    known = dict.fromkeys(name for job in jobs for name in _names(job))
    for name in only:
        if name not in known:
            raise unknown("step", name, known)
    return [(job, state) for job, state in open_jobs if not only or _names(job) & set(only)]


def _names(job: Job) -> set[str]:
    return {job.step, job.title, *([f"round-{job.round}"] if job.round else [])}


def announce(jobs: list[Job], open_jobs: list[tuple[Job, State]], at_work: Mapping[Path, str] = MappingProxyType({})) -> None:
    """Say what is to do and why. `at_work`: place -> what Slurm does with its job already."""
    if not open_jobs:
        say(f"Nothing to do: all {len(jobs)} jobs are done.")
        return
    say(f"{len(jobs)} jobs, {len(open_jobs)} to do:")
    if len(open_jobs) > NAMED_SINGLY:
        for (title, why), count in Counter((job.title, at_work.get(job.place) or WHY[state]) for job, state in open_jobs).items():
            say(f"  {title}: {count} jobs: {why}")
        return
    titles = {job.place: job.title for job in jobs}
    last = max(job.round for job in jobs)
    heard = 0
    for job, state in open_jobs:
        if job.round not in (0, heard):
            say(f"  round {job.round} of {last}:")
        heard = job.round
        reads = ", ".join(dict.fromkeys(titles[place] for place in job.needs)) if job.round else ""
        say(f"{'    ' if job.round else '  '}{job.label}: {at_work.get(job.place) or WHY[state]}{f' (reads {reads})' if reads else ''}")
