"""A pipeline file -> what is not done yet -> arrays in Slurm's hands."""

import shlex
from collections.abc import Iterator, Mapping
from pathlib import Path

from teacherlm.catalog import plugin_folders, use_plugins
from teacherlm.errors import UserError
from teacherlm.launch import cluster
from teacherlm.launch.at_work import AtWork, find_at_work, named
from teacherlm.launch.job import frozen, list_line, write_list
from teacherlm.launch.local import FAILURES, holding
from teacherlm.launch.planned import write_plan
from teacherlm.launch.records import Submitted, forget_failed, now, slurm_folder, write_submitted
from teacherlm.launch.run import announce
from teacherlm.launch.slurm import Array, arguments, arrays, script
from teacherlm.log import say
from teacherlm.pipeline import Pipeline, find_pipeline, read_pipeline
from teacherlm.plan import Job, plan, to_do
from teacherlm.store.files import writing
from teacherlm.store.fingerprint import digest

USUAL_MAX_ARRAY = 1001
"""Slurm's own default, for a dry run where there is no Slurm."""


def submit_pipeline(name: str, assignments: list[str], plugins: list[Path], dry_run: bool) -> list[str]:
    """Hand what is neither done nor queued to Slurm; a dry run prints the words on stdout and does nothing.

    Returns: Slurm's numbers of the new arrays.
    Raises: UserError for a pipeline that could not run, for resources the cluster does not have, and when jobs in Slurm's hands
    belong to another version of the pipeline.
    """
    use_plugins(plugins)
    path = find_pipeline(name)
    pipeline = read_pipeline(path, assignments)
    use_plugins(pipeline.plugins)
    most = _read_max_array(dry_run)
    jobs = plan(pipeline, str(path))
    at_work = {job.place: job for job in find_at_work(pipeline.run_dir)} if most else {}
    refuse_changed(jobs, at_work, pipeline.run_dir)
    open_jobs = to_do(jobs)
    new = [job for job, _ in open_jobs if job.place not in at_work]
    if most:
        _require_possible(new, str(path))
    announce(jobs, open_jobs, {place: job.state for place, job in at_work.items()})
    parts = arrays(new, most or USUAL_MAX_ARRAY)
    if dry_run:
        _print(parts, jobs, at_work, pipeline.run_dir)
        return []
    if not parts:
        return []
    with holding(pipeline.run_dir):
        write_plan(pipeline, jobs)
        (pipeline.run_dir / FAILURES).unlink(missing_ok=True)
        forget_failed(pipeline.run_dir, {job.fingerprint for job in new})
        numbers = _submit_all(parts, jobs, at_work, pipeline)
    watch = shlex.join(["teacherlm", "status", str(pipeline.run_dir)])
    say(f"submitted {len(new)} jobs as {', '.join(numbers)}; `{watch}` says how far they are.")
    return numbers


def _read_max_array(dry_run: bool) -> int | None:
    """None where there is no Slurm and a dry run does not need one. Raises: UserError where there is none else."""
    try:
        cluster.require_slurm()
        return cluster.read_max_array()
    except UserError as error:
        if not dry_run:
            raise
        say(f"{error} So what follows is not checked against a cluster.")
        return None


def refuse_changed(jobs: list[Job], at_work: Mapping[Path, AtWork], run_dir: Path) -> None:
    """Raises: UserError naming jobs in Slurm's hands that the pipeline, as it is now, does not have."""
    planned = {job.place: job.fingerprint for job in jobs}
    others = [job.label for place, job in at_work.items() if planned.get(place) != job.fingerprint]
    if others:
        todo = f"wait for them, or `{shlex.join(['teacherlm', 'cancel', str(run_dir)])}`"
        what = "the pipeline or what it reads has changed, and jobs of the old one are queued or running"
        raise UserError(f"{run_dir}: {what} ({named(others)}); {todo}.")


def _require_possible(jobs: list[Job], where: str) -> None:
    asked = {job.slurm.model_dump_json(): job for job in jobs}
    partitions, default = cluster.read_partitions(), cluster.read_default_partition()
    for job in asked.values():
        cluster.require_possible(job.slurm, partitions, default, f"{where}: {job.step}.slurm")


def _submit_all(parts: list[Array], jobs: list[Job], at_work: Mapping[Path, AtWork], pipeline: Pipeline) -> list[str]:
    """Raises: UserError with sbatch's refusal; what was handed over before stays, and the next submit goes on from there."""
    folder, cwd = slurm_folder(pipeline.run_dir.absolute()), Path.cwd()
    (folder / "logs").mkdir(parents=True, exist_ok=True)
    numbers: list[str] = []
    for array, lines in zip(parts, _lines(parts, jobs), strict=True):
        file = list_file(array, folder)
        write_list(file, lines)
        words = file.with_suffix(".sh")
        with writing(words) as out:
            out.write(script(array, file, pipeline.run_dir.absolute(), cwd).encode())
        after = [numbers[i] for i in array.after] + _arrays_of(array, at_work)
        try:
            number = cluster.submit(arguments(array, folder, after, words, cwd))
        except UserError as error:
            before = f" ({len(numbers)} of {len(parts)} arrays are submitted)" if numbers else ""
            raise UserError(f"{array.title}: {error}{before}") from None
        numbers.append(number)
        about = [(job.label, job.fingerprint, str(job.place.relative_to(pipeline.run_dir))) for job in array.jobs]
        labels, marks, places = zip(*about, strict=True)
        write_submitted(pipeline.run_dir, Submitted(number, array.name, file.name, labels, marks, places, now()))
    return numbers


def _arrays_of(array: Array, at_work: Mapping[Path, AtWork]) -> list[str]:
    """Arrays handed over before that make what this one needs."""
    return list(dict.fromkeys(at_work[place].array for place in array.after_places if place in at_work))


def _lines(parts: list[Array], jobs: list[Job]) -> Iterator[list[bytes]]:
    needed = {job.place: job for job in jobs}
    plugins = tuple(map(str, plugin_folders()))
    for array in parts:
        yield [list_line(frozen(job, plugins, needed)) for job in array.jobs]


def list_file(array: Array, folder: Path) -> Path:
    """Named by what is in it: the same jobs are always the same file."""
    return folder / f"{array.name}-{digest([job.fingerprint for job in array.jobs])}.jsonl"


def _print(parts: list[Array], jobs: list[Job], at_work: Mapping[Path, AtWork], run_dir: Path) -> None:
    """The exact words; the number of an array that is not submitted yet is ARRAY1, ARRAY2, ..."""
    folder, cwd = slurm_folder(run_dir.absolute()), Path.cwd()
    for number, array in enumerate(parts, start=1):
        file = list_file(array, folder)
        after = [f"ARRAY{i + 1}" for i in array.after] + _arrays_of(array, at_work)
        print(f"# ARRAY{number}: {array.title}, {len(array.jobs)} jobs: {named([job.label for job in array.jobs])}")
        print(shlex.join(arguments(array, folder, after, file.with_suffix(".sh"), cwd)))
        print(f"# {shlex.quote(str(file.with_suffix('.sh')))}:")
        print(script(array, file, run_dir.absolute(), cwd))
