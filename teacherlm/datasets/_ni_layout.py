"""Where the tasks of Super-NaturalInstructions lie, and which split each is in.

splits/default/train_tasks.txt      one task name a line; dev_tasks.txt and test_tasks.txt beside it, each may be missing
tasks/task001_quoref_question_generation.json
"""

from collections.abc import Mapping, Sequence
from pathlib import Path

from teacherlm.errors import UserError, unknown
from teacherlm.store.readers_text import GZIP, plain_name

LISTS: Mapping[str, str] = {"train": "train_tasks.txt", "validation": "dev_tasks.txt", "test": "test_tasks.txt"}
TASK_SUFFIX = ".json"

TaskFiles = Mapping[str, Mapping[str, Path]]
"""Split -> task name -> its file."""


def find_tasks(source: Path, track: str, task_dir: str, wanted: Sequence[str]) -> TaskFiles | None:
    """None where the source is neither a task file nor a folder of them.

    `source`: a folder with `tasks` and `splits`, a folder of split lists (its tasks in `task_dir`, else in `tasks` two folders up), a
    folder of task files, or one task file; where there are no lists all tasks are `train`.
    Raises: UserError for an unknown track, and for a listed or wanted task that has no file.
    """
    lists = _folder_of_lists(source, track)
    if lists is not None:
        tasks = Path(task_dir) if task_dir else next((p for p in (source / "tasks", source.parent.parent / "tasks") if p.is_dir()), source)
        found: TaskFiles = {split: _listed(lists / name, tasks) for split, name in LISTS.items() if (lists / name).is_file()}
    else:
        files = _task_files(Path(task_dir) if task_dir else source)
        if not files:
            return None
        found = {"train": files}
    return _only(found, wanted) if wanted else found


def _folder_of_lists(source: Path, track: str) -> Path | None:
    if any((source / name).is_file() for name in LISTS.values()):
        return source
    if not (source / "splits").is_dir():
        return None
    tracks = sorted(p.name for p in (source / "splits").iterdir() if any((p / name).is_file() for name in LISTS.values()))
    if track not in tracks:
        raise unknown("track", track, tracks)
    return source / "splits" / track


def _listed(file: Path, tasks: Path) -> dict[str, Path]:
    """The tasks that the file lists. Raises: UserError where one has no file."""
    found: dict[str, Path] = {}
    for number, line in enumerate(file.read_text(encoding="utf-8-sig").splitlines(), start=1):
        name = line.strip().removesuffix(TASK_SUFFIX)
        if not name:
            continue
        path = next((p for p in (tasks / f"{name}{TASK_SUFFIX}", tasks / f"{name}{TASK_SUFFIX}{GZIP}") if p.is_file()), None)
        if path is None:
            raise UserError(f"{file}:{number}: task '{name}' has no file {name}{TASK_SUFFIX} in {tasks}.")
        found[name] = path
    if not found:
        raise UserError(f"{file}: lists no task.")
    return found


def _task_files(source: Path) -> dict[str, Path]:
    if source.is_file():
        return {_name(source): source} if plain_name(source).endswith(TASK_SUFFIX) else {}
    folder = source / "tasks" if (source / "tasks").is_dir() else source
    return {_name(path): path for path in sorted(folder.glob("*")) if plain_name(path).endswith(TASK_SUFFIX) and path.is_file()}


def _name(path: Path) -> str:
    return plain_name(path).removesuffix(TASK_SUFFIX)


def _only(found: TaskFiles, wanted: Sequence[str]) -> TaskFiles:
    known = {name for tasks in found.values() for name in tasks}
    for name in wanted:
        if name not in known:
            raise unknown("task", name, known)
    kept = {split: {name: path for name, path in tasks.items() if name in wanted} for split, tasks in found.items()}
    return {split: tasks for split, tasks in kept.items() if tasks}
