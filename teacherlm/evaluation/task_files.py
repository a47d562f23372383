"""The files that a task is made of: its YAML, those it includes, and the Python that they name, as far as it lies in the same folder."""

import ast
import inspect
import os
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

FUNCTION = re.compile(r"!function\s+([\w./-]+)\.\w+")


def task_files(source: Path) -> list[Path]:
    """`source`: the task's YAML or Python file. A file beside them that none of them names is another task's matter."""
    found: dict[Path, None] = {}
    waiting = [source]
    while waiting:
        file = waiting.pop()
        if file in found or not file.is_file():
            continue
        found[file] = None
        waiting += _named_in(file)
    return sorted(found)


def class_file(task: Any) -> Path | None:
    """The user's file that a task in Python is written in; None for lm-eval's own classes."""
    return None if type(task).__module__.startswith("lm_eval.") else file_of(type(task))


def file_of(cls: type) -> Path | None:
    try:
        return Path(inspect.getfile(cls))
    except (TypeError, OSError):
        return None


def _named_in(file: Path) -> Iterator[Path]:
    if file.suffix == ".py":
        for module in _imported(file.read_text(encoding="utf-8", errors="replace")):
            yield from (file.parent / f"{word}.py" for word in module.split("."))
        return
    for module in FUNCTION.findall(file.read_text(encoding="utf-8", errors="replace")):
        yield file.parent / f"{module.replace('.', '/')}.py"
    yield from (Path(os.path.normpath(file.parent / name)) for name in _included(file))


def _included(file: Path) -> list[str]:
    from lm_eval.tasks._yaml_loader import load_yaml

    found = load_yaml(file, resolve_func=False, recursive=False).get("include", [])
    return [found] if isinstance(found, str) else list(found)


def _imported(text: str) -> Iterator[str]:
    try:
        tree = ast.parse(text)
    except SyntaxError:
        return
    for node in ast.walk(tree):
        if isinstance(node, ast.ImportFrom):
            yield node.module or ""
        if isinstance(node, (ast.Import, ast.ImportFrom)):
            yield from (alias.name for alias in node.names)
