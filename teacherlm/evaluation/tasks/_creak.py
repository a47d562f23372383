"""CREAK for lm-eval: local files or the hub, and the answer of a student that explains before it answers."""

import json
from pathlib import Path
from typing import Any

from datasets import Dataset, DatasetDict, load_dataset, load_from_disk

HUB = "amydeng2000/CREAK"
LABELS = ("true", "false")
CHOICES = ("True", "False")
"""As the prompt words them."""
FILES = {"train": "train.json", "validation": "dev.json"}


def dataset(data: str | None = None, **_: Any) -> dict[str, Dataset]:
    """The splits `train` (for shots; empty when there is none) and `validation`, columns as published.

    `data` (lm-eval: `--metadata '{"data": path}'`) is a folder of the published files, a folder written by `save_to_disk`
    or `prepare`, or one .json file of rows to be measured; without it the hub is asked.
    Raises: ValueError naming the file, and the line where there is one, for what is not labelled CREAK.
    """
    if data is None:
        splits = load_dataset(HUB)
    elif (Path(data) / "dataset_dict.json").is_file():
        splits = load_from_disk(data)
    else:
        splits = DatasetDict({split: Dataset.from_list(_read_rows(path)) for split, path in _files(Path(data)).items()})
    if "validation" not in splits:
        raise ValueError(f"{data or HUB}: has no split 'validation' (found: {', '.join(splits)}).")
    _check_labels(splits["validation"], data or HUB)
    return {"validation": splits["validation"], "train": splits.get("train", splits["validation"].select([]))}


def _files(path: Path) -> dict[str, Path]:
    if path.is_file():
        return {"validation": path}
    found = {split: path / name for split, name in FILES.items() if (path / name).is_file()}
    if "validation" not in found:
        raise ValueError(f"{path}: expected CREAK's dev.json, a dataset saved with save_to_disk, or a .json file.")
    return found


def _read_rows(path: Path) -> list[dict[str, Any]]:
    """The published files hold one JSON object a line."""
    rows = []
    for number, line in enumerate(path.read_text(encoding="utf-8").splitlines(), start=1):
        try:
            row = json.loads(line)
        except json.JSONDecodeError as error:
            raise ValueError(f"{path}:{number}: not valid JSON ({error}).") from None
        for column in ("sentence", "label"):
            if not isinstance(row, dict) or column not in row:
                raise ValueError(f"{path}:{number}: column '{column}' is missing (found: {', '.join(row)}).")
        rows.append(row)
    if not rows:
        raise ValueError(f"{path}: the file has no rows.")
    return rows


def _check_labels(rows: Dataset, source: str) -> None:
    if "label" not in rows.column_names:
        raise ValueError(f"{source}: column 'label' is missing (found: {', '.join(rows.column_names)}).")
    for number, label in enumerate(rows["label"], start=1):
        if label not in LABELS:
            raise ValueError(f"{source}:{number}: label {label!r} is neither 'true' nor 'false'.")


def score(doc: dict[str, Any], results: list[str]) -> dict[str, float]:
    """acc: the stated letter is right; parsed: a letter, or a choice by its words, was stated at all."""
    from teacherlm.answers import find_answer

    stated = find_answer(results[0], "letter", choices=CHOICES)
    return {"acc": float(stated == letter(doc)), "parsed": float(stated is not None)}


def letter(doc: dict[str, Any]) -> str:
    return "AB"[LABELS.index(doc["label"])]
