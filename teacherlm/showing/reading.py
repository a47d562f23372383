"""What a student reads of a row, cut into parts by what carries loss. The cut is finetune's own: its functions are called."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

from teacherlm.layout import think
from teacherlm.prompts import KINDS, template
from teacherlm.training.texts import Reader, Table, Text, build_texts

FIRST_CHOICE = ("cot_tail", "cot_head")
LAYOUTS = ("tail", "head", "think")

Values = dict[str, Any]
Role = Literal["read", "loss", "cut"]
"""read without loss; learnt; never seen, because the row is too long."""


@dataclass(frozen=True)
class Lengths:
    """Of prompt and completion, and how much of both carries loss; in tokens where a student says so, else in words."""

    prompt: int
    completion: int
    loss: int
    cut: int = 0
    """Left out of a row that is too long."""


@dataclass(frozen=True)
class Reading:
    column: str
    parts: tuple[tuple[Role, str], ...]
    lengths: Lengths
    note: str = ""


@dataclass(frozen=True)
class Student:
    """Who reads: the tokenizer, and the longest row it is given."""

    tokenizer: Any
    name: str
    limit: int
    start: int | None = None
    """The token that the decoder of an encoder-decoder begins with."""


def read_student(model: str, max_source_length: int, trust_remote_code: bool = False) -> Student:
    """Raises: UserError for a folder or hub id without a tokenizer."""
    from teacherlm.training.pretrained import read_context, read_decoder_start, read_tokenizer

    name = Path(model).name if Path(model).exists() else model
    limit = min(read_context(model, trust_remote_code), max_source_length)
    return Student(read_tokenizer(model, trust_remote_code), name, limit, read_decoder_start(model, trust_remote_code))


def laid_out(values: Values) -> Values:
    """A row of `enhance` with the layouts that `postprocess` would give it; others stay as they are."""
    if not {"prompt", "answer", "choices", "template"} <= values.keys():
        return values
    chosen = template(str(values["template"]))
    answer_text = chosen.answer(str(values["answer"]), values["choices"] or [])
    laid = dict(values)
    for kind in KINDS:
        if isinstance(text := values.get(kind), str) and text.strip():
            laid.setdefault(f"{kind}_tail", chosen.tail(values["prompt"], answer_text, kind, text))
            laid.setdefault(f"{kind}_head", chosen.head(values["prompt"], answer_text, kind, text))
            laid.setdefault(f"{kind}_think", think(values["prompt"], answer_text, text))
    return laid


def best_column(values: Values) -> str:
    """What a student most likely learns from such a row; "" for a row that nobody prepared."""
    if "prompt" not in values:
        return ""
    others = [f"{kind}_{layout}" for kind in (*KINDS, "explanation") for layout in LAYOUTS]
    return next((name for name in (*FIRST_CHOICE, *others, "text") if isinstance(values.get(name), str)), "")


def read_row(values: Values, column: str, completion_only: bool, student: Student | None, where: str) -> Reading:
    """Raises: UserError for a row that finetune would refuse."""
    note = ""
    if student is None and (spec := values.get("template")) and template(str(spec)).chat:
        note = "a chat: --model shows it as the student's chat template puts it"
        values = {**values, "template": ""}
    path, _, line = where.rpartition(":")
    number = int(line) if path and line.isdigit() else 0
    table = Table([values], tuple(values), Path(path if number else where), [number])
    reader = Reader(student.tokenizer, student.name) if student else None
    text = build_texts(table, column, completion_only, reader)[0]
    return _in_tokens(text, column, student) if student else _in_words(text, column, note)


def _in_words(text: Text, column: str, note: str) -> Reading:
    prompt, completion = text.text[: text.start], text.text[text.start :]
    lengths = Lengths(len(prompt.split()), len(completion.split()), len(completion.split()))
    return Reading(column, _parts([("read", prompt), ("loss", completion)]), lengths, note)


def _in_tokens(text: Text, column: str, student: Student) -> Reading:
    """Counted over the row that the trainer is given, labels and all."""
    from teacherlm.training.encoding import encode, tokenised
    from teacherlm.training.families import IGNORE, Seq2Seq, build_family
    from teacherlm.training.sft import Sft

    family = build_family(student.start, student.tokenizer, "left", student.limit)
    (row,) = encode([text], student.tokenizer, Sft(family), family, student.limit).rows
    (tokens,) = tokenised([text], student.tokenizer, family.apart)
    loss = int((row["labels"] != IGNORE).sum())
    lengths = Lengths(len(tokens.prompt), len(tokens.target), loss, len(tokens.prompt) + len(tokens.target) - family.length(row))
    if isinstance(family, Seq2Seq):
        parts = list(_of_two_texts(text, len(tokens.prompt) - len(row["input_ids"]), student))
    else:
        parts = list(_of_spans(text)) if text.spans else list(_of_tokens(text, len(tokens.prompt), len(tokens.target), student))
    return Reading(column, _parts(parts), lengths)


def _of_two_texts(text: Text, lost: int, student: Student) -> Iterator[tuple[Role, str]]:
    """Of an encoder-decoder, whose prompt lost so many tokens at its beginning."""
    prompt = text.text[: text.start]
    ids = student.tokenizer(prompt, add_special_tokens=False, verbose=False)["input_ids"]
    first = len(student.tokenizer.decode(ids[:lost])) if lost else 0
    yield "cut", prompt[:first]
    yield "read", prompt[first:]
    yield "loss", text.text[text.start :]


def _of_spans(text: Text) -> Iterator[tuple[Role, str]]:
    at = 0
    for start, end in text.spans:
        yield "read", text.text[at:start]
        yield "loss", text.text[start:end]
        at = end
    yield "read", text.text[at:]


def _of_tokens(text: Text, prompt: int, target: int, student: Student) -> Iterator[tuple[Role, str]]:
    """By the characters at which the tokens begin: one that spans the border is learnt whole."""
    places = _places(text.text, student.tokenizer)
    kept = max(0, student.limit - target)
    begin = max(0, prompt - kept)
    ends = (begin, max(prompt, begin + 1), prompt + min(target, student.limit))  # nothing predicts a row's first token
    first, border, last = (places[end] if end < len(places) else len(text.text) for end in ends)
    yield "cut", text.text[:first]
    yield "read", text.text[first:border]
    yield "loss", text.text[border:last]
    yield "cut", text.text[last:]


def _places(text: str, tokenizer: Any) -> list[int]:
    """Where each token begins. A slow tokenizer does not say: the text is then rebuilt token by token."""
    if tokenizer.is_fast:
        return [start for start, _ in tokenizer(text, return_offsets_mapping=True, verbose=False)["offset_mapping"]]
    ids = tokenizer(text, verbose=False)["input_ids"]
    return [min(len(text), len(tokenizer.decode(ids[:i], skip_special_tokens=True))) for i in range(len(ids))]


def _parts(parts: Sequence[tuple[Role, str]]) -> tuple[tuple[Role, str], ...]:
    return tuple((role, text) for role, text in parts if text)


def mean(numbers: Sequence[int]) -> float:
    return sum(numbers) / len(numbers) if numbers else 0.0
