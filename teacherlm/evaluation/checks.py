"""What goes wrong while a task is loaded, in one clear line; and what lm-eval would pass over without a word."""

import traceback
from collections import deque
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from types import FrameType
from typing import TYPE_CHECKING, Any

from jinja2 import TemplateError

from teacherlm.errors import UserError
from teacherlm.evaluation.failures import Failures
from teacherlm.store.files import read_jsonl

if TYPE_CHECKING:
    from teacherlm.evaluation.loading import LoadedTask


@contextmanager
def isolated(name: str, folders: Sequence[Path], failures: Failures | None) -> Iterator[None]:
    """What the user can mend is raised as a UserError, and nothing is measured; what a task's own code raises is noted in `failures`
    where they are given, and the other tasks go on.
    """
    try:
        with _explained(name, folders):
            yield
    except UserError:
        raise
    except (Exception, SystemExit) as error:  # a plugin that ends the program has failed like one that raises
        if failures is None:
            raise
        with failures.noted(f"task '{name}'"):
            raise error


@contextmanager
def _explained(name: str, folders: Sequence[Path]) -> Iterator[None]:
    """What a file in the user's own folders raised stays as it is: its traceback says more than a line would."""
    from datasets.exceptions import DatasetGenerationError

    try:
        yield
    except UserError:
        raise
    except (KeyError, ValueError, OSError, TemplateError, StopIteration, DatasetGenerationError) as error:
        if isinstance(error, (StopIteration, DatasetGenerationError)):
            line = _unreadable_data(error)
        elif isinstance(error, KeyError):
            line = _missing_split(error, folders)
        else:
            line = "" if _came_from(error, folders) else str(error).strip().split("\n")[0] or type(error).__name__
        if not line:
            raise
        raise UserError(f"task '{name}': {line}") from error


def _came_from(error: Exception, folders: Sequence[Path]) -> bool:
    return any(_lies_in(folders, frame) for frame in _frames(error))


def _lies_in(folders: Sequence[Path], frame: FrameType) -> bool:
    return any(Path(frame.f_code.co_filename).resolve().is_relative_to(folder.resolve()) for folder in folders)


def _missing_split(error: KeyError, folders: Sequence[Path]) -> str:
    """Where a task asked its data for a split that it lacks; "" for any other KeyError, such as that of a row in the user's own code."""
    frame = _frames(error)[-1]
    asked = None if _lies_in(folders, frame) else frame.f_locals.get("self")
    splits = asked if isinstance(asked, Mapping) else getattr(asked, "dataset", None)
    if not isinstance(splits, Mapping) or not error.args or error.args[0] in splits:
        return ""
    return f"its data has no split '{error.args[0]}' (found: {', '.join(map(str, splits))})."


def _unreadable_data(error: Exception) -> str:
    """What `datasets` could not read of a task's files: in which of them and where, as far as that is known; "" for any other error."""
    cause = error.__cause__ if isinstance(error.__cause__, Exception) else error
    readers = [frame.f_locals for frame in _frames(cause) if "/datasets/packaged_modules/" in Path(frame.f_code.co_filename).as_posix()]
    if not readers:
        return ""
    config = getattr(readers[0].get("self"), "config", None)
    files = [Path(file) for split in (getattr(config, "data_files", None) or {}).values() for file in split]
    try:
        for file in files:
            if file.suffix == ".jsonl" and file.is_file():
                deque(read_jsonl(file), maxlen=0)
    except UserError as found:
        return str(found)
    where = next((str(local["file"]) for local in readers if local.get("file")), ", ".join(map(str, files)))
    return f"{where}: {str(cause).strip().splitlines()[0] if str(cause).strip() else 'holds no data'}"


def _frames(error: BaseException) -> list[FrameType]:
    return [frame for frame, _ in traceback.walk_tb(error.__traceback__)]


def refuse_without_gold(loaded: "LoadedTask") -> None:
    """Raises: UserError for a question of a task in YAML whose gold is empty, or none of its choices.

    lm-eval counts such questions as wrong, whatever is answered. A task that scores by a function of its own knows better.
    """
    from lm_eval.api.task import ConfigurableTask

    task = loaded.task
    if not isinstance(task, ConfigurableTask) or task.config.process_results is not None:
        return
    chosen = task.get_config("output_type") == "multiple_choice"
    if not chosen and task.get_config("output_type") != "generate_until":
        return
    docs = {instance.doc_id: instance.doc for instance in task.instances}
    for doc_id, doc in docs.items():
        gold = task.doc_to_text(doc) if chosen and task.multiple_input else task.doc_to_target(doc)
        wrong = _not_a_choice(gold, task.doc_to_choice(doc)) if chosen else _is_empty(gold)
        if wrong:
            what = f"its gold answer {gold!r} is none of its choices" if chosen and not _is_empty(gold) else "it has no gold answer"
            raise UserError(f"task '{loaded.name}', item '{loaded.item_id(doc, doc_id)}': {what} (doc_to_target).")


def _is_empty(gold: Any) -> bool:
    return gold is None or (isinstance(gold, (str, list)) and not gold)


def _not_a_choice(gold: Any, choices: Any) -> bool:
    if isinstance(gold, list):
        return not gold or any(_not_a_choice(one, choices) for one in gold)
    return not 0 <= gold < len(choices) if isinstance(gold, int) else gold not in choices
