"""`teacherlm show`: some rows of a dataset, what a student reads of each, and how long all that is."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import takewhile
from pathlib import Path
from typing import Any

from teacherlm.choices import split_choices
from teacherlm.errors import UserError, unknown
from teacherlm.prompts import KINDS, letters, short_name, template
from teacherlm.recognition import general_reader, preview, readings, recognised
from teacherlm.showing.page import Page, open_page
from teacherlm.showing.reading import Reading, Student, best_column, laid_out, mean, read_row, read_student
from teacherlm.showing.rows import Extent, Row, Rows, chosen, find_rows
from teacherlm.verify import NOT_JUDGED

SHORT = 160
"""Longest value of a source's column that stands on its line."""
NOT_ABOUT_THE_TEXT = ("tail", "head", "think", "text")
ABSENT = (None, "", NOT_JUDGED)


@dataclass(frozen=True)
class Wanted:
    """What is to be shown, and for whom."""

    data: Path
    n: int = 5
    id: str = ""
    split: str = ""
    seed: int | None = None
    train_on: str = ""
    completion_only: bool = True
    """The loss is on what follows the prompt, not on all."""
    model: str = ""
    max_source_length: int = 2048
    trust_remote_code: bool = False
    dataset: str = ""
    full: bool = False


@dataclass(frozen=True)
class Shown:
    """One row, and what is read of it; or why nothing can be."""

    row: Row
    reading: Reading | None
    problem: str = ""


@dataclass(frozen=True)
class Selection:
    place: str
    rows: list[Row]
    source: Rows | None
    note: str = ""


def show(wanted: Wanted) -> None:
    """Prints. Raises: UserError for data that is not there or holds no rows, and for an id, split or column that it does not have."""
    selection = select(wanted)
    student = read_student(wanted.model, wanted.max_source_length, wanted.trust_remote_code) if wanted.model else None
    rows = [Row(row.where, laid_out(row.values), row.problem) for row in selection.rows]
    laid = any(len(row.values) > len(before.values) for row, before in zip(rows, selection.rows, strict=True))
    _require_column(rows, wanted.train_on)
    shown = [_shown(row, wanted, student) for row in rows]
    page = open_page(_texts(rows), wanted.full)
    if selection.note:
        page.line(selection.note)
    if laid:
        page.line("The layouts are those that postprocess will make of these rows.")
    for one in shown:
        _print_row(page, one, student)
    for line in _summary(selection, shown, student):
        page.line(line)


def select(wanted: Wanted) -> Selection:
    """The rows: as a stage wrote them, or those of a raw file as `prepare` would write them where a dataset reads it."""
    rows = None if wanted.dataset else find_rows(wanted.data, wanted.split)
    name = wanted.dataset or (_dataset_of(wanted) if rows is None or _is_raw(rows.first(1)) else "")
    if name:
        return _prepared(wanted, name)
    if rows is None:
        raise UserError(f"{wanted.data}: no dataset reads this folder as it is; give one of its files, or --dataset.")
    found = chosen(rows, wanted.n, wanted.id, wanted.seed)
    if all(row.problem for row in found):
        raise UserError(found[0].problem if found else f"{rows.place}: there are no rows.")
    return Selection(rows.place, found, rows)


def _is_raw(rows: Sequence[Row]) -> bool:
    """Neither prepared nor dropped by a stage."""
    values = next((row.values for row in rows if row.values), {})
    return "prompt" not in values and "reason" not in values


def _dataset_of(wanted: Wanted) -> str:
    """The dataset that reads the source: the one that understands it best, or a general reader."""
    found = readings(str(wanted.data))
    general = general_reader(str(wanted.data))
    return recognised(found) or (general if any(one.name == general for one in found) else "")


