"""A pipeline -> jobs: one frozen config, one folder, one manifest each. Pure: what there is to do follows from the file alone."""

import itertools
import re
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Literal, get_origin

from teacherlm.catalog import find
from teacherlm.errors import UserError, unknown
from teacherlm.parsing import parse_config
from teacherlm.pipeline import Pipeline, Step, label_of, parse_reference, steps_of
from teacherlm.resources import Resources
from teacherlm.stage import Stage, StageConfig
from teacherlm.store.files import shard_place
from teacherlm.store.fingerprint import Content, content_on_disk, digest, fingerprint
from teacherlm.store.manifest import begun_fingerprint, read_manifest

State = Literal["done", "changed", "begun", "missing"]


@dataclass(frozen=True)
class Job:
    step: str
    stage: str
    entry: Mapping[str, str]
    """Matrix labels: {"student": "1b3", "train_on": "cot_tail", "seed": "0"}; in rounds, and for what reads one, {"round": "1"} too."""
    config: StageConfig
    output: Path
    place: Path
    """Where its manifest lies: the output, or for a shard a folder inside."""
    needs: tuple[Path, ...]
    """Places of the jobs whose outputs it reads."""
    fingerprint: str
    """Of what is asked for, never of what came out."""
    slurm: Resources
    round: int = 0
    """From 1; 0 outside rounds."""

    @property
    def title(self) -> str:
        """`enhance`, in rounds `round-2/enhance`: the folder of the step's jobs."""
        return title(self.step, self.round)

    @property
    def label(self) -> str:
        return "/".join(filter(None, (self.title, folder(self.entry, self.round), self.place.name if self.is_shard else "")))

    @property
    def is_shard(self) -> bool:
        return self.place != self.output

    def state(self) -> State:
        """What lies at its place now."""
        return state_at(self.place, self.fingerprint)


def state_at(place: Path, fingerprint: str) -> State:
    """What lies there, seen from the job with this fingerprint."""
    manifest = read_manifest(place)
    if manifest is not None:
        return "done" if manifest.fingerprint == fingerprint else "changed"
    begun = begun_fingerprint(place)
    return "missing" if begun is None else "begun" if begun == fingerprint else "changed"


def title(step: str, round_number: int) -> str:
    return f"round-{round_number}/{step}" if round_number else step


def folder(entry: Mapping[str, str], round_number: int) -> str:
    """Of a job within its step; a job that stands in a round's folder does not name it again."""
    labels = {axis: label if axis != "round" else "" if round_number else f"round-{label}" for axis, label in entry.items()}
    return "-".join(filter(None, labels.values()))


@dataclass(frozen=True)
class _Reference:
    """`$step` settled on one of that step's jobs; `rest` is what stood behind it (`$prepare/CREAK.jsonl`)."""

    job: Job
    rest: str

    @property
    def path(self) -> str:
        return str(self.job.output) + self.rest


def plan(pipeline: Pipeline, where: str) -> list[Job]:
    """All jobs, each after those it needs.

    Raises: UserError naming file, step and key for anything that could not run.
    """
    jobs: list[Job] = []
    ends: dict[str, list[Job]] = {}
    for step in steps_of(pipeline, where):
        made = _Planner(pipeline, step, ends, find("stages", step.stage)).jobs()
        jobs += made
        whole = [job for job in made if not job.is_shard]
        if step.round:
            ends[f"{step.name}@{step.round}"] = whole
            ends[f"{step.name}@all"] = [*ends.get(f"{step.name}@all", []), *whole]
        ends[step.name] = whole  # after rounds: the last one's
    return jobs


def to_do(jobs: list[Job]) -> list[tuple[Job, State]]:
    """What is not done, and why. A finished job asks for none of its shards."""
    states = {job.place: job.state() for job in jobs}
    open_outputs = {job.output for job in jobs if not job.is_shard and states[job.place] != "done"}
    return [(job, states[job.place]) for job in jobs if states[job.place] != "done" and job.output in open_outputs]


