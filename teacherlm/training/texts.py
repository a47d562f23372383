"""The rows of a dataset as the texts a student is trained on: where the prompt ends and the completion begins.

Rows whose template is a chat are put as their student's tokenizer puts conversations; all others stand in the dataset as they are read.
"""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from teacherlm.errors import UserError
from teacherlm.log import say
from teacherlm.prompts import clean, find_template, short_name
from teacherlm.records import LOGPROBS
from teacherlm.store.files import read_jsonl
from teacherlm.store.manifest import require_finished

if TYPE_CHECKING:
    from teacherlm.engines.bodies.turns import Renderer

BOOKKEEPING = ("id", "answer_rule", "template", "teacher")
"""Columns of text that no student ever reads; they would fill a tokenizer with ids."""

SPECS_AT_ONCE = 10_000


@dataclass(frozen=True, slots=True)
class Text:
    """One training text; the loss is on what stands from `start` on."""

    text: str
    start: int
    where: str
    """`file:line` or `folder: row 12 (id dev_0)`, for messages."""
    spans: tuple[tuple[int, int], ...] = ()
    """Of a chat: the parts of the text that carry loss. Its text has the special tokens in it, none are added."""
    part: str = ""
    """Which of an objective's tasks it belongs to, where a row gives several ("label", "rationale")."""
    score: float = 0.0
    """What a model is to give the text, where the objective is to score."""
    row: int = 0
    """Its row's number in the table."""


@dataclass(frozen=True)
class Table:
    """The training rows as they lie on disk."""

    rows: Sequence[Mapping[str, Any]]
    columns: tuple[str, ...]
    path: Path
    lines: Sequence[int] = ()
    """Line of each row where the input is a .jsonl."""
    numbers: Sequence[int] = ()
    """Of a part of a dataset: each row's number in the whole."""
    before: int = 0
    """Of a slice: how many rows of its table stand before it."""

    def slices(self, size: int) -> "Iterator[Table]":
        """Tables of at most so many rows, one after the other, whose rows are named as they are here."""
        for at in range(0, len(self.rows), size):
            end = min(at + size, len(self.rows))
            rows = self.rows[at:end] if isinstance(self.rows, list) else self.rows.select(range(at, end))  # type: ignore[attr-defined]
            yield replace(self, rows=rows, lines=self.lines[at:end], numbers=self.numbers[at:end], before=self.before + at)

    def where(self, i: int) -> str:
        if self.lines:
            return f"{self.path}:{self.lines[i]}"
        row = self.rows[i]
        return self._number(i) + (f" (id {row['id']})" if "id" in self.columns else "")

    def place(self, i: int) -> str:
        """As `where`, without reading the row."""
        return self.where(i) if self.lines else self._number(i)

    def _number(self, i: int) -> str:
        return f"{self.path}: row {self.numbers[i] if self.numbers else self.before + i}"

    def text_columns(self) -> list[str]:
        first = self.rows[0]
        return [name for name in self.columns if isinstance(first[name], str)]


def read_table(path: Path, limit: int | None = None) -> Table:
    """A dataset folder, or a .jsonl. Of a DatasetDict the `train` split.

    Raises: UserError when it is missing, unfinished, empty, or no dataset.
    """
    require_finished(path)
    if path.is_file():
        numbered = list(_first(read_jsonl(path), limit))
        return Table([row for _, row in numbered], tuple(numbered[0][1]), path, [line for line, _ in numbered])
    dataset = _read_folder(path)
    if limit is not None:
        dataset = dataset.select(range(min(limit, len(dataset))))
    if len(dataset) == 0:
        raise UserError(f"{path}: the dataset has no rows.")
    return Table(dataset, tuple(dataset.column_names), path)


def _first(rows: Iterator[Any], limit: int | None) -> Iterator[Any]:
    for i, row in enumerate(rows):
        if limit is not None and i >= limit:
            return
        yield row


def _read_folder(path: Path) -> Any:
    from datasets import load_from_disk

    if (path / "dataset_dict.json").is_file():
        splits = load_from_disk(str(path))
        if "train" not in splits:
            raise UserError(f"{path}: this DatasetDict has no split 'train' (found: {', '.join(splits)}).")
        say(f"{path} has the splits {', '.join(splits)}; training uses 'train'.")
        return splits["train"]
    if not (path / "state.json").is_file():
        raise UserError(f"{path}: no dataset here; expected a folder written by save_to_disk, or a .jsonl file.")
    return load_from_disk(str(path))


def read_split(path: Path, name: str) -> Table | None:
    """Another split of a DatasetDict; None where there is none."""
    if not (path / "dataset_dict.json").is_file():
        return None
    from datasets import load_from_disk

    splits = load_from_disk(str(path))
    return Table(splits[name], tuple(splits[name].column_names), path / name) if name in splits and len(splits[name]) else None


@dataclass(frozen=True)
class Reader:
    """The student whose chat template puts rows that are a chat."""

    tokenizer: Any
    name: str


