"""Names the content of a task: everything that decides its questions and scores."""

import hashlib
import json
import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from teacherlm.evaluation.task_files import class_file, task_files
from teacherlm.store.fingerprint import WEIGHTS, sha256_of

OURS = Path(__file__).parent / "tasks"
RULES_OF_ANSWERS = Path(__file__).parent.parent / "answers"
READ_HERE = ("item", "answer_rule", "choices")
"""Metadata by which `evaluate` itself names and reads what was answered."""
WHICH_ROWS = ("data", "split")
"""Metadata that decides nothing but the rows."""


def metadata_of(task: Any) -> Mapping[str, Any]:
    """What the task's YAML declares beside lm-eval's own settings."""
    declared = task.get_config("metadata")
    return declared if isinstance(declared, Mapping) else {}


def task_content(name: str, task: Any, told: Mapping[str, Any] | None = None) -> str:
    """`told`: what the run told the task as `metadata`."""
    found = hashlib.blake2b(digest_size=8)
    for part in (name, *_source_hashes(task), *_read_for_scores(task, told or {})):
        found.update(f"{part}\0".encode())
    for instance in task.instances:
        row = (instance.doc_id, instance.arguments, instance.repeats, instance.doc)
        found.update(json.dumps(row, sort_keys=True, default=str).encode())
    return found.hexdigest()


def _read_for_scores(task: Any, told: Mapping[str, Any]) -> list[str]:
    """What is told and may decide scores. A task in YAML scores by its rows, which hold what its data was asked for; a class of one's own
    may read all of it.
    """
    from lm_eval.api.task import ConfigurableTask

    in_yaml = type(task) is ConfigurableTask
    read = [key for key in sorted(told) if told[key] is not None and (key in READ_HERE or (not in_yaml and key not in WHICH_ROWS))]
    return [json.dumps([key, _content_of(told[key])], sort_keys=True, default=str) for key in read]


def _content_of(value: Any) -> Any:
    """Of a path what lies there, such as a tokenizer's files, so that it may move; weights and folders score nothing."""
    if not isinstance(value, str) or not os.path.exists(value):
        return value
    path = Path(value)
    files = [path] if path.is_file() else [file for file in sorted(path.iterdir()) if file.is_file() and file.suffix not in WEIGHTS]
    return [(str(file.relative_to(path)), sha256_of(file)) for file in files]


def _source_hashes(task: Any) -> list[str]:
    """Of the task's files, and of our own rules of answers where they score."""
    declared = Path(str(metadata_of(task).get("config_source", "")))
    sources = [declared if declared.is_file() else None, class_file(task)]
    files = {file for source in sources if source for file in task_files(source)}
    rules = set(RULES_OF_ANSWERS.glob("*.py")) if any(file.parent == OURS for file in files) else set()
    return [sha256_of(path) for path in sorted(files | rules)]