class _Planner:
    """Makes the jobs of one step."""

    def __init__(self, pipeline: Pipeline, step: Step, ends: Mapping[str, list[Job]], stage: Stage) -> None:
        self.pipeline, self.step, self.ends, self.stage = pipeline, step, ends, stage
        self.fields = stage.config.model_fields

    def jobs(self) -> list[Job]:
        made: list[Job] = []
        outputs: set[Path] = set()
        for entry, settings, slurm in self._choices(self._with_defaults()):
            output = self.pipeline.run_dir / title(self.step.name, self.step.round) / folder(entry, self.step.round)
            if output in outputs:
                raise UserError(f"{self.step.where}.matrix: two choices are both labelled '{output.name}'; give them labels.")
            outputs.add(output)
            made += self._build(entry, settings, self._resources(slurm), output)
        return made

    def _resources(self, slurm: Mapping[str, Any]) -> Resources:
        where = f"{self.step.where}.slurm"
        found = parse_config(Resources, slurm, where)
        if found.nodes > 1 and not self.stage.distributed:
            raise UserError(f"{where}.nodes: {found.nodes}: the stage '{self.step.stage}' runs on one node; cut it into shards instead.")
        return found

    def _with_defaults(self) -> dict[str, Any]:
        """The step's settings, with `input` from the step before and `seed` from the top of the file."""
        settings, given = dict(self.step.settings), {*self.step.settings, *self.step.matrix}
        if "input" in self.fields and "input" not in given:
            if not self.step.before:
                raise UserError(f"{self.step.where}.input: is required (there is no step before).")
            settings["input"] = self.step.before
        if self._gathers("input") and "input" in settings and not isinstance(settings["input"], list):
            settings["input"] = [settings["input"]]
        if "seed" in self.fields and "seed" not in given and self.pipeline.seed is not None:
            settings["seed"] = self.pipeline.seed
        if self.step.shards > 1 and not self.stage.sharded:
            raise UserError(f"{self.step.where}.shards: the stage '{self.step.stage}' cannot be cut into shards.")
        return settings

    def _gathers(self, name: str) -> bool:
        field = self.fields.get(name)
        return field is not None and get_origin(field.annotation) is list

    def _choices(self, settings: dict[str, Any]) -> Iterator[tuple[dict[str, str], dict[str, Any], dict[str, Any]]]:
        """(entry, settings, slurm) for each element of the product of the axes.

        A `$step` in a scalar place is an axis over that step's jobs, when it has several. Where two have an axis in common (seeds that
        go on from the seeds of the round before), equal labels belong together.
        """
        references = dict.fromkeys(name for name, _ in _scalar_references(settings))
        parts: list[list[tuple[Mapping[str, str], str, Any]]] = [
            [(self._labels_of(job), name, job) for job in self._jobs_of(name)] for name in references
        ]
        for axis, values in self.step.matrix.items():
            parts.append([({axis: label}, axis, value) for label, value in self._labelled(axis, values)])
        several = [len(part) > 1 for part in parts]
        fitting = [
            combination
            for combination in itertools.product(*parts)
            if not _disagree(labels for (labels, _, _), is_axis in zip(combination, several, strict=True) if is_axis)
        ]
        if not fitting:
            named = ", ".join([*(f"${name}" for name in references), *(f"matrix.{axis}" for axis in self.step.matrix)])
            raise UserError(f"{self.step.where}: {named} have an axis in common, and no label of it.")
        for combination in fitting:
            entry = {"round": str(self.step.round)} if self.step.round else {}
            chosen, slurm, jobs = dict(settings), dict(self.step.slurm), {}
            for labels, axis, value in combination:
                entry |= labels
                if isinstance(value, Job):
                    jobs[axis] = value
                else:
                    slurm |= self._apply(chosen, axis, value)
            yield entry, self._settle(chosen, jobs), slurm

    def _labels_of(self, job: Job) -> Mapping[str, str]:
        """What a job hands on; in rounds not its round: the job that reads it has its own."""
        return {axis: label for axis, label in job.entry.items() if axis != "round"} if self.step.round else job.entry

    def _settle(self, value: Any, chosen: Mapping[str, Job]) -> Any:
        """References -> jobs: a scalar takes its axis' choice, a list takes all of the step's jobs."""
        if isinstance(value, Mapping):
            return {key: self._settle(inner, chosen) for key, inner in value.items()}
        if isinstance(value, list):
            return [one for inner in value for one in self._spliced(inner, chosen)]
        if not isinstance(value, str) or not value.startswith("$"):
            return value
        name, rest = parse_reference(value)
        if name not in chosen and len(self._jobs_of(name)) > 1:
            raise UserError(f"{self.step.where}: {value}: that step has several jobs; name it outside the matrix, or in a list.")
        return _Reference(chosen.get(name) or self._jobs_of(name)[0], rest)

    def _spliced(self, value: Any, chosen: Mapping[str, Job]) -> list[Any]:
        if isinstance(value, str) and value.startswith("$"):
            name, rest = parse_reference(value)
            return [_Reference(job, rest) for job in self._jobs_of(name)]
        return [self._settle(value, chosen)]

    def _apply(self, settings: dict[str, Any], axis: str, value: Any) -> dict[str, Any]:
        """Put one choice of an axis into the settings; returns the resources it brings.

        An axis named like a setting holds its values; or settings, where each choice gives that setting too.
        """
        if axis in self.fields and not (isinstance(value, Mapping) and axis in value):
            settings[axis] = value
            return {}
        if not isinstance(value, Mapping):
            raise UserError(f"{self.step.where}.matrix.{axis}: is not a setting of {self.step.stage}; give label: {{settings}}.")
        settings |= {key: inner for key, inner in value.items() if key != "slurm"}
        return dict(value.get("slurm", {}))

    def _labelled(self, axis: str, values: Any) -> list[tuple[str, Any]]:
        if not isinstance(values, (list, Mapping)) or not values:
            raise UserError(f"{self.step.where}.matrix.{axis}: expected a list of values or label: settings, found {values!r}.")
        pairs = values.items() if isinstance(values, Mapping) else [(label_of(v), v) for v in values]
        return [(re.sub(r"[^\w.+=%]+", "_", str(label)), value) for label, value in pairs]

    def _jobs_of(self, name: str) -> list[Job]:
        if name not in self.ends:
            raise UserError(f"{self.step.where}: ${name}: {unknown('step before it', name, self.ends)}")
        return self.ends[name]

    def _build(self, entry: dict[str, str], settings: dict[str, Any], slurm: Resources, output: Path) -> list[Job]:
        needs: dict[Path, Job] = {}
        values = {**_paths(settings, needs), "output": str(output)}
        config = parse_config(self.stage.config, values, self.step.where)
        mark = fingerprint(
            self.step.stage, self.stage, config, _content_planned({str(job.output): job.fingerprint for job in needs.values()})
        )
        whole = Job(self.step.name, self.step.stage, entry, config, output, output, tuple(needs), mark, slurm, self.step.round)
        shards = [self._shard(whole, f"{i}/{self.step.shards}") for i in range(self.step.shards) if self.step.shards > 1]
        return [*shards, replace(whole, needs=tuple(shard.place for shard in shards) or whole.needs)]

    def _shard(self, whole: Job, shard: str) -> Job:
        """The job over one slice: same output, a place and a fingerprint of its own."""
        config = whole.config.model_copy(update={"shard": shard})
        return replace(whole, config=config, place=shard_place(whole.output, shard), fingerprint=digest(whole.fingerprint, shard))


