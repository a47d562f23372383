"""What a student's example is made of: rows of one or several inputs, side by side by kind, one below the other by teacher."""

from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from itertools import takewhile
from pathlib import Path
from typing import Any

from teacherlm.answers.thinking import thinking
from teacherlm.errors import UserError
from teacherlm.prompts import KINDS, TEXTS, template
from teacherlm.records import ATTEMPT, LOGPROBS, OUR_COLUMNS
from teacherlm.store.joining import Joined, Stacked, stack
from teacherlm.store.sources import require

Row = dict[str, Any]


@dataclass(frozen=True)
class Enhanced:
    """One input: its rows, the kinds it gives, who wrote them."""

    path: Path
    kinds: tuple[str, ...]
    teacher: str = ""


@dataclass(frozen=True)
class Laid:
    """A row laid out, or why it cannot be."""

    row: Row
    unusable: str = ""
    attempts: Mapping[str, Row] | None = None
    """Kind -> the row that gave it."""


def grouped(inputs: Sequence[Enhanced]) -> list[list[Enhanced]]:
    """Groups whose inputs stand side by side; the groups are stacked, each one gives all kinds.

    Different kinds are one group (three specialists). Inputs that give the same kinds are groups of their own (two teachers). Where
    both happens, the inputs of each teacher are a group.
    Raises: UserError where that does not give every group each kind once.
    """
    kinds = {kind for given in inputs for kind in given.kinds}
    if _is_whole(inputs, kinds):
        return [list(inputs)]
    by_teacher: dict[str, list[Enhanced]] = {}
    for number, given in enumerate(inputs):
        whole = set(given.kinds) == kinds
        by_teacher.setdefault(f"input {number}" if whole else f"teacher {given.teacher}", []).append(given)
    for group in by_teacher.values():
        if not _is_whole(group, kinds):
            raise UserError(_ambiguous(inputs, group, kinds))
    return list(by_teacher.values())


def _is_whole(group: Sequence[Enhanced], kinds: set[str]) -> bool:
    return sorted(kind for given in group for kind in given.kinds) == sorted(kinds)


def _ambiguous(inputs: Sequence[Enhanced], group: Sequence[Enhanced], kinds: set[str]) -> str:
    counts = Counter(kind for given in group for kind in given.kinds)
    wrong = next(kind for kind in KINDS if kind in kinds and counts[kind] != 1)
    twice = next(kind for kind in KINDS if sum(kind in given.kinds for given in inputs) > 1)
    given = group[0]
    what = f"gives '{wrong}' {counts[wrong]} times" if counts[wrong] else f"gives no '{wrong}'"
    all_kinds = ", ".join(kind for kind in KINDS if kind in kinds)
    return (
        f"{given.path}: several inputs give '{twice}', so each teacher must give every kind once ({all_kinds}); "
        f"{given.teacher or 'its teacher'} {what}; postprocess what belongs together on its own."
    )


