"""The rows of a dataset in tokens: some to train on, some held out; from the cache where they are there."""

import itertools
import random
from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path

from teacherlm.errors import UserError
from teacherlm.training.encoding import Encoded, encode
from teacherlm.training.families import Family
from teacherlm.training.material import Training
from teacherlm.training.objective import Objective
from teacherlm.training.subsample import EVERYTHING
from teacherlm.training.texts import Reader, Table, Text
from teacherlm.training.thoughts import answers_only
from teacherlm.training.token_cache import Tokens, entry_name, read_or_make

SLICE = 5000
"""Rows whose texts are held at once: a million rows take no more memory than these."""


def read_tokens(
    config: Training, table: Table, reader: Reader, objective: Objective, family: Family, limit: int, specs: Sequence[str]
) -> Tokens:
    """Rows have at most `limit` tokens; `specs` are the rows' templates.

    Raises: UserError naming a row that cannot be trained on.
    """

    def make(folder: Path | None) -> Tokens:
        out = rows_held_out(len(table.rows), config.held_out, config.seed)
        counts = Counter({"rows": 0})

        def encoded(name: str, is_held_out: bool) -> Encoded:
            rows = _by_row(config, table, reader) if out or not is_held_out else ()
            texts = _counted((text for row, found in rows if (row in out) == is_held_out for text in found), counts)
            return encode(texts, reader.tokenizer, objective, family, limit, folder / name if folder else None)

        return Tokens(encoded("trained", False), encoded("held_out", True), dict(counts))

    if not config.cache:
        return read_or_make(None, make)
    settings = {name: getattr(config, name) for name in ("train_on", "loss_on", "limit", "held_out", "subsample")}
    which = {"seed": config.seed} if config.held_out or config.subsample != EVERYTHING else {}
    name = entry_name(config.input, config.objective, reader.tokenizer, family, specs, {**settings, **which, "tokens": limit})
    return read_or_make(name, make)


def texts_of(config: Training, table: Table, reader: Reader) -> tuple[list[Text], list[Text]]:
    """(trained on, held out), in the order of the rows in tokens."""
    out = rows_held_out(len(table.rows), config.held_out, config.seed)
    kept: list[Text] = []
    held_out: list[Text] = []
    for row, texts in _by_row(config, table, reader):
        (held_out if row in out else kept).extend(texts)
    return kept, held_out


def _by_row(config: Training, table: Table, reader: Reader) -> Iterator[tuple[int, list[Text]]]:
    """Each row's number in the table and its texts; only those of one slice are held."""
    objective, number = config.objective, itertools.count()
    for part in table.slices(SLICE) if objective.row_by_row else (table,):
        texts: list[Text] = objective.texts(part, config.train_on, config.loss_on != "all", reader)
        texts = answers_only(texts) if config.loss_on == "answer" else texts
        yield from ((next(number), list(found)) for _, found in itertools.groupby(texts, key=lambda text: text.where))


def _counted(texts: Iterable[Text], counts: Counter[str]) -> Iterator[Text]:
    for text in texts:
        counts["rows"] += 1
        if text.part:
            counts[text.part] += 1
        yield text


def rows_held_out(rows: int, share: float, seed: int) -> frozenset[int]:
    """Numbers of the rows that are held out, with all their texts: the seed's choice.

    Raises: UserError when nothing would be left on either side.
    """
    count = round(share * rows)
    if share and not 0 < count < rows:
        raise UserError(f"held_out {share} of {rows} rows leaves {'none to train on' if count else 'none held out'}.")
    return frozenset(random.Random(f"held out/{seed}").sample(range(rows), count))
