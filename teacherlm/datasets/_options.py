"""Choices in the shapes that people write them, and which of them an answer names."""

import re
from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

import orjson

from teacherlm.errors import UserError
from teacherlm.prompts import LETTERS, letters

BRACKETED = re.compile(r"^\(([^()]+)\)\.?$")
LABELS = tuple(tuple(LETTERS[:count]) for count in range(len(LETTERS) + 1))
YES, NO = ("true", "yes"), ("false", "no")


class Options(NamedTuple):
    labels: tuple[str, ...] = ()
    texts: tuple[str, ...] = ()


NO_OPTIONS = Options()


def in_one_column(given: Any, where: str, column: str = "choices") -> Options:
    """A list of texts, {label: text}, a list of {label, text}, {"label": [...], "text": [...]}, or one of these as JSON in a text.

    Raises: UserError for another shape, and for more choices than letters.
    """
    if type(given) is list and 0 < len(given) <= len(LETTERS) and {*map(type, given)} == {str}:
        return Options(LABELS[len(given)], tuple(given))
    if given is None or given == [] or given == "":
        return NO_OPTIONS
    place = f"{where}: column '{column}'"
    value = _parsed(given) if isinstance(given, str) else given
    if isinstance(value, Mapping) and set(value) == {"label", "text"} and all(isinstance(part, list) for part in value.values()):
        labels, texts = value["label"], value["text"]
        if len(labels) != len(texts):
            raise UserError(f"{place}: {len(labels)} labels for {len(texts)} choices.")
    elif isinstance(value, Mapping):
        kept = {label: text for label, text in value.items() if text is not None}
        labels, texts = list(kept), list(kept.values())
    elif isinstance(value, list) and all(isinstance(item, Mapping) and {"label", "text"} <= set(item) for item in value):
        labels, texts = [item["label"] for item in value], [item["text"] for item in value]
    elif isinstance(value, list) and all(isinstance(item, (str, int, float)) for item in value):
        labels, texts = list(LETTERS[: len(value)]), value
    else:
        raise UserError(f"{place}: choices must be a list of texts or {{label: text}}, or several columns, found {given!r}.")
    return _checked(labels, texts, place)


def in_columns(cells: Sequence[tuple[str, Any]], where: str) -> Options:
    """One column for each choice, whose name is its label; the last ones may be empty where a question has fewer choices."""
    kept = list(cells)
    while kept and _is_empty(kept[-1][1]):
        kept.pop()
    for name, text in kept:
        if _is_empty(text):
            raise UserError(f"{where}: column '{name}': the choice is empty, and one behind it is not.")
    return _checked([name for name, _ in kept], [text for _, text in kept], where)


def plain_letter(gold: str, options: Options) -> str | None:
    """The letter of the one choice that has the answer as its label and whose like is no choice's text; None where it is not so plain."""
    if options.labels.count(gold) != 1 or gold in map(str.strip, options.texts):
        return None
    return LETTERS[options.labels.index(gold)]


def as_letter(gold: Any, options: Options, answer_is: str, typed: bool, place: str) -> str:
    """The letter of the right choice.

    Raises: UserError when the answer names no choice, or could mean more than one.
    """
    known = letters(options.texts)
    meant = _meant(gold, options, answer_is, typed)
    if len(meant) == 1:
        return known[meant.pop()]
    texts = "; ".join(f"({letter}) {text}" for letter, text in zip(known, options.texts, strict=True))
    if meant:
        either = " or ".join(f"({known[position]})" for position in sorted(meant))
        advice = "give letters" + ("" if answer_is else ", or say answer_is: letter, text, index or index_from_1")
        raise UserError(f"{place}: answer {gold!r} is ambiguous, it could mean {either} of: {texts}; {advice}.")
    raise UserError(f"{place}: answer {gold!r} is outside the choices: {texts}.")


def _meant(gold: Any, options: Options, answer_is: str, typed: bool) -> set[int]:
    """Positions that the answer may name; how it names them is tried from the plainest to the loosest way, unless it is said."""
    word = str(gold).strip()
    ways = {
        "letter": lambda: _by_label(word, options) or _by_letter(word, options),
        "text": lambda: _by_text(gold, word, options) or _by_folded_text(word, options),
        "index": lambda: _by_index(word, len(options.texts), 0),
        "index_from_1": lambda: _by_index(word, len(options.texts), 1),
    }
    if answer_is:
        return ways[answer_is]()
    by_name = _by_label(word, options) | _by_text(gold, word, options)
    by_index = _by_index(word, len(options.texts), 0)
    if isinstance(gold, float) and gold.is_integer():  # as whole numbers become beside an empty cell in pandas
        by_index = _by_index(str(int(gold)), len(options.texts), 0)
    if isinstance(gold, (int, float)) and not isinstance(gold, bool):
        return _by_text(gold, word, options) | by_index
    if not typed:
        by_name |= by_index
    return by_name or _by_letter(word, options) or _by_folded_text(word, options) or by_index


def _by_label(word: str, options: Options) -> set[int]:
    plain = BRACKETED.sub(r"\1", word)
    return {position for position, label in enumerate(options.labels) if label == plain}


def _by_letter(word: str, options: Options) -> set[int]:
    letter = BRACKETED.sub(r"\1", word).upper()
    return {LETTERS.index(letter)} if len(letter) == 1 and letter in letters(options.texts) else set()


def _by_text(gold: Any, word: str, options: Options) -> set[int]:
    if isinstance(gold, bool):
        words = YES if gold else NO
        return {position for position, text in enumerate(options.texts) if text.strip().lower() in words}
    return {position for position, text in enumerate(options.texts) if text.strip() == word}


def _by_folded_text(word: str, options: Options) -> set[int]:
    folded = word.casefold()
    return {position for position, text in enumerate(options.texts) if text.strip().casefold() == folded}


def _by_index(word: str, count: int, first: int) -> set[int]:
    return {int(word) - first} if word.isdecimal() and 0 <= int(word) - first < count else set()


def _checked(labels: Sequence[Any], texts: Sequence[Any], place: str) -> Options:
    if len(texts) > len(LETTERS):
        raise UserError(f"{place}: a question may have at most {len(LETTERS)} choices, found {len(texts)}.")
    return Options(tuple(map(str, labels)), tuple(map(str, texts)))


def _parsed(cell: str) -> Any:
    """The value of a text that is JSON; else the text."""
    try:
        return orjson.loads(cell) if cell.lstrip()[:1] in ("[", "{") else cell
    except orjson.JSONDecodeError:
        return cell


def _is_empty(cell: Any) -> bool:
    return cell is None or cell != cell or str(cell).strip() == ""
