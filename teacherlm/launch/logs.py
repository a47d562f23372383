"""Where a job's own words lie, and the last of them."""

import re
from collections.abc import Mapping
from pathlib import Path

from teacherlm.errors import UserError, unknown
from teacherlm.launch.planned import Planned, read_plan
from teacherlm.launch.records import log_of, read_submitted

TAIL_BYTES = 8192
SAID = "teacherlm: "
"""Begins the line of a UserError."""


def find_logs(run_dir: Path, labels: set[str] | None = None) -> dict[str, Path]:
    """Label -> its newest log, of `run` here or of a Slurm job; only what exists. `labels` None: of all."""
    found: dict[str, Path] = {}
    for record in read_submitted(run_dir):
        for index, label in enumerate(record.labels):
            if labels is None or label in labels:
                found[label] = log_of(run_dir, record.job, index)
    for label in labels if labels is not None else {job.label for job in read_plan(run_dir)}:
        here = run_dir / "logs" / f"{label}.log"
        there = found.get(label)
        if here.is_file() and (there is None or not there.is_file() or there.stat().st_mtime < here.stat().st_mtime):
            found[label] = here
    return {label: path for label, path in found.items() if path.is_file()}


def choose_jobs(run_dir: Path, step: str, job: str) -> list[Planned]:
    """The jobs of a step (`enhance`, `round-2/enhance`), or the one named: `enhance 3-of-16`, `finetune 1b3-0`, or its whole label.

    Raises: UserError naming what there is.
    """
    jobs = read_plan(run_dir)
    steps = dict.fromkeys(planned.title for planned in jobs)
    if step not in steps:
        if any(planned.label == step for planned in jobs) and not job:
            return [planned for planned in jobs if planned.label == step]
        raise unknown("step", step, steps)
    mine = {planned.label: planned for planned in jobs if planned.title == step}
    if not job:
        return list(mine.values())
    short = {label.removeprefix(f"{step}/"): planned for label, planned in mine.items()}
    if job not in short and job not in mine:
        raise unknown(f"job of {step}", job, short)
    return [short.get(job) or mine[job]]


def read_tail(path: Path, lines: int) -> list[str]:
    """The last lines, without empty ones."""
    with path.open("rb") as file:
        size = file.seek(0, 2)
        file.seek(max(0, size - TAIL_BYTES * max(1, lines // 20)))
        text = file.read().decode(errors="replace")
    return [line for line in text.splitlines() if line.strip()][-lines:]


def last_words(path: Path) -> str:
    """The line that says most about how a job ended: ours, else Slurm's, else the last."""
    lines = read_tail(path, 40)
    begun = [number for number, line in enumerate(lines) if re.search(r" \(job \S+ on \S+\)$", line)]
    lines = lines[begun[-1] + 1 :] if begun else lines  # of the last attempt
    said = [line.removeprefix(SAID) for line in lines if line.startswith(SAID)]
    slurm = [line.partition(" error: ")[2] for line in lines if re.match(r"(slurmstepd|srun|slurmd): error: ", line)]
    return (said or slurm or lines or [""])[-1].strip("* ")


def seconds_left(logs: Mapping[str, Path]) -> int | None:
    """The longest of what the jobs' progress lines promise (`..., 6:23 left`); None where none says."""
    promised = []
    for path in logs.values():
        found = [re.search(r"(\d+(?::\d\d){1,2}) left", line) for line in read_tail(path, 20)]
        times = [match[1] for match in found if match]
        if times:
            promised.append(_seconds(times[-1]))
    return max(promised, default=None)


def _seconds(time: str) -> int:
    total = 0
    for part in time.split(":"):
        total = total * 60 + int(part)
    return total


def require_log(run_dir: Path, label: str, logs: Mapping[str, Path]) -> Path:
    """Raises: UserError when the job has said nothing yet."""
    if label not in logs:
        raise UserError(f"{label}: has no log yet (it has not started).")
    return logs[label]
