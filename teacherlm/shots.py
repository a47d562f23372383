"""Worked examples before a question (few-shot prompts): their blocks as files hold them, and the name of a task that has some."""

import re
from pathlib import Path
from typing import Annotated, Any

from teacherlm.errors import UserError, unknown
from teacherlm.stage import Source
from teacherlm.store.files import read_json

SHOT = re.compile(r"^Q:(.*?)^A:", re.DOTALL | re.MULTILINE)
"""The question of each example."""

ShotsFile = Annotated[Path, Source("data")]


def with_shots(task: str, shots: int | None) -> str:
    """`gsm8k (5-shot)`: the same task with and without them is two measurements."""
    return f"{task} ({shots}-shot)" if shots else task


def read_shots(file: Path | str, key: str = "") -> str:
    """The examples (`Q: ...` and `A: ...` in turn) of a text file, or of a JSON {key: {prompt: ...}} as few_shot_cot_prompts.json.

    Raises: UserError for a file that is missing, a key that it lacks, and a block without `Q:` and `A:`.
    """
    path = Path(file)
    if path.suffix == ".json":
        block = _of_key(read_json(path), path, key)
    elif path.is_file():
        block = path.read_text(encoding="utf-8")
    else:
        raise UserError(f"{path}: no such file.")
    if not SHOT.search(block):
        raise UserError(f"{path}: holds no examples; they look like `Q: ...`, a new line, `A: ... The answer is ...`.")
    return block.strip()


def _of_key(blocks: Any, path: Path, wanted: str) -> str:
    if not isinstance(blocks, dict) or not blocks:
        raise UserError(f"{path}: expected {{key: {{prompt: ...}}}}, found {type(blocks).__name__}.")
    key = wanted or (next(iter(blocks)) if len(blocks) == 1 else "")
    if not key:
        raise UserError(f"{path}: holds several prompts; say which with key: {', '.join(blocks)}.")
    if key not in blocks:
        raise unknown("few-shot prompt", key, blocks)
    if not isinstance(blocks[key], dict) or not isinstance(blocks[key].get("prompt"), str):
        raise UserError(f"{path}: {key}.prompt: expected a text.")
    return str(blocks[key]["prompt"])
