"""Names the content of a task: everything that decides its questions and scores."""

import hashlib
import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from teacherlm.evaluation.task_files import class_file, task_files
from teacherlm.store.fingerprint import sha256_of

OURS = Path(__file__).parent / "tasks"
RULES_OF_ANSWERS = Path(__file__).parent.parent / "answers"


def metadata_of(task: Any) -> Mapping[str, Any]:
    """What the task's YAML declares beside lm-eval's own settings."""
    declared = task.get_config("metadata")
    return declared if isinstance(declared, Mapping) else {}


def task_content(name: str, task: Any) -> str:
    found = hashlib.blake2b(digest_size=8)
    for part in (name, *_source_hashes(task)):
        found.update(f"{part}\0".encode())
    for instance in task.instances:
        row = (instance.doc_id, instance.arguments, instance.repeats, instance.doc)
        found.update(json.dumps(row, sort_keys=True, default=str).encode())
    return found.hexdigest()


def _source_hashes(task: Any) -> list[str]:
    """Of the task's files, and of our own rules of answers where they score."""
    declared = Path(str(metadata_of(task).get("config_source", "")))
    sources = [declared if declared.is_file() else None, class_file(task)]
    files = {file for source in sources if source for file in task_files(source)}
    rules = set(RULES_OF_ANSWERS.glob("*.py")) if any(file.parent == OURS for file in files) else set()
    return [sha256_of(path) for path in sorted(files | rules)]
