"""Does one job: checks what lies at the output, runs the stage, writes the manifest last."""

import os
import shlex
import shutil
import socket
import subprocess
import sys
import time
from collections.abc import Iterator, Mapping
from contextlib import suppress
from datetime import datetime, timezone
from functools import cache
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path

from teacherlm.allocation import find_allocation
from teacherlm.catalog import find, plugin_folders, use_plugins
from teacherlm.errors import UserError
from teacherlm.launch.apart import perform_apart
from teacherlm.launch.job import FrozenJob, read_job, write_job
from teacherlm.launch.signals import ending_at_signals, heed_warnings
from teacherlm.launch.torchrun import end_with
from teacherlm.log import mute, quiet_libraries, say
from teacherlm.parsing import parse_config
from teacherlm.stage import Outcome, Stage, StageConfig
from teacherlm.store.files import shard_place, work_folder
from teacherlm.store.fingerprint import Content, content_on_disk, content_to_come, digest, fingerprint, sources
from teacherlm.store.manifest import JOB, Manifest, begun_fingerprint, read_manifest, write_manifest
from teacherlm.together import is_main, world_size

RECORDED_PACKAGES = ("teacherlm", "torch", "transformers", "datasets", "accelerate", "deepspeed", "peft", "lm_eval", "scipy", "pydantic")
STALE = ".stale"
FOLLOW_SECONDS = 120
"""How long the other processes of a job wait for the first to begin."""


def perform(
    name: str, stage: Stage, config: StageConfig, entry: Mapping[str, str] | None = None, overwrite: bool = False, again: bool = False
) -> None:
    """Run a stage unless its output is already there; `again`: also then, from what the stage keeps.

    Raises: UserError when the output holds something else and `overwrite` is off. Nothing is then touched.
    Stopped when a signal ended it early: its job file stays, and the next attempt goes on from what is there.
    """
    heed_warnings()
    if world_size() > 1:
        end_with(os.getppid())
    place = place_of(stage, config)
    content = content_for(config)
    inputs = {source: content(source, mark.kind) for source, mark in sources(config)}
    print_ = job_fingerprint(name, stage, config)
    if is_done(place, print_) and not again:
        say(f"{name}: {config.output} is already done.")
        return
    if not is_main():
        _follow(name, stage, config, place, print_)
        return
    _clear(place, name, stage, config, print_, overwrite)
    entry = entry or {}
    write_job(place, FrozenJob(name, config.model_dump(mode="json"), print_, entry, tuple(map(str, plugin_folders()))))
    if world_size() == 1 and (processes := getattr(config, "processes", None) or 1) > 1:
        perform_apart(work_folder(place) / JOB, processes)
        return
    started = time.time()
    quiet_libraries()
    try:
        with ending_at_signals(name):
            outcome = stage.run(config)
    except UserError:
        _leave_nothing(place, stage.keeps)
        raise
    write_manifest(place, _manifest(name, stage, config, print_, inputs, entry, outcome, started))


def _follow(name: str, stage: Stage, config: StageConfig, place: Path, print_: str) -> None:
    """One of several processes of a job: the first one makes way for it and writes the manifest, this one only works along."""
    quiet_libraries()
    mute()
    until = time.monotonic() + FOLLOW_SECONDS
    while begun_fingerprint(place) != print_:
        if time.monotonic() > until:
            raise UserError(
                f"{place}: the first process of this job, on another node, has not begun; is the folder on a shared file system?"
            )
        time.sleep(0.1)
    with ending_at_signals(name):
        stage.run(config)


def perform_job(path: Path) -> None:
    """Do the job of a frozen file, if what it reads is still what it was planned on.

    Raises: UserError when an input is missing, unfinished, or was made anew with other settings since.
    """
    perform_frozen(read_job(path), str(path))


def perform_frozen(job: FrozenJob, where: str) -> None:
    """As `perform_job`."""
    use_plugins([Path(folder) for folder in job.plugins])
    stage: Stage = find("stages", job.stage)
    config = parse_config(stage.config, job.config, where)
    if job_fingerprint(job.stage, stage, config) != job.fingerprint:
        raise UserError(f"{where}: what this job reads has changed since it was planned; run the pipeline again.")
    perform(job.stage, stage, config, job.entry, overwrite=True)


def place_of(stage: Stage, config: StageConfig) -> Path:
    """Where the job's manifest lies: its output, or for a shard a folder of its own inside."""
    shard = _shard_of(stage, config)
    return shard_place(config.output, shard) if shard else config.output


def job_fingerprint(name: str, stage: Stage, config: StageConfig) -> str:
    """A shard's differs from the whole job's: it is done when its slice is."""
    whole = fingerprint(name, stage, config, content_for(config))
    shard = _shard_of(stage, config)
    return digest(whole, shard) if shard else whole


def content_for(config: StageConfig) -> Content:
    """What a job reads has to be finished, unless it watches it being made."""
    return content_to_come if getattr(config, "watch", False) else content_on_disk


