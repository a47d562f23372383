"""Loads the tasks a user named with lm-eval, and names their content."""

import contextlib
import functools
import io
import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from teacherlm.errors import UserError
from teacherlm.evaluation.checks import isolated, refuse_without_gold
from teacherlm.evaluation.class_tasks import build_class_task, find_class_tasks, former_modules, importable, reads_data, takes_split
from teacherlm.evaluation.content import metadata_of, task_content
from teacherlm.evaluation.failures import Failures
from teacherlm.evaluation.finding import configs_of, expand, manager_of
from teacherlm.evaluation.shots import drawn_well
from teacherlm.evaluation.stock import STOCK, stock_manager
from teacherlm.evaluation.students import Student
from teacherlm.prompts import gathered, short_name, template

Shots = int | Sequence[int] | Mapping[str, int | Sequence[int]] | None
"""Solved examples before each question: so many, each of several numbers, or by the name of a task, group or pattern; None as the task
says."""


@dataclass(frozen=True)
class TaskOptions:
    """What decides the questions a task asks."""

    data: Mapping[str, Path] | Path | None = None
    """Local data: of each task by name, or one for all."""
    split: Mapping[str, str] | str | None = None
    """What is measured of the data: of each task by name, or one for all."""
    shots: Shots = None
    limit: int | None = None
    max_new_tokens: int | None = None
    seed: int = 1234
    taught: Mapping[str, Any] = field(default_factory=dict)
    """What the student was taught that a task has to know (`regression`: its words, columns and range); lm-eval's own are not told."""
    metadata: Mapping[str, Any] = field(default_factory=dict)
    """What else every task is told."""


@dataclass(frozen=True)
class LoadedTask:
    name: str
    task: Any
    """lm-eval's task, its requests built."""
    shots: int
    templates: tuple[str, ...]
    """The templates its prompts follow; none where the task declares none."""
    content: str
    """Names everything that decides questions and scores: task files, rows, prompts, gold."""
    options: TaskOptions = TaskOptions()
    groups: Mapping[str, Sequence[str]] = field(default_factory=dict)
    """Those by whose names it was asked for, each with the names of all its tasks."""
    asked: frozenset[int] = frozenset()
    """The numbers of shots that it stands for where they are asked for: of a task that keeps its 0 each of them."""
    turns: tuple[tuple[int, int], ...] = ()
    """Of a task that is asked under every order of its options: of each of its rows which question, and by how much it is rotated."""

    @property
    def template(self) -> str | None:
        """For people."""
        return "+".join(map(short_name, self.templates)) or None

    def item_id(self, doc: Mapping[str, Any], doc_id: int) -> str:
        """The row's own id where it has one, so that predictions of different tasks and students pair up; else its number."""
        return str(doc.get(metadata_of(self.task).get("item", "id"), doc_id))

    def answer_rule(self, doc: Mapping[str, Any]) -> str | None:
        """The rule by which the answer is read from free text; None where the task has its own way."""
        rule = doc.get("answer_rule") or metadata_of(self.task).get("answer_rule")
        return str(rule) if rule else None

    @property
    def pred_score(self) -> str | None:
        """The metric that is a row's score, where the task scores its rows."""
        found = metadata_of(self.task).get("pred_score")
        return str(found) if found else None

    @property
    def only_writes(self) -> bool:
        """Whether a student's texts are all that is asked for: nothing is weighed."""
        return all(instance.request_type == "generate_until" for instance in self.task.instances)

    def choices(self, doc: Mapping[str, Any]) -> Sequence[str]:
        """Those of a row that `prepare` wrote (other datasets call other things so), else those that the task gives every question."""
        for found in (doc.get("choices"), metadata_of(self.task).get("choices")):
            if isinstance(found, list) and all(isinstance(choice, str) for choice in found):
                return found
        return ()


def require_generation(loaded: LoadedTask, student: str) -> None:
    """Raises: UserError for a task that weighs answers: no API promises log-probabilities of a text that it did not write."""
    if not loaded.only_writes:
        raise UserError(
            f"task '{loaded.name}' weighs answers by their log-probabilities, which {student} does not give behind its API; "
            "measure it by what it writes, with `questions` or another task that generates."
        )


def require_writing(loaded: LoadedTask, student: Student) -> None:
    """Raises: UserError for what engine vllm is not asked: letters, which are plain lm-eval's, and encoder-decoders."""
    if not loaded.only_writes:
        raise UserError(f"engine vllm: the task '{loaded.name}' weighs answers; take engine transformers, or a task that generates.")
    if student.is_encoder_decoder:
        raise UserError(f"engine vllm: {student.name} is an encoder-decoder, which it does not run; use engine transformers.")


