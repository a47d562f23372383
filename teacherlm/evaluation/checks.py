"""What goes wrong while a task is loaded, in one clear line; and what lm-eval would pass over without a word."""

import traceback
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from types import TracebackType
from typing import TYPE_CHECKING, Any

from jinja2 import TemplateError

from teacherlm.errors import UserError
from teacherlm.evaluation.failures import Failures

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
    except Exception as error:
        if failures is None:
            raise
        with failures.noted(f"task '{name}'"):
            raise error


@contextmanager
def _explained(name: str, folders: Sequence[Path]) -> Iterator[None]:
    """What a file in the user's own folders raised stays as it is: its traceback says more than a line would."""
    try:
        yield
    except UserError:
        raise
    except (KeyError, ValueError, OSError, TemplateError) as error:
        if isinstance(error, KeyError):
            line = _missing_split(error)
        else:
            line = "" if _came_from(error, folders) else str(error).strip().split("\n")[0] or type(error).__name__
        if not line:
            raise
        raise UserError(f"task '{name}': {line}") from error


def _came_from(error: Exception, folders: Sequence[Path]) -> bool:
    files = [Path(frame.filename).resolve() for frame in traceback.extract_tb(error.__traceback__)]
    return any(file.is_relative_to(folder.resolve()) for file in files for folder in folders)


def _missing_split(error: KeyError) -> str:
    """Where a task asked its data for a split that it lacks; "" for any other KeyError."""
    task = _last_frame(error.__traceback__).get("self")
    splits = getattr(task, "dataset", None)
    if not isinstance(splits, Mapping) or not error.args or error.args[0] in splits:
        return ""
    return f"its data has no split '{error.args[0]}' (found: {', '.join(map(str, splits))})."


def _last_frame(trace: TracebackType | None) -> dict[str, Any]:
    while trace is not None and trace.tb_next is not None:
        trace = trace.tb_next
    return trace.tb_frame.f_locals if trace else {}


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