@dataclass(frozen=True)
class Layout:
    """How the rows of some inputs become examples."""

    groups: Sequence[Sequence[Enhanced]]

    @cached_property
    def kinds(self) -> list[str]:
        return [kind for kind in KINDS if any(kind in given.kinds for given in self.groups[0])]

    def columns(self, judged: Sequence[str], others: Sequence[str] = ()) -> list[str]:
        """Our columns in their order; the source's stand before them. Up to the first tail they are the original's.

        `judged`: the gates' columns. `others`: what else an example carries.
        """
        first, *rest = self.kinds
        original = [first, "all", f"{first}_tail"]
        layouts = [*(f"{kind}_tail" for kind in rest), *(f"{kind}_{how}" for how in ("head", "think") for kind in self.kinds)]
        ends = [f"{kind}_finish" for kind in self.kinds]
        verdicts = [f"{kind}_{column}" for kind in self.kinds for column in judged]
        ours = [*TEXTS, *original, *rest, *layouts, *OUR_COLUMNS, "completion_index", "teacher", *ends, *verdicts]
        return list(dict.fromkeys([*ours, *others, *ATTEMPT]))

    def rows(self) -> Iterator[Laid]:
        """Raises: UserError for a row that lacks a column, and for inputs with different questions."""
        for stacked in stack([[given.path for given in group] for group in self.groups]):
            yield self._laid(stacked)

    def _laid(self, stacked: Stacked) -> Laid:
        joined, group = stacked.joined, self.groups[stacked.group]
        rows = [row for row in joined.rows if row is not None]
        if len(rows) < len(joined.rows):
            lacking = next(given for row, given in zip(joined.rows, group, strict=True) if row is None)
            merged = {name: value for row in reversed(rows) for name, value in row.items()}
            return Laid({**merged, "completion_index": stacked.completion_index}, f"no row in {lacking.path.name}")
        source = self._by_kind(joined, group)
        example = {**_example(rows, joined.places[0], source), "completion_index": stacked.completion_index}
        empty = next((f"{kind} is empty" for kind, (row, _) in source.items() if not str(row[kind] or "").strip()), "")
        return Laid(example, empty, {kind: row for kind, (row, _) in source.items()})

    def _by_kind(self, joined: Joined, group: Sequence[Enhanced]) -> dict[str, tuple[Row, str]]:
        """Kind -> the row that gives it, its place; in the order of KINDS."""
        found: dict[str, tuple[Row, str]] = {}
        for kind in self.kinds:
            for row, place, given in zip(joined.rows, joined.places, group, strict=True):
                if kind in given.kinds and row is not None:
                    require(row, kind, place)
                    found[kind] = (row, place)
                    _same_question(row, place, joined)
        return found


def _same_question(row: Row, place: str, joined: Joined) -> None:
    first = joined.rows[0]
    assert first is not None
    if require(row, "prompt", place) != require(first, "prompt", joined.places[0]):
        raise UserError(f"{place}: id {row['id']!r} has another prompt than in {joined.places[0]}; the inputs hold different questions.")


def think(prompt: str, answer_text: str, rationale: str) -> str:
    """`Q: ... A: <think>` rationale `</think>` answer, each on lines of their own."""
    return f"{prompt}{'' if prompt[-1:].isspace() else ' '}{thinking(rationale, answer_text)}"


def _example(rows: Sequence[Row], place: str, source: Mapping[str, tuple[Row, str]]) -> Row:
    """Source columns, texts, rationales, `all`, layouts, ours; whatever else the first input has at the end."""
    first = rows[0]
    ours = {name: require(first, name, place) for name in (*TEXTS, *OUR_COLUMNS)}
    chosen = template(ours["template"])
    answer_text = chosen.answer(str(ours["answer"]), ours["choices"])
    example = {name: first[name] for name in takewhile(lambda name: name != "text", first)}
    example.update((name, ours[name]) for name in TEXTS)
    rationales = {kind: str(row[kind] or "") for kind, (row, _) in source.items()}
    example.update(rationales)
    teacher_row, teacher_place = next(iter(source.values()))
    example["all"] = require(teacher_row, "all", teacher_place)
    example.update((f"{kind}_tail", chosen.tail(ours["prompt"], answer_text, kind, text)) for kind, text in rationales.items())
    example.update((f"{kind}_head", chosen.head(ours["prompt"], answer_text, kind, text)) for kind, text in rationales.items())
    example.update((f"{kind}_think", think(ours["prompt"], answer_text, text)) for kind, text in rationales.items())
    example.update((name, ours[name]) for name in OUR_COLUMNS)
    example["completion_index"] = first.get("completion_index", 0)
    example["teacher"] = ", ".join(dict.fromkeys(str(row.get("teacher", "")) for row, _ in source.values()))
    example.update((f"{kind}_finish", str(row.get(f"{kind}_finish", ""))) for kind, (row, _) in source.items())
    example.update((name, row[name]) for kind, (row, _) in source.items() if (name := f"{kind}{LOGPROBS}") in row)
    example.update((name, value) for name, value in first.items() if name not in example)
    for row in rows[1:]:
        example.update((name, row[name]) for name in ATTEMPT if name in row and name not in example)
    return example