def _prepared(wanted: Wanted, name: str) -> Selection:
    """A source is prepared from its beginning: all of it only where a row is looked for by its id or drawn."""
    everything = bool(wanted.id) or wanted.seed is not None
    prepared = preview({"dataset": name, "source": str(wanted.data)}, None if everything else wanted.n)
    if wanted.split and wanted.split not in prepared.rows:
        raise unknown("split", wanted.split, prepared.rows)
    split = wanted.split or ("train" if "train" in prepared.rows else next(iter(prepared.rows)))
    place = f"{wanted.data}: {split}"
    rows = InMemory(place, [Row(f"{place} row {number}", row) for number, row in enumerate(prepared.rows[split])])
    found = chosen(rows, wanted.n, wanted.id, wanted.seed)
    refused = f" {len(prepared.dropped)} rows are no questions: {prepared.dropped[0]['reason']}" if prepared.dropped else ""
    return Selection(place, found, rows if everything else None, f"{wanted.data}: as `prepare {name}` reads it.{refused}")


@dataclass(frozen=True)
class InMemory:
    """Rows that were just prepared."""

    place: str
    rows: list[Row]

    def first(self, n: int) -> list[Row]:
        return self.rows[:n]

    def drawn(self, n: int, seed: int) -> list[Row]:
        import random

        return [self.rows[i] for i in sorted(random.Random(seed).sample(range(len(self.rows)), min(n, len(self.rows))))]

    def with_id(self, wanted: str) -> list[Row]:
        return [row for row in self.rows if str(row.values["id"]) == wanted]

    def ids(self) -> Iterator[str]:
        return (str(row.values["id"]) for row in self.rows)

    def extent(self, column: str) -> Extent:
        lengths = [len(text) for row in self.rows if isinstance(text := row.values.get(column), str)]
        return Extent(len(self.rows), mean(lengths) if lengths else None, max(lengths, default=0))


def _require_column(rows: Sequence[Row], column: str) -> None:
    if column and not any(column in row.values for row in rows):
        texts = [name for row in rows[:1] for name, value in row.values.items() if isinstance(value, str)]
        raise UserError(f"--train-on {column}: {rows[0].where} has no such column; columns of text: {', '.join(texts)}.")


def _shown(row: Row, wanted: Wanted, student: Student | None) -> Shown:
    column = wanted.train_on or best_column(row.values)
    if row.problem or not column:
        return Shown(row, None, row.problem)
    try:
        return Shown(row, read_row(row.values, column, wanted.completion_only, student, row.where))
    except UserError as error:
        return Shown(row, None, str(error))


def _texts(rows: Sequence[Row]) -> Iterator[str]:
    return (value for row in rows for value in row.values.values() if isinstance(value, str))


def _print_row(page: Page, shown: Shown, student: Student | None) -> None:
    values = shown.row.values
    name = f"id {values['id']} · " if "id" in values else ""
    page.title(f"{name}{shown.row.where}")
    if shown.row.problem:
        page.entry("problem", [("bad", shown.row.problem)])
        return
    if reason := values.get("reason"):
        page.entry("dropped", [("bad", str(reason))])
    if "prompt" in values:
        _print_question(page, values)
        _print_rationales(page, values)
        _print_source(page, dict(takewhile(lambda pair: pair[0] != "text", values.items())))
    else:
        nested = values.get("row")
        _print_source(page, nested if isinstance(nested, Mapping) else values)
    if shown.reading:
        _print_reading(page, shown.reading, values, student)
    elif shown.problem:
        page.entry("student", [("bad", f"cannot be taught: {shown.problem}")])
    page.line()


