"""Which column is the question, which the answer, ...: guessed by what columns are usually called, and by what they hold."""

import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from itertools import groupby
from typing import Any

from teacherlm.errors import UserError, unknown
from teacherlm.proposing.columns import Column, Look

ROLES: Mapping[str, tuple[str, ...]] = {
    "question": ("question", "query", "problem", "instruction", "prompt", "input", "stem", "sentence", "claim", "statement", "text", "q"),
    "answer": ("answer", "gold", "label", "target", "correct", "output", "response", "completion", "solution", "reply", "class", "y", "a"),
    "choices": ("choices", "options", "candidates", "alternatives", "endings"),
    "explanation": ("explanation", "rationale", "cot", "reasoning", "reason", "justification", "thought", "thoughts", "solution", "facts"),
    "id": ("id", "qid", "uid", "uuid", "guid", "idx", "index", "key"),
}
"""What columns are called, the likeliest first."""
ONE_CHOICE = ("", "choice", "option", "opt", "op", "ending", "alternative", "candidate", "answer", "ans")
"""What stands before the letter or number of a column that is one of the choices."""
ENUMERATED = re.compile(r"^(.*?)[\W_]*([A-Ja-j]|\d)$")
FLAGS = {"explanation": "rationale"}
"""A role's flag where it is called otherwise."""


@dataclass(frozen=True)
class ColumnMap:
    """Role -> column; "" where there is none. Choices may stand in several."""

    question: str = ""
    answer: str = ""
    choices: tuple[str, ...] = ()
    explanation: str = ""
    id: str = ""

    def settings(self) -> dict[str, str | list[str]]:
        """As the dataset's setting `columns` wants it: nothing for what is called as the role is."""
        found: dict[str, str | list[str]] = {}
        for role in ("question", "answer", "explanation", "id"):
            name = getattr(self, role)
            if name and name != role:
                found[role] = name
        if self.choices and self.choices != ("choices",):
            found["choices"] = self.choices[0] if len(self.choices) == 1 else list(self.choices)
        return found

    def said(self, role: str) -> str:
        value = getattr(self, role)
        return value if isinstance(value, str) else ", ".join(value)


def guess(look: Look) -> ColumnMap:
    """The likeliest column of each role; the surest pair is taken first, and a column is taken once."""
    choices = _enumerated_choices(look.columns)
    left = [column for column in look.columns if column.name not in choices]
    scores = sorted(
        ((-_score(column, role), number, role, column.name) for number, column in enumerate(left) for role in ROLES),
    )
    taken: dict[str, str] = {"choices": ""} if choices else {}
    for score, _, role, name in scores:
        if score < 0 and role not in taken and name not in taken.values():
            taken[role] = name
    own = taken.get("choices", "")
    found = ColumnMap(
        taken.get("question", ""),
        taken.get("answer", ""),
        choices or ((own,) if own else ()),
        taken.get("explanation", ""),
        taken.get("id", ""),
    )
    return found if found.question else replace(found, question=_longest(left, taken.values()))


def with_given(found: ColumnMap, given: Mapping[str, str], look: Look) -> ColumnMap:
    """`given`: role -> column(s) named by the user; "-" for none. Raises: UserError for a column that is not there."""
    for role, words in given.items():
        names = tuple(part.strip() for part in words.split(",") if part.strip()) if words != "-" else ()
        if role != "choices" and words in look.names:
            names = (words,)
        for name in names:
            if name not in look.names:
                raise UserError(f"--{FLAGS.get(role, role)}: {unknown('column', name, look.names)}")
        if role != "choices" and len(names) > 1:
            raise UserError(f"--{FLAGS.get(role, role)}: expected one column, found {words!r}; only choices stand in several.")
        found = _freed(found, names)
        found = _with(found, role, names)
    return found


def require_complete(found: ColumnMap, look: Look) -> ColumnMap:
    """Raises: UserError naming the flag, where nothing looks like the question or the answer."""
    for role in ("question", "answer"):
        if not getattr(found, role):
            names = ", ".join(look.names)
            raise UserError(f"{look.place}: which column is the {role} cannot be told from their names ({names}); say --{role} COLUMN.")
    return found


def _freed(found: ColumnMap, names: Iterable[str]) -> ColumnMap:
    """A column that the user gives to one role leaves the one it was guessed for."""
    for name in names:
        for role in ROLES:
            value = getattr(found, role)
            if value == name:
                found = _with(found, role, ())
            elif isinstance(value, tuple) and name in value:
                found = replace(found, choices=())
    return found


def _with(found: ColumnMap, role: str, names: tuple[str, ...]) -> ColumnMap:
    values: dict[str, Any] = {role: names if role == "choices" else next(iter(names), "")}
    return replace(found, **values)


def _score(column: Column, role: str) -> float:
    """0 for a column that cannot be it."""
    return _by_name(column.name, ROLES[role]) if column.rows and _may_be(column, role) else 0


def _by_name(name: str, words: Sequence[str]) -> float:
    parts = _parts(name)
    for number, word in enumerate(words):
        if "".join(parts) == word:
            return 100 - number
    ends = [60 - number for number, word in enumerate(words) if parts[-1:] == [word]]
    inside = [40 - number for number, word in enumerate(words) if len(word) > 1 and word in parts]
    return max(ends + inside, default=0)


def _parts(name: str) -> list[str]:
    """`answerKey`, `answer_key` and `Answer Key` are ["answer", "key"]."""
    return re.findall(r"[a-z]+|\d+", re.sub(r"([a-z])([A-Z])", r"\1 \2", name).lower())


def _may_be(column: Column, role: str) -> bool:
    """Whether what it holds fits."""
    if column.empty > 0.5 and role in ("question", "answer"):
        return False
    match role:
        case "question":
            return column.kind == "text" and column.length >= 5
        case "answer":
            return column.kind in ("text", "number", "true/false")
        case "choices":
            return column.is_options
        case "explanation":
            return (column.kind in ("text", "list", "list/text") and not column.is_unique) or column.kind == "text"
        case _:
            return column.kind in ("text", "number") and column.is_unique and not column.empty
    return False


def _longest(columns: Sequence[Column], taken: Iterable[str]) -> str:
    """Where no name says it, the column of the longest texts that differ from row to row."""
    used = set(taken)
    texts = [column for column in columns if column.name not in used and column.kind == "text" and column.distinct > column.rows / 2]
    return max(texts, key=lambda column: column.length).name if texts else ""


def _enumerated_choices(columns: Sequence[Column]) -> tuple[str, ...]:
    """A, B, C, D or choice0, choice1, ...: columns that are counted through."""
    marked = [(found[1], found[2], column.name) for column in columns if (found := ENUMERATED.match(column.name)) and "text" in column.kind]
    for prefix, group in groupby(sorted(marked), key=lambda one: one[0]):
        members = list(group)
        marks = "".join(mark for _, mark, _ in members)
        counted = any(marks and marks in row for row in ("ABCDEFGHIJ", "abcdefghij", "0123456789")) and marks[0] in "Aa01"
        if counted and len(marks) > 1 and (_parts(prefix)[-1:] or [""])[0] in ONE_CHOICE:
            return tuple(name for _, _, name in members)
    return ()
