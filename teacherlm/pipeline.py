"""A pipeline file as it was written: read, changed by `--set`, checked for shape. What it means is `plan.py`'s."""

import re
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Annotated, Any

from pydantic import Field

from teacherlm.errors import UserError, unknown
from teacherlm.parsing import assign, parse_assignment, parse_config, read_yaml
from teacherlm.shipped import shipped_folder
from teacherlm.stage import Settings

ABOUT_THE_STEP = ("name", "matrix", "shards", "slurm")
ROUNDS = "rounds"


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
    """The chain, in order: `- stage: {settings}`, or `- rounds: {times: 3, start: {...}, steps: [...]}`."""


class Rounds(Settings):
    """Steps done several times over; from the second round on with what the round before has made."""

    times: Annotated[int, Field(strict=True, ge=1)]
    """How many rounds. Raising it redoes none."""
    start: dict[str, str] = {}
    """In the first round, what `$step` is where it means the round before: a path, a hub id, or a `$step` before the rounds."""
    steps: Annotated[list[Any], Field(min_length=1)]
    """The steps of a round, in order. `$step` of an earlier one is this round's, of a later one or itself that of the round before."""


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
    round: int = 0
    """From 1; 0 outside rounds."""
    before: str = ""
    """What `input` is where it is not set: the reference to the step before it in the file; "" for the first."""


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
    """The steps in the order they are done, those of rounds once for each.

    Raises: UserError for a step that is not `- stage: {settings}`, for two steps of one name, and for rounds that cannot be done.
    """
    found: list[Step] = []
    written: list[str] = []
    for number, item in enumerate(pipeline.steps):
        place = f"{where}: steps[{number}]"
        if isinstance(item, Mapping) and ROUNDS in item and len(item) == 1:
            place = f"{place}.{ROUNDS}"
            rounds = parse_config(Rounds, _mapping(item[ROUNDS], place), place)
            group = [_parse_step(inner, pipeline, f"{place}.steps[{i}]", where) for i, inner in enumerate(rounds.steps)]
            found += _unrolled(rounds, group, written, place)
        else:
            group = [_parse_step(item, pipeline, place, where)]
            found.append(replace(group[0], before=f"${written[-1]}" if written else ""))
        for step in group:
            if step.name in written:
                raise UserError(f"{step.where}: two steps are named '{step.name}'; give one of them a `name:`.")
            written.append(step.name)
    if not found:
        raise UserError(f"{where}: steps: is empty.")
    return [_decontaminated(step, found) for step in found]


def _decontaminated(step: Step, steps: list[Step]) -> Step:
    """`decontaminate: pipeline` spelled out: everything that the file's `evaluate` steps measure."""
    if step.settings.get("decontaminate") != "pipeline":
        return step
    measured = [one for other in steps if other.stage == "evaluate" for one in _measured_by(other, step)]
    distinct = [one for i, one in enumerate(measured) if one not in measured[:i]]
    return replace(step, settings={**step.settings, "decontaminate": distinct})


def _measured_by(evaluate: Step, prepare: Step) -> Iterator[dict[str, Any]]:
    """The questions of the step's tasks; of data that `prepare` itself writes the split that is measured."""
    tasks, data, splits = (evaluate.settings.get(name) for name in ("tasks", "data", "split"))
    for task in tasks if isinstance(tasks, list) else [tasks] if tasks else []:
        own, split = (given.get(task) if isinstance(given, Mapping) else given for given in (data, splits))
        if isinstance(own, str) and own.startswith("$") and parse_reference(own)[0] == prepare.name:
            yield {"split": split or "test"}
        elif isinstance(own, str) and own.startswith("$"):
            yield {"data": own, **({"split": split} if split else {})}
        else:
            include = evaluate.settings.get("include_path")
            told = {"data": own, "split": split if own else None, "include_path": [include] if isinstance(include, str) else include}
            yield {"task": task, **{key: value for key, value in told.items() if value is not None}}