def _shard_of(stage: Stage, config: StageConfig) -> str | None:
    return getattr(config, "shard", None) if stage.sharded else None


def is_done(place: Path, print_: str) -> bool:
    manifest = read_manifest(place)
    return manifest is not None and manifest.fingerprint == print_


def set_aside(output: Path, keeps: tuple[str, ...]) -> None:
    """Move what lies at an output into `.stale/` beside it; folders that stay valid are left where they are."""
    stamp = datetime.now().strftime("%Y%m%d-%H%M%S-%f")
    stale = output.parent / STALE / f"{output.name}-{stamp}"
    for path in _occupied(output, keeps):
        target = stale / path.relative_to(output.parent)
        target.parent.mkdir(parents=True, exist_ok=True)
        path.rename(target)


def _occupied(output: Path, keeps: tuple[str, ...]) -> list[Path]:
    """What stands in the way of a fresh start at an output. A job that was refused left nothing but its file."""
    folder = work_folder(output)
    inside = [p for p in sorted(folder.iterdir()) if p.name not in (*keeps, "shards")] if folder.is_dir() else []
    if [p.name for p in inside] == [JOB]:
        inside = []
    return inside + ([output] if folder != output and output.exists() else [])


def _clear(place: Path, name: str, stage: Stage, config: StageConfig, print_: str, overwrite: bool) -> None:
    """Make way for the job, or refuse. An attempt with the same fingerprint that was cut short is continued.

    One with the same settings whose inputs have changed since, such as a task that failed and was mended, goes on from what it keeps.
    """
    if place.is_file() and work_folder(place) == place:
        raise UserError(f"{place}: is a file; give a folder.")
    if not _occupied(place, stage.keeps) or (begun_fingerprint(place) == print_ and read_manifest(place) is None):
        return
    goes_on = bool(stage.keeps) and read_manifest(place) is None and _was_told_the_same(place, name, stage, config)
    if goes_on:
        say(f"{place}: what it reads has changed since it was begun; the beginning moves to {STALE}/, {' and '.join(stage.keeps)} stays.")
    elif not overwrite:
        what = "was made with other settings or from other inputs" if begun_fingerprint(place) else "already exists and is not this tool's"
        kept = [name for name in stage.keeps if (work_folder(place) / name).exists()]
        stays = f"; what is in {' and '.join(kept)} stays, and is not done again" if kept else ""
        raise UserError(f"{place}: {what}; choose another --output, or --overwrite to redo it (the old one moves to {STALE}/{stays}).")
    set_aside(place, stage.keeps)


def _was_told_the_same(place: Path, name: str, stage: Stage, config: StageConfig) -> bool:
    """Whether what was begun here differs from the job in nothing but the contents of its inputs."""
    if begun_fingerprint(place) is None:
        return False

    def of_words(told: StageConfig) -> str:
        return fingerprint(name, stage, told, lambda *_: "")

    begun = read_job(work_folder(place) / JOB)
    with suppress(UserError):  # settings of an older version
        return begun.stage == name and of_words(parse_config(stage.config, begun.config)) == of_words(config)
    return False


def _leave_nothing(place: Path, keeps: tuple[str, ...]) -> None:
    """After a refusal: take the job's file away again if it is all there is."""
    folder = work_folder(place)
    if not _occupied(place, keeps):
        (folder / JOB).unlink(missing_ok=True)
        with suppress(OSError):  # not empty: a ledger, for one
            folder.rmdir()


def _manifest(
    name: str,
    stage: Stage,
    config: StageConfig,
    print_: str,
    inputs: Mapping[str, str],
    entry: Mapping[str, str],
    outcome: Outcome,
    started: float,
) -> Manifest:
    ended = time.time()
    return Manifest(
        stage=name,
        version=stage.version,
        fingerprint=print_,
        config=config.model_dump(mode="json"),
        inputs=inputs,
        entry=entry,
        counts=outcome.counts,
        metrics=outcome.metrics,
        facts=outcome.facts,
        started=_iso(started),
        ended=_iso(ended),
        seconds=round(ended - started, 3),
        host=socket.gethostname(),
        slurm=vars(allocation) if (allocation := find_allocation()) else {},
        versions=_versions(),
        git_commit=_git_commit(),
        command=shlex.join(["teacherlm", *sys.argv[1:]]),
    )


def _iso(seconds: float) -> str:
    return datetime.fromtimestamp(seconds, timezone.utc).isoformat(timespec="seconds")


@cache
def _versions() -> dict[str, str]:
    return {"python": sys.version.split()[0], **dict(_installed())}


def _installed() -> Iterator[tuple[str, str]]:
    for package in RECORDED_PACKAGES:
        try:
            yield package, version(package)
        except PackageNotFoundError:
            continue


@cache
def _git_commit() -> str:
    """The commit of the user's working folder; "" outside a checkout."""
    git = shutil.which("git")
    if git is None:
        return ""
    found = subprocess.run([git, "rev-parse", "HEAD"], capture_output=True, text=True, check=False)
    return found.stdout.strip() if found.returncode == 0 else ""
