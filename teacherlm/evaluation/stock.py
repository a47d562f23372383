"""lm-eval's own tasks of a name that a task of ours has: `lm_eval:gsm8k` is lm-eval's, `gsm8k` ours."""

import functools
import json
import re
from pathlib import Path
from typing import Any

from teacherlm.log import say

STOCK = "lm_eval:"
"""Before the name of a task, a group or a pattern: it is looked for among lm-eval's own alone."""


@functools.lru_cache(maxsize=4)
def stock_manager(metadata: str = "{}") -> Any:
    """lm-eval's index of its own tasks; reading it takes seconds."""
    from lm_eval.tasks import TaskManager

    return TaskManager(metadata=json.loads(metadata))


@functools.cache
def say_whose(name: str) -> None:
    """One line, once, where lm-eval has a task or group of this name in a folder of this name."""
    import lm_eval.tasks

    folder = Path(lm_eval.tasks.__file__).parent / name
    declared = re.compile(rf"^(?:task|group):\s*{re.escape(name)}\s*$", re.MULTILINE)
    if any(declared.search(path.read_text(encoding="utf-8")) for path in sorted(folder.rglob("*.yaml"))):
        say(f"{name}: this is the task of teacherlm, which asks as its students are taught; lm-eval's own is {STOCK}{name}.")
