"""A pipeline file as it was written: read, changed by `--set`, checked for shape. What it means is `plan.py`'s."""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from teacherlm.errors import UserError, unknown
from teacherlm.parsing import assign, parse_assignment, parse_config, read_yaml
from teacherlm.shipped import shipped_folder
from teacherlm.stage import Settings

ABOUT_THE_STEP = ("name", "matrix", "shards", "slurm")


class Pipeline(Settings):
    """The top level of a pipeline file."""

    run_dir: Path
    """Folder of the run; every step writes below it."""
    seed: int | None = None
    """Given to every step that has a `seed` and does not set its own."""
    plugins: list[Path] = []
    """Folders laid out like the rooms, searched for datasets, engines, objectives, stages."""
    slurm: dict[str, Any] = {}
    """Resources of every step, unless the step names its own."""
    steps: list[Any]
    """The chain, in order: `- stage: {settings}`."""


@dataclass(frozen=True)
class Step:
    name: str
    stage: str
    settings: Mapping[str, Any]
    """As written, references (`$step`) unresolved."""
    matrix: Mapping[str, Any]
    shards: int
    slurm: Mapping[str, Any]
    where: str
    """For messages: `file: steps.name`."""


def find_pipeline(name: str) -> Path:
    """A file, or the name of a pipeline that comes with the package.

    Raises: UserError when it is neither.
    """
    path = Path(name)
    if path.is_file():
        return path
    shipped = {p.stem: p for p in sorted(shipped_folder("pipelines").glob("*.yaml"))}
    if path.suffix or len(path.parts) > 1:
        raise UserError(f"{name}: no such file. Pipelines that come with the package: {', '.join(shipped)}.")
    if name not in shipped:
        raise unknown("pipeline", name, shipped)
    return shipped[name]


def read_pipeline(path: Path, assignments: list[str]) -> Pipeline:
    """The file with `--set step.key=value` (or `--set seed=1`) applied.

    Raises: UserError naming file and key.
    """
    values = read_yaml(path)
    for assignment in assignments:
        _assign(values, assignment)
    return parse_config(Pipeline, values, str(path))


def steps_of(pipeline: Pipeline, where: str) -> list[Step]:
    """Raises: UserError for a step that is not `- stage: {settings}`, and for two steps of one name."""
    steps: list[Step] = []
    for number, item in enumerate(pipeline.steps):
        step = _parse_step(item, pipeline, f"{where}: steps[{number}]", where)
        if any(other.name == step.name for other in steps):
            raise UserError(f"{step.where}: two steps are named '{step.name}'; give one of them a `name:`.")
        steps.append(step)
    if not steps:
        raise UserError(f"{where}: steps: is empty.")
    return steps


def _parse_step(item: Any, pipeline: Pipeline, place: str, where: str) -> Step:
    if not isinstance(item, Mapping) or len(item) != 1:
        raise UserError(f"{place}: expected one stage with its settings, such as `- prepare: {{dataset: creak}}`.")
    ((stage, given),) = item.items()
    given = {} if given is None else given
    if not isinstance(given, Mapping):
        raise UserError(f"{place}.{stage}: expected settings as `key: value`, found {given!r}.")
    name = str(given.get("name", stage))
    shards = given.get("shards", 1)
    if not isinstance(shards, int) or isinstance(shards, bool) or shards < 1:
        raise UserError(f"{where}: {name}.shards: expected a whole number from 1, found {shards!r}.")
    return Step(
        name=name,
        stage=str(stage),
        settings={key: value for key, value in given.items() if key not in ABOUT_THE_STEP},
        matrix=_mapping(given.get("matrix", {}), f"{where}: {name}.matrix"),
        shards=shards,
        slurm={**pipeline.slurm, **_mapping(given.get("slurm", {}), f"{where}: {name}.slurm")},
        where=f"{where}: {name}",
    )


def _mapping(value: Any, where: str) -> Mapping[str, Any]:
    if not isinstance(value, Mapping):
        raise UserError(f"{where}: expected keys and values, found {value!r}.")
    return value


def _assign(values: dict[str, Any], assignment: str) -> None:
    path, value = parse_assignment(assignment)
    if len(path) == 1 or path[0] == "slurm":
        assign(values, path, value)
        return
    items = [item for item in values.get("steps") or [] if isinstance(item, dict)]
    named = {str((given or {}).get("name", stage)): (item, stage) for item in items for stage, given in item.items()}
    if path[0] not in named:
        raise unknown("step", path[0], named)
    item, stage = named[path[0]]
    item[stage] = dict(item[stage] or {})
    assign(item[stage], path[1:], value)
