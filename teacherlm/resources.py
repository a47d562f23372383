"""What the jobs of a step ask of a Slurm cluster: the `slurm:` of a pipeline file and of its steps."""

import re
from typing import Annotated, Any

from pydantic import BeforeValidator, Field

from teacherlm.errors import UserError
from teacherlm.stage import Settings

TIME = re.compile(r"\d+(:\d\d){0,2}|\d+-\d+(:\d\d){0,2}|UNLIMITED|INFINITE", re.IGNORECASE)
OURS = (
    "array",
    "chdir",
    "dependency",
    "job-name",
    "nodes",
    "ntasks-per-node",
    "open-mode",
    "output",
    "parsable",
    "requeue",
    "signal",
    "wrap",
)
"""Options of sbatch that `submit` gives itself."""
MOST_WARNING_SECONDS = 120
Word = Annotated[str, Field(min_length=1, pattern=r"^[^\x00-\x1f]*$")]


def parse_time(value: Any) -> Any:
    """Raises: UserError for what Slurm does not read as a time, and for a bare 1:30:00, which YAML makes a number of."""
    if value is None or (isinstance(value, str) and TIME.fullmatch(value)):
        return value
    if isinstance(value, int):
        raise UserError('write it in quotes: "90" (minutes), "1:30:00" or "2-00:00:00" (YAML makes a number of 1:30:00).')
    raise UserError(f'expected a time as Slurm writes it, such as "90" (minutes), "1:30:00" or "2-00:00:00", found {value!r}.')


def find_seconds(time: str | None) -> int | None:
    """Of a time as Slurm writes it: "90" (minutes), "1:30" (minutes and seconds), "1:30:00", "2-12" (days and hours)."""
    if time is None or not time[0].isdigit():
        return None
    days, dash, rest = time.rpartition("-")
    parts = [int(part) for part in rest.split(":")]
    units = (3600, 60, 1) if dash or len(parts) == 3 else (60, 1)
    return int(days or 0) * 86400 + sum(part * unit for part, unit in zip(parts, units, strict=False))


def parse_gpus(value: Any) -> Any:
    """A number, or a kind and a number (`a100:4`)."""
    if isinstance(value, str) and not re.fullmatch(r"([A-Za-z][\w.-]*:)?\d+", value):
        raise UserError(f"expected a number of GPUs, or a kind and a number such as a100:4, found {value!r}.")
    return str(value) if isinstance(value, int) and not isinstance(value, bool) and value >= 0 else value


def parse_options(value: Any) -> Any:
    """Raises: UserError for an option that is none, or that another key decides."""
    for name in value if isinstance(value, dict) else ():
        if not re.fullmatch(r"[a-z][a-z-]+", str(name)):
            raise UserError(f"'{name}': expected the long name of an option of sbatch without its dashes, such as reservation.")
        if name in OURS:
            raise UserError(f"'{name}': is given by submit itself.")
    return value


class Resources(Settings):
    partition: Word | None = None
    """Partition; by default the cluster's own default."""
    account: Word | None = None
    """Account that is charged."""
    qos: Word | None = None
    """Quality of service."""
    time: Annotated[str | None, BeforeValidator(parse_time)] = None
    """Time limit of a job, in quotes: "90" (minutes), "1:30:00", "2-00:00:00"; by default the partition's."""
    nodes: Annotated[int, Field(ge=1)] = 1
    """Nodes of one job; more than one for stages that train over several (finetune)."""
    gpus: Annotated[str, BeforeValidator(parse_gpus)] = "0"
    """GPUs of one job on each of its nodes: 8, or a kind too (a100:8). finetune starts a process for each."""
    cpus: Annotated[int | None, Field(ge=1)] = None
    """CPU cores of one job on each of its nodes."""
    mem: Annotated[str | None, Field(pattern=r"^\d+[KMGTkmgt]?$", coerce_numbers_to_str=True)] = None
    """Memory of one job on each of its nodes: 64G."""
    constraint: Word | None = None
    """Features that a node must have, as sbatch spells them: a100|h100."""
    throttle: Annotated[int | None, Field(ge=1)] = None
    """Most jobs of the step that run at a time."""
    requeues: Annotated[int, Field(ge=0)] = 10
    """How often a job whose time is up is queued again; it goes on from what it has saved."""
    options: Annotated[dict[str, str | int | bool], BeforeValidator(parse_options)] = {}
    """Any other options of sbatch by their long names: {reservation: course, exclusive: true}."""
    setup: list[str] = []
    """Lines of shell that a job runs first, as they stand: [module load cuda, export NCCL_DEBUG=INFO]. One that fails ends the job."""
    container: Word | list[Word] | None = None
    """Run inside a container, with its `python`: an image for srun's --container-image (pyxis), or the words that go before the
    command: [apptainer, exec, --nv, image.sif]."""

    @property
    def warning_seconds(self) -> int:
        """How long before its end a job is told that its time is nearly up."""
        seconds = find_seconds(self.time)
        return MOST_WARNING_SECONDS if seconds is None else max(1, min(MOST_WARNING_SECONDS, seconds // 4))

    @property
    def gpu_count(self) -> int:
        """On each node."""
        return int(self.gpus.rpartition(":")[2])
