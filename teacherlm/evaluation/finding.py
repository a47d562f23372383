"""Which tasks a name or pattern means: ours and the user's first, then lm-eval's own; and what their YAML says."""

import difflib
import fnmatch
import functools
import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from teacherlm.errors import UserError, unknown
from teacherlm.evaluation.class_tasks import class_tasks_matching, find_class_tasks
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
    own = [*manager_of(folders, False).all_tasks, *find_class_tasks(folders)]
    close = difflib.get_close_matches(pattern, manager_of(folders, True).all_tasks, n=3, cutoff=0.5)
    return unknown("task", pattern, {*own, *close})


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
    return TaskManager(include_path=[str(f) for f in include], include_defaults=defaults, metadata=json.loads(metadata))


def _refuse_broken_yaml(folder: Path) -> None:
    """lm-eval passes over a file it cannot read without a word. Raises: UserError naming file and line."""
    import yaml
    from lm_eval.tasks._yaml_loader import load_yaml

    for path in sorted(folder.rglob("*.yaml")):
        try:
            load_yaml(path, resolve_func=False, recursive=False)
        except yaml.MarkedYAMLError as error:
            line = f":{error.problem_mark.line + 1}" if error.problem_mark else ""
            raise UserError(f"{path}{line}: not valid YAML ({error.problem}).") from None
        except ValueError:
            continue  # not a mapping, so not a task


def configs_of(name: str, index: Mapping[str, Any]) -> list[Mapping[str, Any]]:
    """The YAML of a task, or of each task of a group or tag."""
    config = index[name].cfg
    inside = index[name].tags if config is None else config.get("task")
    members = [one for one in inside if isinstance(one, str) and one in index] if isinstance(inside, (list, set)) else []
    return [found for one in members for found in configs_of(one, index)] or [config or {}]
