"""What is asked of Slurm, by its own commands; what it answers goes on as data, its refusals as one line each."""

import re
import shutil
import subprocess
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

from teacherlm.errors import UserError, unknown
from teacherlm.resources import Resources

WAIT_SECONDS = 60
WAITING = ("PENDING", "CONFIGURING", "REQUEUED", "REQUEUE_HOLD", "REQUEUE_FED", "RESV_DEL_HOLD", "SPECIAL_EXIT")
AT_WORK = ("RUNNING", "COMPLETING", "SUSPENDED", "STOPPED", "RESIZING", "SIGNALING", "STAGE_OUT")
AT_ONCE = 500
"""Job numbers in one command."""


@dataclass(frozen=True)
class Queued:
    """One element of an array that Slurm has not done with."""

    state: str
    """running or queued"""
    reason: str
    """Why it waits, in Slurm's word: Priority, Dependency, PartitionNodeLimit, ..."""


@dataclass(frozen=True)
class Partition:
    name: str
    gpus: bool
    nodes: int
    cpus: int
    """Of its largest node."""


def has_slurm() -> bool:
    return shutil.which("sbatch") is not None and shutil.which("squeue") is not None


def require_slurm() -> None:
    """Raises: UserError where there is no Slurm."""
    if not has_slurm():
        raise UserError("there is no `sbatch` on PATH: this is no login node of a Slurm cluster. `teacherlm run` does the same here.")


def ask(command: Sequence[str]) -> str:
    """stdout. Raises: UserError with what the command said when it fails."""
    try:
        done = subprocess.run(command, capture_output=True, text=True, timeout=WAIT_SECONDS, check=False, stdin=subprocess.DEVNULL)
    except FileNotFoundError:
        raise UserError(f"there is no `{command[0]}` on PATH: this is no login node of a Slurm cluster.") from None
    except subprocess.TimeoutExpired:
        raise UserError(f"{command[0]}: Slurm did not answer within {WAIT_SECONDS} seconds.") from None
    if done.returncode:
        raise UserError(f"{command[0]}: {one_line(done.stderr) or f'ended with {done.returncode}'}")
    return done.stdout


def one_line(words: str) -> str:
    """`sbatch: error: Batch job submission failed: Invalid account` -> its sentences in one line."""
    lines = [re.sub(r"^\w+: (error|fatal): ", "", line).strip() for line in words.splitlines()]
    return "; ".join(dict.fromkeys(filter(None, lines)))


def read_max_array() -> int:
    """Most elements of one array."""
    found = re.search(r"^MaxArraySize\s*=\s*(\d+)", ask(["scontrol", "show", "config"]), re.MULTILINE)
    return max(1, int(found[1])) if found else 1001  # the highest index is one less


def read_partitions() -> dict[str, Partition]:
    found: dict[str, Partition] = {}
    for line in ask(["sinfo", "--noheader", "--Node", "--format=%R|%G|%c"]).splitlines():
        name, gres, cpus = line.split("|")
        before = found.get(name, Partition(name, gpus=False, nodes=0, cpus=0))
        found[name] = Partition(name, before.gpus or "gpu" in gres, before.nodes + 1, max(before.cpus, int(cpus.rstrip("+"))))
    return found


def read_default_partition() -> str:
    """ "" where the cluster has none."""
    names = ask(["sinfo", "--noheader", "--format=%P"]).split()
    return next((name[:-1] for name in names if name.endswith("*")), "")


def require_possible(wanted: Resources, partitions: Mapping[str, Partition], default: str, where: str) -> None:
    """Raises: UserError for what the cluster does not have."""
    names = wanted.partition.split(",") if wanted.partition else [default] if default else list(partitions)
    for name in names:
        if name not in partitions:
            raise UserError(f"{where}.partition: {unknown('partition', name, partitions)}")
    meant = [partitions[name] for name in names]
    if wanted.gpu_count and not any(partition.gpus for partition in meant):
        elsewhere = [partition.name for partition in partitions.values() if partition.gpus]
        hint = f"partitions with GPUs: {', '.join(elsewhere)}" if elsewhere else "no partition of this cluster has any"
        raise UserError(f"{where}.gpus: {wanted.gpus}: no node of partition {', '.join(names)} has GPUs; {hint}.")
    for key, asked, most in (
        ("nodes", wanted.nodes, max(partition.nodes for partition in meant)),
        ("cpus", wanted.cpus or 1, max(partition.cpus for partition in meant)),
    ):
        if asked > most:
            on = " on a node" if key == "cpus" else ""
            raise UserError(f"{where}.{key}: {asked}: partition {', '.join(names)} has {most}{on}.")


def submit(command: Sequence[str]) -> str:
    """Slurm's number of the new job. Raises: UserError with sbatch's refusal."""
    return ask(command).strip().split("\n")[-1].split(";")[0]


def read_queue() -> dict[tuple[str, str, int], Queued]:
    """(array's number, its name, index) -> what Slurm says of it, for this user's jobs."""
    found: dict[tuple[str, str, int], Queued] = {}
    for line in ask(["squeue", "--me", "--array", "--noheader", "--format=%F|%K|%T|%j|%r"]).splitlines():
        number, index, state, name, reason = line.split("|", 4)
        if index.isdigit() and state in (*WAITING, *AT_WORK):
            found[number, name, int(index)] = Queued("running" if state in AT_WORK else "queued", reason)
    return found


def cancel(elements: Iterable[str]) -> None:
    """`elements`: numbers of arrays, or 12_3 for one element."""
    numbers = list(elements)
    for start in range(0, len(numbers), AT_ONCE):
        ask(["scancel", *numbers[start : start + AT_ONCE]])


def read_ends(number: str) -> dict[int, str]:
    """Index -> how an array's elements ended, as far as Slurm still knows: accounting where there is one, else its memory."""
    for reader in (_from_accounting, _from_memory):
        try:
            if found := reader(number):
                return found
        except UserError:  # no accounting, or the job is forgotten
            continue
    return {}


def _from_accounting(number: str) -> dict[int, str]:
    lines = ask(["sacct", "--allocations", "--noheader", "--parsable2", f"--jobs={number}", "--format=JobID,State"]).splitlines()
    pairs = [line.split("|") for line in lines]
    return {int(job.partition("_")[2]): state for job, state in pairs if job.partition("_")[2].isdigit()}


def _from_memory(number: str) -> dict[int, str]:
    found: dict[int, str] = {}
    for line in ask(["scontrol", "--oneliner", "show", "job", number]).splitlines():
        indices, state = re.search(r" ArrayTaskId=(\S+) ", line), re.search(r" JobState=(\w+) ", line)
        if indices and state:
            found.update((index, state[1]) for index in parse_indices(indices[1]))
    return found


def parse_indices(words: str) -> list[int]:
    """`3,7-9%4` -> [3, 7, 8, 9]"""
    found: list[int] = []
    for part in words.partition("%")[0].split(","):
        if match := re.fullmatch(r"(\d+)(?:-(\d+)(?::(\d+))?)?", part):
            found += range(int(match[1]), int(match[2] or match[1]) + 1, int(match[3] or 1))
    return found
