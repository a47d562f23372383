"""Any lm-eval task: `prepare lm_eval:arc_easy` takes its train split in the words in which the task measures.

    {"text": "Question: Which factor will most likely cause a person to develop a fever?\\nAnswer: a bacterial population in the blood"}

The licence is that of the task's data. `source` is handed to tasks that read local files (`--metadata '{"data": path}'` in plain lm-eval).
"""

import json
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any, Literal

from teacherlm.catalog import ChosenSettings
from teacherlm.dataset import BadRow, Dataset, Splits
from teacherlm.errors import UserError, unknown
from teacherlm.prompts import LETTERS
from teacherlm.records import Question
from teacherlm.shipped import TASKS
from teacherlm.store.sources import Origin

Kind = Literal["train", "validation", "test"]
MEASURES = ("multiple_choice", "generate_until")
"""Kinds of tasks that have a right answer to learn."""


class LmEvalSettings(ChosenSettings):
    name: Literal["lm_eval"] = "lm_eval"
    task: str
    """Name of the task, as `evaluate` takes it."""
    include_path: list[Path] = []
    """Folders with tasks of your own, searched before lm-eval's."""
    take: Kind = "train"
    """Which of the task's splits to learn from; never the one it measures on."""


def read(settings: LmEvalSettings, origin: Origin | None, seed: int) -> Splits:
    """Raises: UserError for an unknown task, one without such a split, and one that has no right answers."""
    task = _build_task(settings, origin)
    if task.OUTPUT_TYPE not in MEASURES:
        raise UserError(f"lm_eval:{settings.task}: measures {task.OUTPUT_TYPE}, which has no answer to learn; {' or '.join(MEASURES)} has.")
    return {settings.take: _questions(task, settings)}


def _build_task(settings: LmEvalSettings, origin: Origin | None) -> Any:
    from lm_eval.tasks import TaskManager

    folders = [TASKS, *settings.include_path]
    if missing := next((folder for folder in folders if not folder.is_dir()), None):
        raise UserError(f"include_path: {missing}: no such folder.")
    metadata = {"data": origin.place} if origin is not None else {}
    for defaults in (False, True):  # reading lm-eval's own tasks takes seconds
        manager = TaskManager(include_path=[str(folder) for folder in folders], include_defaults=defaults, metadata=metadata)
        if settings.task in manager.all_subtasks:
            return _load(manager, settings.task)
        if settings.task in manager.all_tasks:
            raise UserError(f"lm_eval:{settings.task}: is a group of tasks; take one of them, or mix several.")
    raise unknown("task", settings.task, manager.all_subtasks)


def _load(manager: Any, name: str) -> Any:
    from jinja2 import TemplateError

    try:
        return manager.load([name])["tasks"][name]
    except (ValueError, OSError, ConnectionError, TemplateError) as error:
        raise UserError(f"lm_eval:{name}: {str(error).splitlines()[0] if str(error) else type(error).__name__}") from error


def _questions(task: Any, settings: LmEvalSettings) -> Iterator[Question | BadRow]:
    item = (task.get_config("metadata") or {}).get("item", "id")
    for number, doc in enumerate(_docs(task, settings)):
        where = f"lm_eval:{settings.task}: {settings.take} row {number}"
        try:
            yield _question(task, doc, str(doc.get(item) or ""), where)
        except UserError as error:
            yield BadRow(where, str(error), doc)


def _docs(task: Any, settings: LmEvalSettings) -> Any:
    splits = {
        "train": (task.has_training_docs, task.training_docs),
        "validation": (task.has_validation_docs, task.validation_docs),
        "test": (task.has_test_docs, task.test_docs),
    }
    found = [kind for kind, (has, _) in splits.items() if has()]
    measured = "test" if "test" in found else "validation"
    if settings.take == measured:
        raise UserError(f"lm_eval:{settings.task}: measures on its {measured} split; a student must not learn from it.")
    # A split that is declared may be empty, where local data has no such file.
    docs = splits[settings.take][1]() if settings.take in found else ()
    if not docs:
        others = ", ".join(kind for kind in found if kind not in (measured, settings.take)) or "none"
        raise UserError(f"lm_eval:{settings.task}: has no {settings.take} split to learn from (others it does not measure on: {others}).")
    return docs


def _question(task: Any, doc: Mapping[str, Any], identity: str, where: str) -> Question:
    """The prompt and the answer are those that lm-eval weighs or asks, delimiter and all."""
    context = task.fewshot_context(doc, 0, gen_prefix=task.doc_to_prefix(doc))
    delimiter = str(task.get_config("target_delimiter") or "")
    if task.OUTPUT_TYPE == "generate_until":
        targets = task.doc_to_target(doc)
        told = tuple(map(str, targets)) if isinstance(targets, (list, tuple)) else (str(targets),)
        return _made(context, delimiter, told[0], (), doc, identity, where, told)
    requests = task.construct_requests(doc, context)
    right = _right(task, doc, len(requests), where)
    prompt, continuation = requests[right].arguments[:2]
    if task.multiple_input:  # the choices are different prompts
        return _made(prompt, "", continuation, (), doc, identity, where)
    choices = tuple(str(request.arguments[1]).removeprefix(delimiter) for request in requests)
    if len(choices) > len(LETTERS):
        return _made(prompt, delimiter, choices[right], (), doc, identity, where)
    return _made(prompt, delimiter, LETTERS[right], choices, doc, identity, where)


def _right(task: Any, doc: Mapping[str, Any], count: int, where: str) -> int:
    """Index of the right choice."""
    gold = task.doc_to_text(doc) if task.multiple_input else task.doc_to_target(doc)
    if isinstance(gold, (list, tuple)):
        gold = gold[0] if gold else -1
    if isinstance(gold, str):
        choices = task.doc_to_choice(doc)
        gold = choices.index(gold) if gold in choices else int(gold) if gold.lstrip("-").isdecimal() else -1
    if not 0 <= int(gold) < count:
        raise UserError(f"{where}: the task names none of its {count} choices as the right one (it says {gold!r}).")
    return int(gold)


def _made(
    prompt: str,
    delimiter: str,
    answer: str,
    choices: tuple[str, ...],
    doc: Mapping[str, Any],
    identity: str,
    where: str,
    references: tuple[str, ...] = (),
) -> Question:
    return Question(
        question=prompt,
        answer=answer,
        choices=choices,
        answer_rule="letter" if choices else "exact",
        source_id=identity,
        raw=doc,
        where=where,
        references=references if len(references) > 1 else (),
        template="verbatim" + (json.dumps({"delimiter": delimiter}, separators=(",", ":")) if delimiter else ""),
    )


DATASET = Dataset(LmEvalSettings, read, needs_source=False, template="verbatim")
