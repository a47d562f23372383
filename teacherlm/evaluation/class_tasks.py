"""Tasks that a user's folder holds as Python classes in the words of `classic.py`: found by their file, without a YAML.

A file that still imports `lm_eval.base` and `lm_eval.metrics`, which lm-eval 0.4 does not have, is given ours while it is loaded.
"""

import ast
import fnmatch
import importlib.util
import sys
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from types import ModuleType
from typing import Any

from teacherlm.errors import UserError

OURS = "teacherlm.evaluation.classic"
FORMER = ("lm_eval.base", "lm_eval.metrics")
"""Modules of lm-eval before 0.4."""
CLASSES = ("Task", "MultipleChoiceTask")


@dataclass(frozen=True)
class ClassTask:
    """Where a task's class is written."""

    file: Path
    class_name: str


def find_class_tasks(folders: Sequence[Path]) -> dict[str, ClassTask]:
    """Name -> class. A file with one class gives its own name to the task, and is found by the class' name as well.

    No file is run for this. Files and classes that begin with `_` are no tasks.
    Raises: UserError for two tasks of one name.
    """
    found: dict[str, ClassTask] = {}
    for folder in folders:
        for file in sorted(folder.rglob("[!_]*.py")):
            names = class_names(file)
            for name in [*names, *([file.stem] if len(names) == 1 else [])]:
                task = ClassTask(file, names[0] if name == file.stem and len(names) == 1 else name)
                if found.setdefault(name, task) != task:
                    raise UserError(f"include_path: the task '{name}' is there twice, in {found[name].file} and {file}.")
    return found


def class_tasks_matching(pattern: str, folders: Sequence[Path]) -> list[str]:
    """By the names that results carry: the file's where it holds one class, else the class'. `sum_*` matches several."""
    tasks = find_class_tasks(folders)
    named = {name: task.file.stem if tasks.get(task.file.stem) == task else name for name, task in tasks.items()}
    return list(dict.fromkeys(named[name] for name in tasks if fnmatch.fnmatchcase(name, pattern)))


def class_names(file: Path) -> list[str]:
    """The classes of a file that are tasks, in their order; read off the text."""
    try:
        tree = ast.parse(file.read_bytes())
    except (SyntaxError, ValueError, OSError):
        return []  # `why_no_class` tells whoever names it
    known = {name for node in ast.walk(tree) for name in _classes_imported(node)}
    names = []
    for node in tree.body:
        if isinstance(node, ast.ClassDef) and any(ast.unparse(base) in known for base in node.bases):
            known.add(node.name)
            names.append(node.name)
    return [name for name in names if not name.startswith("_")]


def _classes_imported(node: ast.AST) -> Iterator[str]:
    """What a file may call `Task` and `MultipleChoiceTask` after this import: `Task`, or `classic.Task`."""
    modules = (OURS, FORMER[0])
    if isinstance(node, ast.ImportFrom) and node.module in modules:
        yield from (alias.asname or alias.name for alias in node.names if alias.name in CLASSES)
    elif isinstance(node, (ast.Import, ast.ImportFrom)):
        above = f"{node.module}." if isinstance(node, ast.ImportFrom) else ""
        called = [alias.asname or alias.name for alias in node.names if above + alias.name in modules]
        yield from (f"{module}.{name}" for module in called for name in CLASSES)


def why_no_class(file: Path) -> str:
    """Why no task has the name of this file."""
    try:
        ast.parse(file.read_bytes())
    except SyntaxError as error:
        return f"{file}:{error.lineno}: SyntaxError: {error.msg}."
    except ValueError as error:
        return f"{file}: {error}."
    if names := class_names(file):
        return f"{file} holds several tasks; name one of them: {', '.join(names)}."
    return f"{file} holds no class that derives from {OURS}.Task."


def reads_data(cfg: Mapping[str, Any]) -> bool:
    """Whether a task's YAML, its functions not resolved, names something that takes the run's local data."""
    file, _, name = str(cfg.get("class", "")).rpartition(".")
    return "custom_dataset" in cfg or name in class_names(Path(f"{file}.py"))


def takes_split(cfg: Mapping[str, Any]) -> bool:
    """Whether a task's YAML names a function that is told the run's split; a class knows one by its methods alone."""
    return "custom_dataset" in cfg


def build_class_task(task: ClassTask, name: str, metadata: Mapping[str, Any]) -> Any:
    """The class' object, as lm-eval makes it of a YAML. `metadata`: what the run tells its tasks, such as {data: path}."""
    with former_modules():
        cls = getattr(_load(task.file), task.class_name)
    told = {"task": name, "metadata": {**metadata, "config_source": str(task.file)}}
    try:
        return cls(config=told)
    except TypeError as error:
        if "config" not in str(error):  # an __init__ of the class' own
            raise
    made = cls()
    made.config.task, made.config.metadata = told["task"], told["metadata"]
    return made


@contextmanager
def former_modules() -> Iterator[None]:
    """While this lasts, `lm_eval.base` and `lm_eval.metrics` are there."""
    import lm_eval.api.metrics

    from teacherlm.evaluation import classic

    base, metrics = (ModuleType(name) for name in FORMER)
    base.__dict__.update({name: getattr(classic, name) for name in ("rf", *CLASSES)})
    metrics.__dict__.update({name: value for name, value in vars(lm_eval.api.metrics).items() if not name.startswith("_")})
    before = {name: sys.modules.get(name) for name in FORMER}
    sys.modules.update(zip(FORMER, (base, metrics), strict=True))
    try:
        yield
    finally:
        for name, module in before.items():
            if module is None:
                sys.modules.pop(name, None)
            else:
                sys.modules[name] = module


def _load(file: Path) -> ModuleType:
    """Anew each time: a worker that stays sees what was changed."""
    name = str(file.with_suffix(""))  # as lm-eval names files of users
    spec = importlib.util.spec_from_file_location(name, file)
    assert spec is not None and spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    sys.modules[name] = module
    with importable(file.parent):
        spec.loader.exec_module(module)
    return module


@contextmanager
def importable(folder: Path) -> Iterator[None]:
    """While this lasts, a file of this folder is imported by its name where no other module has it. What was imported is forgotten:
    another folder may have a file of this name, and this one may change.
    """
    folder, before = folder.resolve(), set(sys.modules)
    added = str(folder) not in sys.path
    if added:
        sys.path.append(str(folder))
    importlib.invalidate_caches()
    try:
        yield
    finally:
        if added and str(folder) in sys.path:
            sys.path.remove(str(folder))
        for name in filter(str.isidentifier, set(sys.modules) - before):  # the task's own file has its path as its name
            source = getattr(sys.modules[name], "__file__", None)
            if source and Path(source).parent == folder:
                del sys.modules[name]
