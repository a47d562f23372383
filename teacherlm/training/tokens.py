"""The rows of a dataset in tokens: some to train on, some held out; from the cache where they are there."""

import itertools
import random
from collections import Counter
from collections.abc import Sequence
from pathlib import Path

from teacherlm.errors import UserError
from teacherlm.training.encoding import encode
from teacherlm.training.families import Family
from teacherlm.training.material import Training
from teacherlm.training.objective import Objective
from teacherlm.training.subsample import EVERYTHING
from teacherlm.training.texts import Reader, Table, Text
from teacherlm.training.thoughts import answers_only
from teacherlm.training.token_cache import Tokens, entry_name, read_or_make


def read_tokens(
    config: Training, table: Table, reader: Reader, objective: Objective, family: Family, limit: int, specs: Sequence[str]
) -> Tokens:
    """Rows have at most `limit` tokens; `specs` are the rows' templates.

    Raises: UserError naming a row that cannot be trained on.
    """

    def make(folder: Path | None) -> Tokens:
        parts = texts_of(config, table, reader)
        trained, held_out = (
            encode(part, reader.tokenizer, objective, family, limit, folder / name if folder else None)
            for name, part in zip(("trained", "held_out"), parts, strict=True)
        )
        texts = [text for part in parts for text in part]
        return Tokens(trained, held_out, {"rows": len(texts), **Counter(text.part for text in texts if text.part)})

    if not config.cache:
        return read_or_make(None, make)
    settings = {name: getattr(config, name) for name in ("train_on", "loss_on", "limit", "held_out", "subsample")}
    which = {"seed": config.seed} if config.held_out or config.subsample != EVERYTHING else {}
    name = entry_name(config.input, config.objective, reader.tokenizer, family, specs, {**settings, **which, "tokens": limit})
    return read_or_make(name, make)


def texts_of(config: Training, table: Table, reader: Reader) -> tuple[list[Text], list[Text]]:
    """(trained on, held out), in the order of the rows in tokens."""
    texts: list[Text] = config.objective.texts(table, config.train_on, config.loss_on != "all", reader)
    return split(answers_only(texts) if config.loss_on == "answer" else texts, config.held_out, config.seed)


def split(texts: list[Text], share: float, seed: int) -> tuple[list[Text], list[Text]]:
    """(to train on, held out), both in the input's order; which rows are held out is the seed's choice, with all their texts.

    Raises: UserError when nothing would be left on either side.
    """
    rows = [list(found) for _, found in itertools.groupby(texts, key=lambda text: text.where)]
    count = round(share * len(rows))
    if share and not 0 < count < len(rows):
        raise UserError(f"held_out {share} of {len(rows)} rows leaves {'none to train on' if count else 'none held out'}.")
    out = set(random.Random(f"held out/{seed}").sample(range(len(rows)), count))
    kept: list[Text] = []
    held_out: list[Text] = []
    for i, row in enumerate(rows):
        (held_out if i in out else kept).extend(row)
    return kept, held_out
