"""The questions of a file: bare ones, prompts as they stand, conversations, or what `prepare` wrote."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from teacherlm.errors import UserError
from teacherlm.evaluation.students import Student
from teacherlm.store.manifest import require_finished
from teacherlm.store.sources import Table, open_source
from teacherlm.using.student import Turn, Wording, require_same_wording

MEASURED = ("test", "validation")
"""Splits that are asked first, where none is named."""


@dataclass(frozen=True)
class Asked:
    """One question of a file, as turns; what does not chat is asked the words of the last."""

    id: str
    turns: tuple[Turn, ...]
    where: str


def read_questions(path: Path, split: str, student: Student, wording: Wording, raw: bool) -> list[Asked]:
    """Rows with `question` (and `choices`), with `messages`, or with `prompt`, which is asked as it stands.

    Raises: UserError for a file without rows, a row without a question, and rows prepared by a template that the student never saw.
    """
    require_finished(path)
    found = []
    for number, (where, row) in enumerate(_table(path, split).rows(), start=1):
        found.append(Asked(str(row.get("id", number)), tuple(_turns(row, where, student, wording, raw)), where))
    if not found:
        raise UserError(f"{path}: has no rows.")
    return found


def _table(path: Path, split: str) -> Table:
    tables = open_source(str(path))
    wanted = [split] if split else [*MEASURED, next(iter(tables), "")]
    name = next((one for one in wanted if one in tables), None)
    if name is None:
        raise UserError(f"{path}: has no split '{split}' (found: {', '.join(tables)}).")
    return tables[name]


def _turns(row: Mapping[str, Any], where: str, student: Student, wording: Wording, raw: bool) -> Iterator[Turn]:
    if isinstance(row.get("messages"), list) and row["messages"] and wording.chat:
        yield from _conversation(row["messages"], where)
        return
    yield {"role": "user", "content": _prompt(row, where, student, wording, raw)}


def _prompt(row: Mapping[str, Any], where: str, student: Student, wording: Wording, raw: bool) -> str:
    question, prompt = row.get("question"), row.get("prompt")
    if isinstance(prompt, str) and prompt.strip():
        if not raw:
            require_same_wording(student, str(row.get("template") or ""), where)
        return f"{wording.prefix}{prompt}"
    if isinstance(question, str) and question.strip():
        choices = row.get("choices") or ()
        if not isinstance(choices, (list, tuple)) or not all(isinstance(one, str) for one in choices):
            raise UserError(f"{where}: column 'choices': expected a list of texts, found {choices!r}.")
        return wording.prompt(question, choices)
    raise UserError(f"{where}: expected a text in 'question' or 'prompt', found the keys {', '.join(map(str, row)) or 'none'}.")


def _conversation(messages: list[Any], where: str) -> Iterator[Turn]:
    """Up to the last answer, which is what shall be written."""
    turns = [turn for turn in messages if isinstance(turn, Mapping) and isinstance(turn.get("content"), str)]
    if len(turns) < len(messages) or any(turn.get("role") not in ("system", "user", "assistant") for turn in turns):
        raise UserError(f"{where}: column 'messages': expected turns {{role, content}} of system, user and assistant.")
    last = max((place for place, turn in enumerate(turns) if turn["role"] == "user"), default=None)
    if last is None:
        raise UserError(f"{where}: column 'messages': there is no turn of a user.")
    yield from ({"role": str(turn["role"]), "content": str(turn["content"])} for turn in turns[: last + 1])
