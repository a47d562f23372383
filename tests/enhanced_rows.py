"""Rows as `enhance` writes them, and what postprocess makes of them."""

import json
from pathlib import Path
from typing import Any

from teacherlm.parsing import parse_config
from teacherlm.stage import Outcome
from teacherlm.stages.postprocess import PostprocessConfig, postprocess
from teacherlm.stages.prepare import PrepareConfig, prepare

Row = dict[str, Any]


def lines(path: Path) -> list[Row]:
    return [json.loads(line) for line in path.read_text(encoding="utf-8").splitlines()]


def write_lines(path: Path, rows: list[Row]) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text("".join(f"{json.dumps(row)}\n" for row in rows), encoding="utf-8")
    return path


def enhanced(question: Row, **texts: str) -> Row:
    """A row as `enhance` writes it, with given rationales."""
    first = next(iter(texts))
    ends = {f"{kind}_finish": "stop" for kind in texts}
    return {**question, **texts, "all": question[f"{first}_text"] + texts[first], "completion_index": 0, "teacher": first, **ends}


def done(output: Path, *inputs: Path, **values: Any) -> Outcome:
    return postprocess(parse_config(PostprocessConfig, {"input": [str(path) for path in inputs], "output": str(output), **values}))


def dataset(folder: Path) -> Any:
    from datasets import load_from_disk

    return load_from_disk(str(folder))


def soups(folder: Path, count: int = 4) -> list[Row]:
    """Prepared questions about soup; the right answer is always (A)."""
    rows = [{"ex_id": f"t{i}", "sentence": f"Soup number {i} is liquid.", "label": "true"} for i in range(count)]
    source = write_lines(folder / "raw" / "train.json", rows)
    prepare(PrepareConfig.model_validate({"dataset": "creak", "source": str(source), "output": folder / "questions"}))
    return lines(folder / "questions" / "CREAK.jsonl")
