"""Questions with choices as benchmarks publish them: stem and choices, the right one, and how blocks list them."""

from collections.abc import Iterable, Mapping
from typing import Any

from teacherlm.datasets._options import Options, in_one_column
from teacherlm.datasets._texts import as_text
from teacherlm.errors import UserError
from teacherlm.store.sources import require


def require_gold(row: Mapping[str, Any], column: str, where: str) -> Any:
    """The value of the column with the right answer. Raises: UserError for a row without one."""
    value = row.get(column)
    if value is None or (isinstance(value, str) and not value.strip()):
        raise UserError(f"{where}: there is no '{column}'; a split without labels cannot be prepared.")
    return value


def stem_and_choices(row: Mapping[str, Any], where: str) -> tuple[str, Options]:
    """Of a nested `question`, {"stem", "choices": [{"label", "text"}, ...]}, or of the hub's flat columns `question` and `choices`."""
    asked = require(row, "question", where)
    nested = asked if isinstance(asked, Mapping) else {"stem": asked, "choices": require(row, "choices", where)}
    options = in_one_column(require(nested, "choices", where), where)
    if not options.texts:
        raise UserError(f"{where}: the question has no choices.")
    return as_text(require(nested, "stem", where)), options


def texts_of(row: Mapping[str, Any], column: str, where: str) -> tuple[str, ...]:
    """A list of texts. Raises: UserError for anything else."""
    given = require(row, column, where)
    if not isinstance(given, list) or not given:
        raise UserError(f"{where}: column '{column}' must be a list of texts, found {given!r}.")
    return tuple(map(as_text, given))


def listed(labels: Iterable[Any], texts: Iterable[str]) -> str:
    """`(A): one (B): another`, as a block of a prompt lists them."""
    return " ".join(f"({label}): {text}" for label, text in zip(labels, texts, strict=True))


def by_position(texts: Iterable[str]) -> Options:
    """Choices without labels of their own."""
    return in_one_column(list(texts), "")
