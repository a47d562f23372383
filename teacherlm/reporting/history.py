"""How the students came to be: the jobs behind the measurements, what they kept, cost and ran with."""

import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from teacherlm.reporting.measured import Student, checkpoint_facts
from teacherlm.reporting.runs import name_runs
from teacherlm.store.files import read_jsonl
from teacherlm.store.manifest import Manifest, lineage

STAGES = ("prepare", "enhance", "postprocess", "finetune", "evaluate")


@dataclass(frozen=True)
class Job:
    """One finished job behind a report."""

    path: Path
    manifest: Manifest
    of_run: str = ""
    """The run that it is of, where another run has a job of the same name."""

    @property
    def name(self) -> str:
        return f"{self.of_run}/{self.own_name}" if self.of_run else self.own_name

    @property
    def own_name(self) -> str:
        """`finetune/1b3-cot_tail-0`: the step's folder, with the matrix labels where it has any, in rounds with the round's."""
        if re.fullmatch(r"round-\d+", "".join(self.path.parts[-3:-2])):
            return "/".join(self.path.parts[-3:])
        return "/".join(self.path.parts[-2:]) if self.manifest.entry else self.path.name


@dataclass(frozen=True)
class Training:
    """The learning curve of one student: one entry per logging step."""

    steps: tuple[int, ...]
    losses: tuple[float, ...]
    tokens: tuple[int, ...]
    """Tokens trained on so far."""


def read_jobs(folders: Iterable[Path]) -> list[Job]:
    """Every job behind these outputs, each once, by stage and then by time."""
    jobs = _told_apart(list({path: Job(path, manifest) for folder in folders for path, manifest in lineage(folder)}.values()))
    return sorted(jobs, key=lambda job: (_place(job.manifest.stage), job.manifest.started, job.name))


def _told_apart(jobs: Sequence[Job]) -> list[Job]:
    """All jobs of runs that have jobs of the same name bear their run's."""
    named: dict[str, list[Path]] = {}
    for job in jobs:
        named.setdefault(job.own_name, []).append(_run_of(job))
    names = name_runs([run for runs in named.values() if len(runs) > 1 for run in runs])
    return [replace(job, of_run=names.get(_run_of(job), "")) for job in jobs]


def _run_of(job: Job) -> Path:
    return job.path.absolute().parents[len(Path(job.own_name).parts) - 1]


def _place(stage: str) -> int:
    return STAGES.index(stage) if stage in STAGES else len(STAGES)


def funnels(jobs: Iterable[Job]) -> dict[str, Mapping[str, Any]]:
    """Name of the `postprocess` job -> what went in, what each gate found, what was kept."""
    return {job.name: job.manifest.facts["funnel"] for job in jobs if "funnel" in job.manifest.facts}


def overlaps(jobs: Iterable[Job]) -> list[dict[str, Any]]:
    """One row per training set and task that was measured: how many of its questions are trained on, word for word or in part."""
    found: dict[tuple[str, str], dict[str, Any]] = {}
    by_path = {str(job.path): job for job in jobs}
    for job in by_path.values():
        given = Path(str(job.manifest.config.get("input")))
        trained = by_path.get(str(given)) or by_path.get(str(given.parent))  # it may have been one checkpoint
        for task, counts in job.manifest.facts.get("overlap", {}).items():
            where = str(trained.manifest.config.get("input", "")) if trained else ""
            column = str(trained.manifest.config.get("train_on", "cot_tail")) if trained else ""
            found[where + column, task] = {"task": task, "trained_on": column, "input": Path(where).name, **counts}
    return list(found.values())


def timings(jobs: Iterable[Job]) -> list[dict[str, Any]]:
    """One row per job: stage, name, seconds, host, counts."""
    return [
        {
            "stage": job.manifest.stage,
            "job": job.name,
            "seconds": job.manifest.seconds,
            "host": job.manifest.host,
            "counts": dict(job.manifest.counts),
        }
        for job in jobs
    ]


def versions(jobs: Iterable[Job]) -> dict[str, str]:
    """Package -> version; all of them, where jobs ran with different ones."""
    found: dict[str, list[str]] = {}
    for job in jobs:
        commit = {"git commit": job.manifest.git_commit} if job.manifest.git_commit else {}
        for package, version in {**job.manifest.versions, **commit}.items():
            if version not in found.setdefault(package, []):
                found[package].append(version)
    return {package: ", ".join(several) for package, several in found.items()}


def commands(jobs: Sequence[Job]) -> list[str]:
    """The command lines that made all this, each once, in the order they were given."""
    in_time = sorted(jobs, key=lambda job: job.manifest.started)
    return list(dict.fromkeys(job.manifest.command for job in in_time if job.manifest.command))


def read_training(student: Student) -> Training | None:
    """The learning curve of a student; None when it is untrained or its `metrics.jsonl` is gone."""
    path = Path(student.run) / "metrics.jsonl"
    if not student.run or not path.is_file() or not path.stat().st_size:
        return None
    rows = [row for _, row in read_jsonl(path) if row.get("loss") is not None]
    return Training(
        tuple(int(row["step"]) for row in rows),
        tuple(float(row["loss"]) for row in rows),
        tuple(int(row.get("tokens") or 0) for row in rows),
    )


def cost(student: Student, checkpoint: str, step: int, training: Training | None) -> dict[str, float | None]:
    """`train_loss` and `trained_tokens` of one checkpoint: as sealed into it, else as logged up to its step."""
    logged = [i for i, at in enumerate(training.steps) if at <= step] if training else []
    tokens = checkpoint_facts(student, checkpoint).get("trained_tokens")
    if tokens is None and training and logged:
        tokens = training.tokens[logged[-1]] or None
    return {"train_loss": training.losses[logged[-1]] if training and logged else None, "trained_tokens": tokens}