def _content_planned(planned: Mapping[str, str]) -> Content:
    """Content by fingerprint for what the plan will write (output -> fingerprint), from disk for everything else."""

    def content(source: str, kind: Literal["data", "model"]) -> str:
        parts = source.split("/")
        inside = next((path for end in range(len(parts), 0, -1) if (path := "/".join(parts[:end])) in planned), None)
        if inside is None:
            return content_on_disk(source, kind)
        return planned[inside] if source == inside else digest(planned[inside], source[len(inside) + 1 :])

    return content


def _disagree(labelled: Iterable[Mapping[str, str]]) -> bool:
    """Whether two of them give one axis different labels."""
    seen: dict[str, str] = {}
    return any(seen.setdefault(axis, label) != label for labels in labelled for axis, label in labels.items())


def _scalar_references(value: Any) -> Iterator[tuple[str, str]]:
    """(step, rest) of every `$step/rest` outside lists."""
    if isinstance(value, Mapping):
        for inner in value.values():
            yield from _scalar_references(inner)
    elif isinstance(value, str) and value.startswith("$"):
        yield parse_reference(value)


def _paths(value: Any, needs: dict[Path, Job]) -> Any:
    """References -> paths; collects the jobs on the way."""
    if isinstance(value, Mapping):
        return {key: _paths(inner, needs) for key, inner in value.items()}
    if isinstance(value, list):
        return [_paths(inner, needs) for inner in value]
    if isinstance(value, _Reference):
        needs[value.job.place] = value.job
        return value.path
    return value