def load_tasks(
    patterns: Sequence[str], folders: Sequence[Path], options: TaskOptions, failures: Failures | None = None
) -> list[LoadedTask]:
    """The tasks in the order named; a group or tag stands for its tasks, and `*` for every task whose name matches.

    Our own and the user's tasks are searched first; lm-eval's own only for names not found there (reading them takes seconds).
    `failures`: where a task whose own code raises is noted, so that the others are loaded; without it that is raised.
    Raises: UserError for unknown names, patterns without match, data a task cannot read, and unreadable data.
    """
    names = expand(patterns, tuple(folders))
    for what, given in (("data", options.data), ("split", options.split)):
        if isinstance(given, Mapping) and (strangers := set(given) - {name for name, _, _ in names}):
            raise UserError(f"{what}.{min(strangers)}: is not among the tasks measured ({', '.join(name for name, _, _ in names)}).")
    found: dict[str, dict[int, LoadedTask]] = {}
    known: set[str] = set()
    for name, defaults, pattern in names:
        known |= {name, pattern}
        for loaded in _at_each_number_of_shots(name, defaults, pattern, tuple(folders), options, failures):
            same = found.setdefault(loaded.name, {})
            before = same.setdefault(loaded.shots, loaded)
            same[loaded.shots] = replace(before, groups={**before.groups, **loaded.groups}, asked=before.asked | loaded.asked)
            known.add(loaded.name)
    if isinstance(options.shots, Mapping) and (strangers := set(options.shots) - known):
        raise UserError(f"shots.{min(strangers)}: is not among the tasks measured ({', '.join(name for name, _, _ in names)}).")
    return [loaded for same in found.values() for loaded in same.values()]


def _at_each_number_of_shots(
    name: str, defaults: bool, pattern: str, folders: tuple[Path, ...], options: TaskOptions, failures: Failures | None
) -> Iterator[LoadedTask]:
    """The task, or the tasks of a group. Each number takes a task of lm-eval's of its own."""
    loads: list[dict[str, Any]] = []
    with isolated(name, folders, failures):
        loads.append(_load(name, defaults, folders, options))
    members = [task_name for found in loads for task_name in found]
    for task_name in members:
        for turn, count in enumerate(_shots_of(options.shots, (task_name, name, pattern))):
            with isolated(task_name, folders, failures):
                if turn == len(loads):
                    loads.append(_load(name, defaults, folders, options))
                loaded = _prepared(task_name, loads[turn][task_name], replace(options, shots=count))
                groups = {name: members} if task_name != name else {}
                yield replace(loaded, groups=groups, asked=frozenset({loaded.shots if count is None else count}))


def _shots_of(shots: Shots, names: Sequence[str]) -> Sequence[int | None]:
    """The numbers for a task that is known by these names, its own first."""
    if isinstance(shots, Mapping):
        return _shots_of(next((shots[name] for name in names if name in shots), None), ())
    return shots if isinstance(shots, Sequence) else [shots]


def _load(name: str, defaults: bool, folders: tuple[Path, ...], options: TaskOptions) -> dict[str, Any]:
    """Task name -> lm-eval's task."""
    data, split = (given.get(name) if isinstance(given, Mapping) else given for given in (options.data, options.split))
    index, name_there = _index(name, defaults, folders), name.removeprefix(STOCK)
    configs = configs_of(name_there, index) if name_there in index else []
    if data is not None and not all(map(reads_data, configs)):
        raise UserError(f"data: the task '{name}' brings its own data and cannot read {data}; say which tasks it is for: {{task: path}}.")
    if split is not None and not (configs and all(map(takes_split, configs))):
        raise UserError(
            f"split: the task '{name}' says itself what is measured and cannot take {split}; say which it is for: {{task: split}}."
        )
    told = _told(name, {} if defaults else options.taught, options.metadata, {"data": data, "split": split})
    if defaults or options.shots:
        return _build(name, defaults, folders, told)
    tasks = _build(name, defaults, folders, {"shots_wanted": False, **told})
    own = options.shots is None and any(task.get_config("num_fewshot") for task in tasks.values())
    return _build(name, defaults, folders, told) if own else tasks


def _index(name: str, defaults: bool, folders: tuple[Path, ...]) -> Mapping[str, Any]:
    """lm-eval's, among whose names this one is looked for."""
    index: Mapping[str, Any] = (stock_manager() if name.startswith(STOCK) else manager_of(folders, defaults)).task_index
    return index


