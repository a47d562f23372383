"""Any dataset written by `prepare`, for lm-eval: free answers read from the text, or letters by log-likelihood."""

import string
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import pyarrow as pa
from datasets import Dataset, DatasetDict, Features, List, Value, concatenate_datasets, load_from_disk

COLUMNS = ("id", "prompt", "choices", "answer", "answer_rule", "template")
WORDED = ("stated", "letter_prefix", "options")
"""Added by the template of each row: its answer as a student writes it, what stands before a letter, and what is weighed behind that."""


def dataset(data: str | None = None, split: str | None = None, **_: Any) -> dict[str, Dataset]:
    """The splits `test` (what is measured) and `train` (for shots; empty when there is none), with the columns above.

    `data` is the folder written by `prepare`, or its .jsonl. `split` names what is measured; without it, it is the only split
    of the folder, else `test`, else `validation`.
    Raises: ValueError naming what is missing and what was found.
    """
    if data is None:
        raise ValueError("`data` is missing: give the folder written by `prepare`, or its .jsonl.")
    return read_prepared(data, split)


def is_prepared(data: str) -> bool:
    """Whether `prepare` wrote this folder, so that its rows are worded already; other datasets that were saved to disk are not."""
    path = Path(data)
    if not (path / "dataset_dict.json").is_file():
        return False
    return all(set(COLUMNS) <= set(columns) for columns in load_from_disk(str(path)).column_names.values())


def read_prepared(data: str, split: str | None, more: Sequence[str] = ()) -> dict[str, Dataset]:
    """`more`: columns of the source that are kept where they are there. Raises: as `dataset`."""
    path = Path(data)
    splits = DatasetDict({split or "test": _read_rows(path)}) if path.is_file() else _read_folder(path)
    measured = splits[_measured_split(splits, split, data)]
    rows = {"test": measured, "train": splits.get("train", measured.select([]))}
    return {name: _ours(part, data, more) for name, part in rows.items()}


def _read_folder(path: Path) -> DatasetDict:
    if not (path / "dataset_dict.json").is_file():
        raise ValueError(f"{path}: expected a folder written by `prepare` (it holds dataset_dict.json), or its .jsonl.")
    return load_from_disk(str(path))


def _read_rows(path: Path) -> Dataset:
    rows = []
    for number, row in read_lines(path):
        missing = [column for column in COLUMNS if column not in row]
        if missing:
            raise ValueError(f"{path}:{number}: column '{missing[0]}' is missing: it was not written by `prepare`.")
        rows.append({**{column: row[column] for column in COLUMNS}, "references": row.get("references") or [row["answer"]]})
    return Dataset.from_list(rows)


def read_lines(path: Path) -> Iterator[tuple[int, dict[str, Any]]]:
    """(line number from 1, row) of a .jsonl. Raises: ValueError naming the line that holds no row, and where there is none."""
    from teacherlm.errors import UserError
    from teacherlm.store.files import read_jsonl

    try:
        yield from read_jsonl(path)
    except UserError as error:
        raise ValueError(str(error)) from None


def _measured_split(splits: DatasetDict, split: str | None, data: str) -> str:
    wanted = [split] if split else [*splits] if len(splits) == 1 else ["test", "validation"]
    found = next((name for name in wanted if name in splits), None)
    if found is None:
        raise ValueError(f"{data}: has no split {' or '.join(repr(name) for name in wanted)} (found: {', '.join(splits)}).")
    if not len(splits[found]):
        raise ValueError(f"{data}: split '{found}' has no rows.")
    return found


def _ours(rows: Dataset, data: str, more: Sequence[str]) -> Dataset:
    missing = [column for column in COLUMNS if column not in rows.column_names]
    if missing:
        raise ValueError(f"{data}: column '{missing[0]}' is missing: it was not written by `prepare`.")
    ours = rows.select_columns([*COLUMNS, *(column for column in ("references", *more) if column in rows.column_names)])
    columns = ours.to_dict()  # a column of a Dataset is read row by row, which takes seconds
    given = columns.get("references", [None] * len(ours))
    columns["references"] = [several or [answer] for several, answer in zip(given, columns["answer"], strict=True)]
    return worded(Dataset.from_dict(columns, features=Features({**ours.features, "references": List(Value("string"))})))


def worded(rows: Dataset) -> Dataset:
    """The rows with what the template of each adds. Raises: ValueError for a row whose answer is none of its choices' letters."""
    needed = ("id", "template", "answer", "choices")
    columns = rows.select_columns([*needed]).to_dict()
    words = [_words(*row) for row in zip(*(columns[name] for name in needed), strict=True)]
    kinds = {"stated": Value("string"), "letter_prefix": Value("string"), "options": List(Value("string"))}
    added = {name: [row[i] for row in words] for i, name in enumerate(WORDED)}
    table = pa.table(added, schema=Features(kinds).arrow_schema)
    bare = rows.remove_columns([name for name in WORDED if name in rows.column_names])  # they may have been worded before
    return concatenate_datasets([bare, Dataset(table)], axis=1)


def _words(name: str, spec: str, answer: str, choices: list[str]) -> tuple[str, str, list[str]]:
    """WORDED, of one row. Of a chat what begins a turn, without a space."""
    from teacherlm.prompts import letters, template

    chosen, known = template(spec), [*letters(choices or ())]
    if choices and answer not in known:
        raise ValueError(f"question '{name}': its answer {answer!r} is none of its letters ({', '.join(known)}).")
    stated = chosen.answer(answer, choices)
    if not choices:
        return stated.lstrip() if chosen.chat else stated, "", []
    prefix, told = chosen.letter_prefix, {letter: chosen.answer(letter, choices) for letter in known}
    if chosen.chat:
        stated, told = stated.lstrip(), {letter: text.lstrip() for letter, text in told.items()}
    by_letter = all(text.startswith(prefix + letter) for letter, text in told.items())
    return stated, prefix if by_letter else "", [*told] if by_letter else [*told.values()]


def score(doc: dict[str, Any], results: list[str]) -> dict[str, float]:
    """acc: the stated answer is a right one by the question's own rule; parsed: an answer was stated at all."""
    from teacherlm.answers import same
    from teacherlm.prompts import said_answer

    stated = said_answer(results[0], doc["template"], doc["answer_rule"], doc["choices"])
    right = stated is not None and any(same(stated, reference, doc["answer_rule"]) for reference in doc["references"])
    return {"acc": float(right), "parsed": float(stated is not None)}


def letters(doc: dict[str, Any]) -> list[str]:
    """The letters of the choices (where the row's template states no letters: the choices as it states them).

    A question without choices has none and cannot be measured so.
    """
    if not doc["choices"]:
        raise ValueError(f"question '{doc['id']}' has no choices: measure it with the task 'questions'.")
    return list(doc["options"])


def gold(doc: dict[str, Any]) -> int:
    """Index of the right one."""
    return string.ascii_uppercase[: len(letters(doc))].index(doc["answer"])
