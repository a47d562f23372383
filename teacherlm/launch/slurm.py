"""The words for sbatch: each step one array for each kind of resources, as an argument list and a script. Pure: nothing is run here.

Whatever a user typed reaches Slurm as one argument, or stands in the script quoted; only the lines of `setup` are shell.
"""

import re
import shlex
import sys
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from itertools import groupby, islice
from pathlib import Path

from teacherlm.catalog import find
from teacherlm.errors import UserError
from teacherlm.interrupt import WARNED
from teacherlm.launch.requeue import REQUEUES
from teacherlm.plan import Job
from teacherlm.resources import Resources

HEAD_NODE = 'head=$(scontrol show hostnames "$SLURM_JOB_NODELIST" | head -n1)'
EARLY_WARNING = f"trap 'export {WARNED}=1' USR1"
"""While `setup` runs nobody else hears Slurm's warning; the job is told of it when it begins."""
PORT = "$((20000 + SLURM_JOB_ID % 20000))"


@dataclass(frozen=True)
class Array:
    """Jobs of one step that ask for the same resources, few enough for one array."""

    title: str
    jobs: tuple[Job, ...]
    resources: Resources
    after: tuple[int, ...]
    """Numbers (in the list of arrays) of those that have to end first."""
    after_places: tuple[Path, ...]
    """What it needs that none of them makes."""

    @property
    def name(self) -> str:
        """For Slurm and for files: letters that mean nothing to either."""
        return "teacherlm-" + re.sub(r"[^A-Za-z0-9_.=+-]+", "_", self.title)[:80]


def arrays(jobs: Iterable[Job], most: int) -> list[Array]:
    """Jobs in plan order -> arrays of at most `most`, each behind those it needs."""
    found: list[Array] = []
    made_by: dict[Path, int] = {}
    for title, group in groupby(jobs, key=lambda job: job.title):
        for resources, alike in _by_resources(group):
            while piece := tuple(islice(alike, most)):
                needs = dict.fromkeys(place for job in piece for place in job.needs)
                after = tuple(dict.fromkeys(made_by[place] for place in needs if place in made_by))
                found.append(Array(title, piece, resources, after, tuple(place for place in needs if place not in made_by)))
                made_by.update((job.place, len(found) - 1) for job in piece)
    return found


def _by_resources(jobs: Iterable[Job]) -> Iterator[tuple[Resources, Iterator[Job]]]:
    """The shards of a step first: its whole jobs need them."""
    groups: dict[tuple[bool, str], list[Job]] = {}
    for job in sorted(jobs, key=lambda job: not job.is_shard):
        groups.setdefault((job.is_shard, job.slurm.model_dump_json()), []).append(job)
    for alike in groups.values():
        yield alike[0].slurm, iter(alike)


def arguments(array: Array, folder: Path, after: Iterable[str], script: Path, cwd: Path) -> list[str]:
    """The whole command, `sbatch` first."""
    wanted = array.resources
    dependencies = [f"--dependency=afterany:{':'.join(after)}"] if (after := list(after)) else []
    chosen = {
        "partition": wanted.partition,
        "account": wanted.account,
        "qos": wanted.qos,
        "time": wanted.time,
        "gpus-per-node": wanted.gpus if wanted.gpu_count else None,
        "cpus-per-task": wanted.cpus,
        "mem": wanted.mem,
        "constraint": wanted.constraint,
    }
    return [
        "sbatch",
        "--parsable",
        f"--job-name={array.name}",
        f"--array=0-{len(array.jobs) - 1}{f'%{wanted.throttle}' if wanted.throttle else ''}",
        *dependencies,
        f"--nodes={wanted.nodes}",
        "--ntasks-per-node=1",
        *([f"--signal=B:USR1@{wanted.warning_seconds}", "--requeue"] if wanted.requeues else []),
        *(f"--{name}={value}" for name, value in chosen.items() if value is not None),
        *_others(wanted.options),
        f"--chdir={cwd}",
        f"--output={_literal(folder / 'logs')}/%A_%a.log",
        "--open-mode=append",
        str(script),
    ]


def _others(options: Mapping[str, str | int | bool]) -> Iterator[str]:
    for name, value in options.items():
        if value is not False:
            yield f"--{name}" if value is True else f"--{name}={value}"


def _literal(path: Path) -> str:
    """sbatch fills in %j and the like."""
    return str(path).replace("%", "%%")


def script(array: Array, file: Path, run_dir: Path, cwd: Path) -> str:
    """What each element runs: its line of the list."""
    wanted = array.resources
    unseen = f"teacherlm: {run_dir} is not there on this node; put run_dir on a file system that all nodes share."
    lines = [
        "#!/bin/bash",
        "# One element of an array does one line of the list (written by `teacherlm submit`).",
        "set -e",
        f"[ -f {shlex.quote(str(file))} ] || {{ printf '%s: %s\\n' \"$(hostname)\" {shlex.quote(unseen)} >&2; exit 2; }}",
        *([EARLY_WARNING] if wanted.requeues and wanted.setup else []),
        *wanted.setup,
        *([f"export {REQUEUES}={wanted.requeues}"] if wanted.requeues else []),
        *([HEAD_NODE] if wanted.nodes > 1 else []),
        f"exec {' '.join(_command(array, file, run_dir, cwd))}",
    ]
    return "\n".join(lines) + "\n"


def _command(array: Array, file: Path, run_dir: Path, cwd: Path) -> list[str]:
    """Words of shell, quoted where they are not ours."""
    wanted = array.resources
    job = ["-m", "teacherlm.cli", "job", shlex.quote(str(file)), "--line", '"$SLURM_ARRAY_TASK_ID"']
    inside = _container(wanted, run_dir, cwd)
    several = find("stages", array.jobs[0].stage).distributed and (wanted.nodes > 1 or wanted.gpu_count > 1)
    with_srun = wanted.nodes > 1 or isinstance(wanted.container, str)
    python = "python" if wanted.container else shlex.quote(sys.executable)
    return [*(["srun"] if with_srun else []), *inside, python, *(_torchrun(wanted) if several else []), *job]


def _torchrun(wanted: Resources) -> list[str]:
    each = ["-m", "teacherlm.launch.torchrun", "--nproc-per-node", str(wanted.gpu_count or 1)]
    if wanted.nodes == 1:
        return [*each, "--standalone"]
    meeting = ["--rdzv-backend", "c10d", "--rdzv-id", '"$SLURM_JOB_ID"', "--rdzv-endpoint", f'"$head:{PORT}"']
    return [*each, "--nnodes", str(wanted.nodes), *meeting]


def _container(wanted: Resources, run_dir: Path, cwd: Path) -> list[str]:
    """Raises: UserError for a folder that cannot be named in srun's list of mounts."""
    if wanted.container is None:
        return []
    if not isinstance(wanted.container, str):
        return [shlex.quote(word) for word in wanted.container]
    folders = list(dict.fromkeys([str(cwd), str(run_dir)]))
    for folder in folders:
        if re.search(r"[,:]", folder):
            raise UserError(f"{folder}: a folder with a comma or colon in its name cannot be mounted into a container.")
    mounts = ",".join(f"{folder}:{folder}" for folder in folders)
    words = [f"--container-image={wanted.container}", f"--container-mounts={mounts}", f"--container-workdir={cwd}"]
    return [shlex.quote(word) for word in words]