def _print_question(page: Page, values: Mapping[str, Any]) -> None:
    for number, turn in enumerate((values.get("messages") or [])[:-2]):
        page.entry("" if number else "before", f"{turn.get('role')}: {turn.get('content')}")
    options = [str(choice) for choice in values.get("choices") or []]
    asked = template(str(values["template"])).question_of(str(values["prompt"])) if values.get("template") else str(values["prompt"])
    alone, found = split_choices(asked)
    listed = len(found) == len(options) > 0
    page.entry("question", alone if listed else asked.strip())
    gold = str(values.get("answer", ""))
    for letter, option in zip(letters(options), options, strict=True):
        page.entry("", [("gold" if letter == gold else "read", f"({letter}) {option}{'  <- gold' if letter == gold else ''}")])
    rule = f"compared by the rule '{values['answer_rule']}'" if values.get("answer_rule") else ""
    page.entry("gold", [("gold", gold), ("label", f"  {rule}")])
    if len(references := values.get("references") or []) > 1:
        page.entry("also right", "; ".join(str(one) for one in references if one != gold))


def _print_rationales(page: Page, values: Mapping[str, Any]) -> None:
    attempt = [f"{name} {values[name]}" for name in ("teacher", "completion_index", "pass_rate", "vote", "found") if values.get(name)]
    if attempt and any(kind in values for kind in KINDS):
        page.entry("attempt", ", ".join(attempt))
    for kind in KINDS:
        if isinstance(text := values.get(kind), str):
            told = [
                f"{name.removeprefix(f'{kind}_')} {values[name]}" for name in values if _is_about(name, kind) and values[name] not in ABSENT
            ]
            page.entry(kind, [*([("label", f"({', '.join(told)}) ")] if told else []), ("read", text.strip() or "(empty)")])


def _is_about(column: str, kind: str) -> bool:
    return column.startswith(f"{kind}_") and column.removeprefix(f"{kind}_") not in NOT_ABOUT_THE_TEXT


def _print_source(page: Page, values: Mapping[str, Any]) -> None:
    """The source's own columns, one a line."""
    for number, (name, value) in enumerate(values.items()):
        text = value if isinstance(value, str) else repr(value)
        line = " ".join(text.split())
        page.entry("" if number else "source", [("label", f"{name}: "), ("read", text if page.full else _cut(line))])


def _cut(line: str) -> str:
    return line if len(line) <= SHORT else f"{line[: SHORT - 3]}..."


def _print_reading(page: Page, reading: Reading, values: Mapping[str, Any], student: Student | None) -> None:
    spec = f", template {short_name(str(values['template']))}" if values.get("template") else ""
    note = f" ({reading.note})" if reading.note else ""
    page.entry("student", [("label", f"reads {reading.column}{spec}; what carries loss {page.legend}{note}")])
    page.entry("", [*reading.parts])
    counts = reading.lengths
    cut = f", {counts.cut} cut off (the limit is {student.limit})" if student and counts.cut else ""
    unit = f"tokens of {student.name}, the end of text too" if student else "words (--model counts tokens)"
    page.entry("length", f"prompt {counts.prompt}, completion {counts.completion}, with loss {counts.loss}{cut}; {unit}")


def _summary(selection: Selection, shown: Sequence[Shown], student: Student | None) -> Iterator[str]:
    read = [one.reading for one in shown if one.reading]
    column = read[0].column if read else ""
    extent = selection.source.extent(column) if selection.source else None
    of = f" of {extent.rows:,}" if extent else ""
    yield f"{len(shown)}{of} {'row' if len(shown) == 1 and not of else 'rows'} of {selection.place}"
    if not read:
        return
    unit = "tokens" if student else "words"
    prompts, completions = [one.lengths.prompt for one in read], [one.lengths.completion for one in read]
    loss, whole = sum(one.lengths.loss for one in read), sum(prompts) + sum(completions)
    yield (
        f"In these: prompt mean {mean(prompts):.1f}, longest {max(prompts)} {unit}; completion mean {mean(completions):.1f}, "
        f"longest {max(completions)}; loss on {loss} of {whole} {unit} ({loss / max(1, whole):.0%})."
    )
    if extent and extent.mean is not None:
        yield f"In all {extent.rows:,}: {column} mean {extent.mean:,.0f}, longest {extent.longest:,} characters."