def _told(name: str, taught: Mapping[str, Any], metadata: Mapping[str, Any], settings: Mapping[str, Path | str | None]) -> dict[str, Any]:
    """What a task's metadata is given. `settings`: those of the run that say what `metadata` may say too.

    Raises: UserError where the two say different things.
    """
    given = {key: str(value) for key, value in settings.items() if value is not None}
    for key, value in given.items():
        other = metadata.get(key)
        if other is not None and str(other) != value:
            raise UserError(f"metadata.{key}: says {other}, and {key} says {value} for the task '{name}'; give one of them.")
    return {key: value for key, value in {**taught, **metadata, **given}.items() if value is not None}


def _build(name: str, defaults: bool, folders: tuple[Path, ...], told: Mapping[str, Any]) -> dict[str, Any]:
    """Task name -> lm-eval's task, whose metadata holds what it is told."""
    stock, name_there = name.startswith(STOCK), name.removeprefix(STOCK)
    if name_there not in _index(name, defaults, folders):
        return {name: build_class_task(find_class_tasks(folders)[name], name, told)}
    metadata = json.dumps(told)
    declared = _index(name, defaults, folders)[name_there].yaml_path  # None of a tag
    with _quiet(), former_modules(), importable(declared.parent) if declared else contextlib.nullcontext():
        manager = stock_manager(metadata) if stock else manager_of(folders, defaults, metadata)
        return {(STOCK if stock else "") + found: task for found, task in manager.load([name_there])["tasks"].items()}


def build_requests(task: Any, options: TaskOptions, **chat: Any) -> None:
    """Of every question, the same shots each time, itself never among them."""
    task.set_fewshot_seed(seed=options.seed)
    with _quiet(), _templates_compiled_once(), drawn_well(task):
        task.build_all_requests(limit=options.limit, **chat)


def _prepared(name: str, task: Any, options: TaskOptions) -> LoadedTask:
    """Settings applied by lm-eval's own rules (a task that says 0 shots keeps 0), then every request built."""
    declared = task.get_config("num_fewshot")
    asked = options.shots
    assert asked is None or isinstance(asked, int)
    shots = declared if declared == 0 or asked is None else asked
    task.set_config("num_fewshot", shots or 0)
    if task.get_config("output_type") == "generate_until":
        stops = _stops(task)
        length = {"max_gen_toks": options.max_new_tokens} if options.max_new_tokens is not None else {}
        task.set_config("generation_kwargs", {**({} if stops is None else {"until": stops}), **length}, update=True)
    pool = getattr(getattr(task, "sampler", None), "df", None)
    if shots and pool is not None and len(pool) < shots:
        raise UserError(f"task '{name}': {shots} shots asked for, but its data holds {len(pool)} rows to take them from.")
    build_requests(task, options)
    _refuse_other_rows(name, task)
    content = task_content(name, task, options.metadata)
    loaded = LoadedTask(name, task, shots or 0, _templates(name, task), content, options)
    refuse_without_gold(loaded)
    return loaded


def _refuse_other_rows(name: str, task: Any) -> None:
    """Raises: UserError for a question that is no row with columns, as a class' own documents may be."""
    for instance in task.instances:
        if not isinstance(instance.doc, Mapping):
            found = type(instance.doc).__name__
            raise UserError(f"task '{name}': question {instance.doc_id} is a {found}, expected a dict such as {{'text': ...}}.")


@contextlib.contextmanager
def _quiet() -> Iterator[None]:
    """lm-eval draws a progress bar for building prompts that cannot be switched off."""
    with contextlib.redirect_stderr(io.StringIO()):
        yield


@contextlib.contextmanager
def _templates_compiled_once() -> Iterator[None]:
    """lm-eval compiles the same Jinja text anew for every question, which is most of the time that building prompts takes."""
    from lm_eval.utils import env

    env.from_string = functools.lru_cache(maxsize=64)(env.from_string)
    try:
        yield
    finally:
        del env.from_string


def _templates(name: str, task: Any) -> tuple[str, ...]:
    """Rows written by `prepare` say it themselves; other tasks declare it in their YAML."""
    rows = gathered({str(instance.doc["template"]) for instance in task.instances if "template" in instance.doc})
    if len(rows) > 1:
        raise UserError(f"task '{name}': its rows follow different templates ({', '.join(map(short_name, rows))}); measure them apart.")
    declared = metadata_of(task).get("template")
    return rows or ((str(declared),) if declared else ())


def _stops(task: Any) -> list[str] | None:
    """Where an answer ends by the template of the task's rows; None for a task that says so itself."""
    if metadata_of(task).get("until") != "template":
        return None
    return sorted({stop for spec in set(task.eval_docs["template"]) for stop in template(spec).stops})
