"""Your own questions: any .jsonl or .json file, or a folder of them, one for each split.

    {"question": "Where do fish live?", "choices": ["in trees", "in water"], "answer": "B", "explanation": "They have gills."}

`choices` may be a list, {label: text}, a list of {label, text}, or {"label": [...], "text": [...]}; without it the answer is free
text. `answer` is a letter or label, the text of a choice, or its index from 0. `columns` maps other names to these.
"""

import hashlib
import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any, Literal

from pydantic import Field, field_validator

from teacherlm.catalog import ChosenSettings
from teacherlm.dataset import BadRow, Dataset, Splits, read_questions
from teacherlm.errors import UserError, unknown
from teacherlm.prompts import LETTERS, letters
from teacherlm.records import Question
from teacherlm.store.sources import Origin, Table, require

COLUMNS = ("question", "choices", "answer", "explanation", "id")


class JsonlSettings(ChosenSettings):
    name: Literal["jsonl"] = "jsonl"
    columns: dict[str, str] = {}
    """What a column is called in the file: {question: stem, answer: gold}; of question, choices, answer, explanation, id."""
    leave_out: list[str] = []
    """Columns of the file not to keep, such as one whose values share no type."""
    answer_rule: Literal["", "number", "yes_no", "exact"] = ""
    """How free answers are compared; by default as numbers or yes/no where the right answer is one, else word for word."""
    held_out: float = Field(default=0.0, ge=0.0, lt=1.0)
    """Part of the rows of `train` to hold out as `validation`, drawn by the seed."""

    @field_validator("columns")
    @classmethod
    def _known(cls, columns: dict[str, str]) -> dict[str, str]:
        for name in columns:
            if name not in COLUMNS:
                raise unknown("column of ours", name, COLUMNS)
        return columns


def read(settings: JsonlSettings, origin: Origin | None, seed: int) -> Splits:
    assert origin is not None
    tables = origin.tables()
    if not settings.held_out:
        return {split: _questions(table, settings) for split, table in tables.items()}
    if "train" not in tables or "validation" in tables:
        raise UserError(f"{origin.place}: held_out needs a split 'train' and none named 'validation' (found: {', '.join(tables)}).")

    def drawn(number: int) -> bool:
        digest = hashlib.blake2b(f"{seed}/{number}".encode(), digest_size=8).digest()
        return int.from_bytes(digest, "big") / 2**64 < settings.held_out

    train = tables.pop("train")
    return {
        "train": _questions(train, settings, lambda number: not drawn(number)),
        "validation": _questions(train, settings, drawn),
        **{split: _questions(table, settings) for split, table in tables.items()},
    }


def _questions(table: Table, settings: JsonlSettings, wanted: Callable[[int], bool] = lambda number: True) -> Iterator[Question | BadRow]:
    questions = read_questions(table, lambda row, where: _question(row, settings, where))
    return (question for number, question in enumerate(questions) if wanted(number))


def _question(row: Mapping[str, Any], settings: JsonlSettings, where: str) -> Question:
    def column(name: str, required: bool = False) -> Any:
        theirs = settings.columns.get(name, name)
        return require(row, theirs, where) if required or name in settings.columns else row.get(theirs)

    text = str(column("question", required=True) or "")
    gold = column("answer", required=True)
    if gold is None:
        raise UserError(f"{where}: there is no answer; a split without labels cannot be prepared.")
    options = _options(column("choices"), where)
    answer = _letter(gold, options, where) if options else _free(gold)
    rule = "letter" if options else settings.answer_rule or _rule_for(answer)
    identity = column("id")
    return Question(
        question=text,
        answer=answer,
        choices=tuple(text for _, text in options),
        answer_rule=rule,
        explanation=str(column("explanation") or ""),
        source_id="" if identity is None else str(identity),
        raw={name: value for name, value in row.items() if name not in settings.leave_out},
        where=where,
    )


def _options(given: Any, where: str) -> list[tuple[str, str]]:
    """(label, text) of each choice. Raises: UserError for another shape, and for more choices than letters."""
    if given is None or given == []:
        return []
    if isinstance(given, Mapping) and set(given) == {"label", "text"} and all(isinstance(part, list) for part in given.values()):
        pairs = list(zip(given["label"], given["text"], strict=False))
    elif isinstance(given, Mapping):
        pairs = [(label, text) for label, text in given.items() if text is not None]
    elif isinstance(given, list) and all(isinstance(item, Mapping) and {"label", "text"} <= set(item) for item in given):
        pairs = [(item["label"], item["text"]) for item in given]
    elif isinstance(given, list) and all(isinstance(item, (str, int, float)) for item in given):
        pairs = list(zip(LETTERS, given, strict=False)) if len(given) <= len(LETTERS) else [("", text) for text in given]
    else:
        raise UserError(f"{where}: choices must be a list of texts or {{label: text}}, found {given!r}.")
    if len(pairs) > len(LETTERS):
        raise UserError(f"{where}: a question may have at most {len(LETTERS)} choices, found {len(pairs)}.")
    return [(str(label), str(text)) for label, text in pairs]


def _letter(gold: Any, options: Sequence[tuple[str, str]], where: str) -> str:
    """The letter of the right choice.

    Raises: UserError when the answer names no choice, or could mean more than one.
    """
    known = letters(options)
    meant = _meant(gold, options)
    if len(meant) == 1:
        return known[meant.pop()]
    texts = "; ".join(f"({letter}) {text}" for letter, (_, text) in zip(known, options, strict=True))
    if meant:
        either = " or ".join(f"({known[position]})" for position in sorted(meant))
        raise UserError(f"{where}: answer {gold!r} is ambiguous, it could mean {either} of: {texts}; give letters.")
    raise UserError(f"{where}: answer {gold!r} is outside the choices: {texts}.")


def _meant(gold: Any, options: Sequence[tuple[str, str]]) -> set[int]:
    """Positions that the answer may name; an index counts only where nothing else fits."""
    word = str(gold).strip()
    plain = re.sub(r"^\(([^()]+)\)\.?$", r"\1", word)
    by_text = {position for position, (_, text) in enumerate(options) if text.strip() == word}
    if isinstance(gold, int) and not isinstance(gold, bool):
        return by_text | {gold} if 0 <= gold < len(options) else by_text
    by_label = {position for position, (label, _) in enumerate(options) if label == plain}
    by_letter = {LETTERS.index(plain.upper())} if len(plain) == 1 and plain.upper() in letters(options) else set()
    by_index = {int(word)} if word.isdecimal() and int(word) < len(options) else set()
    return by_label | by_text or by_letter or by_index


def _free(gold: Any) -> str:
    if isinstance(gold, bool):
        return "yes" if gold else "no"
    return str(gold).strip()


def _rule_for(answer: str) -> str:
    if re.fullmatch(r"[$€£]?-?(\d{1,3}(,\d{3})+|\d+)(\.\d+)?", answer):
        return "number"
    return "yes_no" if answer.lower() in ("yes", "no") else "exact"


DATASET = Dataset(JsonlSettings, read)