def build_texts(table: Table, column: str, completion_only: bool, reader: Reader | None = None) -> list[Text]:
    """The texts of a column, in the table's order. Rows of a chat need a `reader`.

    Raises: UserError naming the row whose text is missing, empty or (when only completions carry loss) does not start
    with its prompt, and naming the columns when there is no such column; also for rows of a template that only asks.
    """
    require_column(table, column)
    chats = renderers(table, reader)
    if (completion_only or chats) and "prompt" not in table.columns:
        raise UserError(f"{table.path}: no column 'prompt', so where a completion begins is not known; use --loss-on all.")
    texts = values(table, column)
    prompts = values(table, "prompt") if completion_only or chats else [""] * len(table.rows)
    if not chats:
        return [_build_text(table, i, column, text, prompt) for i, (text, prompt) in enumerate(zip(texts, prompts, strict=True))]
    found = []
    for i, (text, prompt, spec) in enumerate(zip(texts, prompts, values(table, "template"), strict=True)):
        plain = _build_text(table, i, column, text, prompt if completion_only or spec in chats else "")
        found.append(_as_chat(table, i, column, plain, chats[spec], completion_only) if spec in chats else plain)
    return found


def values(table: Table, column: str) -> Any:
    """A column of the table, None where a row of a .jsonl lacks it."""
    if isinstance(table.rows, list):
        return [row.get(column) for row in table.rows]
    return table.rows[column][:]  # type: ignore[call-overload]  # at once: row by row it takes ten times as long


def renderers(table: Table, reader: Reader | None) -> "dict[str, Renderer]":
    """By template of the rows: what puts its chats. Raises: UserError for a template that no student is taught."""
    from teacherlm.engines.bodies.turns import Renderer

    found = {}
    for spec in specs_of(table):
        chosen = find_template(spec)
        if chosen is None:
            continue
        if not chosen.taught:
            raise UserError(f"{table.path}: its rows are of the template '{short_name(spec)}', which only asks; prepare them with another.")
        if chosen.chat:
            assert reader is not None, "rows of a chat need a tokenizer"
            found[spec] = Renderer(reader.tokenizer, chosen.chat, reader.name)
    return found


def _as_chat(table: Table, i: int, column: str, plain: Text, renderer: "Renderer", completion_only: bool) -> Text:
    from teacherlm.engines.bodies.turns import conversation

    prompt, completion = plain.text[: plain.start], plain.text[plain.start :].strip()
    messages = table.rows[i].get("messages") if "messages" in table.columns else None
    put = renderer.put(conversation(prompt, completion, messages or (), whole=column == "text"), table.where(i))
    spans = put.spans if completion_only else ((0, len(put.text)),)
    return Text(put.text, spans[0][0], plain.where, spans, row=plain.row)


def _build_text(table: Table, i: int, column: str, text: Any, prompt: Any) -> Text:
    for name, value in ((column, text), ("prompt", prompt)):
        if not isinstance(value, str):
            raise UserError(f"{table.where(i)}: column '{name}' is {'missing' if value is None else type(value).__name__}, expected text.")
    start = next((len(p) for p in (prompt, clean(prompt)) if text.startswith(p)), None)
    if start is None:
        raise UserError(f"{table.where(i)}: column '{column}' does not start with the row's prompt; use --loss-on all, or another column.")
    if not text[start:].strip():
        raise UserError(f"{table.where(i)}: column '{column}' is empty{' behind its prompt' if prompt else ''}.")
    return Text(text, start, table.place(i), row=table.before + i)


def require_column(table: Table, column: str) -> None:
    """Raises: UserError naming the columns there are."""
    names = table.text_columns()
    if column not in table.columns:
        raise UserError(f"{table.path}: no column '{column}' to train on; columns of text: {', '.join(names)}.")


def tokenizer_texts(table: Table, columns: Sequence[str]) -> Iterator[str]:
    """Every different text of these columns (of all that a student could read, when none is given).

    Raises: UserError for a column that is not there.
    """
    for column in columns:
        require_column(table, column)
    names = list(columns) or [n for n in table.text_columns() if n not in BOOKKEEPING and not n.endswith(("_finish", "_verdict", LOGPROBS))]
    seen: set[int] = set()
    for i in range(len(table.rows)):
        row = table.rows[i]
        for name in names:
            value = row.get(name)
            if isinstance(value, str) and hash(value) not in seen:
                seen.add(hash(value))
                yield value


def specs_of(table: Table) -> list[str]:
    """The different templates that the rows follow; none where they do not say."""
    if "template" not in table.columns:
        return []
    if isinstance(table.rows, list):
        return sorted({str(row["template"]) for row in table.rows if row.get("template")})
    column = table.rows.select_columns("template").with_format("arrow")  # type: ignore[attr-defined]
    # As an Arrow column: row by row it takes twenty seconds a million, at every start.
    found = {spec for batch in column.iter(SPECS_AT_ONCE) for spec in batch["template"].unique().to_pylist()}
    return sorted(str(spec) for spec in found if spec)
