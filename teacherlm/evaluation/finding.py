"""Which tasks a name or pattern means: ours and the user's first, then lm-eval's own; and what their YAML says."""

import difflib
import fnmatch
import functools
import json
import logging
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager, nullcontext
from pathlib import Path
from typing import Any

from teacherlm.errors import UserError, unknown
from teacherlm.evaluation.class_tasks import class_tasks_matching, find_class_tasks, why_no_class
from teacherlm.evaluation.content import OURS
from teacherlm.evaluation.stock import STOCK, say_whose, stock_manager


def expand(patterns: Sequence[str], folders: tuple[Path, ...]) -> list[tuple[str, bool, str]]:
    """(name, whether it is one of lm-eval's own, the pattern that asked for it)."""
    names: dict[str, tuple[bool, str]] = {}
    for pattern in patterns:
        found = _found(pattern, folders)
        if not found:
            raise _unknown_task(pattern, folders)
        for name, defaults in found.items():
            names.setdefault(name, (defaults, pattern))
    return [(name, *how) for name, how in names.items()]


def _found(pattern: str, folders: tuple[Path, ...]) -> dict[str, bool]:
    """Name -> whether it is one of lm-eval's own; nothing where no task is called so."""
    if pattern.startswith(STOCK):
        return {STOCK + name: True for name in _matches(pattern.removeprefix(STOCK), stock_manager())}
    for defaults in (False, True):
        manager = manager_of(folders, defaults)
        if matches := _matches(pattern, manager):
            for name in matches:
                entry = manager.task_index[name]
                same = ((entry.cfg or {}).get("metadata") or {}).get("words") == "lm_eval"
                if entry.yaml_path == OURS / f"{name}.yaml" and not same:
                    say_whose(name)
            return dict.fromkeys(matches, defaults)
        if classes := class_tasks_matching(pattern, folders):
            return dict.fromkeys(classes, False)
    return {}


def _matches(pattern: str, manager: Any) -> list[str]:
    if any(mark in pattern for mark in "*?["):
        return fnmatch.filter(manager.all_subtasks, pattern)
    return [pattern] if pattern in manager.all_tasks else []


def _unknown_task(pattern: str, folders: tuple[Path, ...]) -> UserError:
    if any(mark in pattern for mark in "*?["):
        return UserError(f"tasks: no task matches '{pattern}'.")
    if pattern.startswith(STOCK):
        name = pattern.removeprefix(STOCK)
        return unknown("task of lm-eval's own", name, difflib.get_close_matches(name, stock_manager().all_tasks, n=3, cutoff=0.5))
    if file := next((file for folder in folders for file in sorted(folder.rglob("*.py")) if file.stem == pattern), None):
        return UserError(f"task '{pattern}': {why_no_class(file)}")
    own = {*manager_of(folders, False).all_tasks, *find_class_tasks(folders)}
    if close := difflib.get_close_matches(pattern, {*own, *manager_of(folders, True).all_tasks}, n=1, cutoff=0.5):
        return UserError(f"No task named '{pattern}'. Did you mean '{close[0]}'?")
    return unknown("task", pattern, own)


@functools.lru_cache(maxsize=8)
def manager_of(folders: tuple[Path, ...], defaults: bool, metadata: str = "{}") -> Any:
    """lm-eval's index of tasks; `metadata` (JSON) reaches every task it loads."""
    from lm_eval.tasks import TaskManager

    include = [OURS, *folders]
    missing = next((folder for folder in include if not folder.is_dir()), None)
    if missing:
        raise UserError(f"include_path: {missing}: no such folder.")
    for folder in folders:
        _refuse_broken_yaml(folder)
    with _without_overridden_names() if defaults else nullcontext():
        return TaskManager(include_path=[str(f) for f in include], include_defaults=defaults, metadata=json.loads(metadata))


@contextmanager
def _without_overridden_names() -> Iterator[None]:
    """While this lasts, lm-eval does not list the tasks of its own that have the name of one of ours; `expand` says so of one asked for."""
    noted = logging.getLogger("lm_eval.tasks._index")
    level = noted.level
    noted.setLevel(logging.ERROR)
    try:
        yield
    finally:
        noted.setLevel(level)


def _refuse_broken_yaml(folder: Path) -> None:
    """lm-eval passes over a file it cannot read without a word. Raises: UserError naming file and line."""
    import yaml
    from lm_eval.tasks._yaml_loader import load_yaml

    for path in sorted(folder.rglob("*.yaml")):
        try:
            told = load_yaml(path, resolve_func=False, recursive=False)
        except yaml.MarkedYAMLError as error:
            line = f":{error.problem_mark.line + 1}" if error.problem_mark else ""
            raise UserError(f"{path}{line}: not valid YAML ({error.problem}).") from None
        except ValueError:
            continue  # not a mapping, so not a task
        _refuse_other_names(path, told)


def _refuse_other_names(path: Path, told: Mapping[str, Any]) -> None:
    """Raises: UserError for a name that YAML reads as something else, such as `true`; lm-eval's index breaks at it."""
    for key in ("task", "group"):
        named = told.get(key, [])
        for value in named if isinstance(named, list) else [named]:
            if not isinstance(value, (str, Mapping)):
                raise UserError(f"{path}: {key}: expected a name, found {value!r}; put it in quotes.")


def configs_of(name: str, index: Mapping[str, Any]) -> list[Mapping[str, Any]]:
    """The YAML of a task, or of each task of a group or tag. Raises: UserError for a group that names a task which is not there."""
    entry = index[name]
    inside = entry.tags if entry.cfg is None else entry.cfg.get("task")
    members = [one for one in inside if isinstance(one, str)] if isinstance(inside, (list, set)) else []
    if strangers := [one for one in members if one not in index]:
        close = difflib.get_close_matches(strangers[0], index, n=1, cutoff=0.5)
        hint = f" Did you mean '{close[0]}'?" if close else ""
        raise UserError(f"{entry.yaml_path}: task: the group '{name}' names '{strangers[0]}', no task of yours or TeacherLM's.{hint}")
    return [found for one in members for found in configs_of(one, index)] or [entry.cfg or {}]