def _unrolled(rounds: Rounds, group: list[Step], outside: list[str], place: str) -> Iterator[Step]:
    """Every step of every round, its references naming the round they mean: `$finetune` -> `$finetune@2`, or what `start` gives."""
    names = [step.name for step in group]
    for name, start in rounds.start.items():
        if name not in names:
            raise UserError(f"{place}.start: {unknown('step of the rounds', name, names)}")
        if start.startswith("$") and (named := parse_reference(start)[0].partition("@")[0]) not in outside:
            raise UserError(f"{place}.start.{name}: {start}: {unknown('step before the rounds', named, outside)}")
    for number in range(1, rounds.times + 1):
        for index, step in enumerate(group):

            def meant(text: str, number: int = number, index: int = index) -> str:
                name, rest = parse_reference(text)
                if name not in names:
                    if "@" not in name and name not in outside:
                        raise UserError(f"{group[index].where}: {text}: {unknown('step', name, [*outside, *names])}")
                    return text
                if names.index(name) < index:
                    return f"${name}@{number}{rest}"
                if number > 1:
                    return f"${name}@{number - 1}{rest}"
                if name not in rounds.start:
                    reader = f"{group[index].name} reads ${name} of the round before, and the first has none"
                    raise UserError(f"{place}.start.{name}: is required ({reader}): a path, a hub id, or a $step before the rounds.")
                return rounds.start[name] + rest

            before = f"${names[index - 1]}@{number}" if index else f"${outside[-1]}" if outside else ""
            settings, matrix = _with_references(step.settings, meant), _with_references(_with_labels(step.matrix), meant)
            yield replace(step, settings=settings, matrix=matrix, round=number, before=before)


def _with_references(value: Any, meant: Callable[[str], str]) -> Any:
    if isinstance(value, Mapping):
        return {key: _with_references(inner, meant) for key, inner in value.items()}
    if isinstance(value, list):
        return [_with_references(inner, meant) for inner in value]
    return meant(value) if isinstance(value, str) and value.startswith("$") else value


def _with_labels(matrix: Mapping[str, Any]) -> dict[str, Any]:
    """Lists of values as label: value, so that a reference is labelled as it was written, the same in every round."""
    return {
        axis: {label_of(value): value for value in values}
        if isinstance(values, list) and len({label_of(value) for value in values}) == len(values)
        else values
        for axis, values in matrix.items()
    }


def label_of(value: Any) -> str:
    """What names a value of a matrix: `facebook/opt-125m` -> `opt-125m`."""
    return str(value).strip("$/").rsplit("/", 1)[-1]


def parse_reference(text: str) -> tuple[str, str]:
    """`$prepare/CREAK.jsonl` -> (`prepare`, `/CREAK.jsonl`)"""
    name, slash, rest = text[1:].partition("/")
    return name, slash + rest


def _parse_step(item: Any, pipeline: Pipeline, place: str, where: str) -> Step:
    if not isinstance(item, Mapping) or len(item) != 1:
        raise UserError(f"{place}: expected one stage with its settings, such as `- prepare: {{dataset: creak}}`.")
    ((stage, given),) = item.items()
    given = {} if given is None else given
    if not isinstance(given, Mapping):
        raise UserError(f"{place}.{stage}: expected settings as `key: value`, found {given!r}.")
    if stage == ROUNDS:
        raise UserError(f"{place}.{ROUNDS}: rounds cannot stand inside rounds.")
    name = str(given.get("name", stage))
    if re.search(r"[$@/]", name) or re.fullmatch(r"round-\d+", name):
        raise UserError(f"{place}.{stage}.name: '{name}' cannot name a step (no $, @ or /, and not round-1, round-2, ...).")
    matrix = _mapping(given.get("matrix", {}), f"{where}: {name}.matrix")
    if "round" in matrix:
        raise UserError(f"{where}: {name}.matrix.round: rounds give their jobs this label; call the axis something else.")
    shards = given.get("shards", 1)
    if not isinstance(shards, int) or isinstance(shards, bool) or shards < 1:
        raise UserError(f"{where}: {name}.shards: expected a whole number from 1, found {shards!r}.")
    return Step(
        name=name,
        stage=str(stage),
        settings={key: value for key, value in given.items() if key not in ABOUT_THE_STEP},
        matrix=matrix,
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
    groups = [item for item in values.get("steps") or [] if isinstance(item, dict) and ROUNDS in item]
    if path[0] == ROUNDS and len(groups) > 1:
        raise UserError(f"--set {assignment}: the file has {len(groups)} groups of rounds; change the one you mean there.")
    inside = [item for group in groups if isinstance(group[ROUNDS], dict) for item in group[ROUNDS].get("steps") or []]
    items = [item for item in [*(values.get("steps") or []), *inside] if isinstance(item, dict)]
    named = {_name(stage, given): (item, stage) for item in items for stage, given in item.items()}
    if path[0] not in named:
        raise unknown("step", path[0], named)
    item, stage = named[path[0]]
    item[stage] = dict(item[stage] or {})
    assign(item[stage], path[1:], value)


def _name(stage: str, given: Any) -> str:
    return str(given.get("name", stage)) if isinstance(given, Mapping) else str(stage)
