"""Regression by two words: the KL divergence of [P(no), P(yes)] from [1 - target, target]."""

import math
from dataclasses import dataclass
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor

from teacherlm.answers.scale import Scale
from teacherlm.errors import UserError
from teacherlm.training.families import IGNORE, Batch, Family, Row
from teacherlm.training.objective import Example, Join
from teacherlm.training.sft import wide
from teacherlm.training.texts import Reader, Table, Text, renderers, require_column, values

SCORE = "score"
"""Key of a row: what the student is to give it."""
WORDS = 2
"""Numbers in a row's divergence; torch's mean counts each."""


@dataclass(frozen=True)
class Regression:
    """loss = mean over rows and both words of t·(log t - log p), over the whole step.

    That is `F.kl_div(log p, t, reduction="mean")` of torch 2 (it announces to divide by the rows alone one day), which the original used.
    """

    family: Family
    no: int
    yes: int

    def encode(self, example: Example, join: Join) -> list[Row]:
        """One word behind the prompt: the family predicts at the place before it, whichever word it is."""
        return [{**join(example.prompt, [self.yes]), SCORE: example.score}]

    def refresh(self, model: Any, batch: Batch) -> Batch:
        return batch

    def counts(self, batch: Batch) -> dict[str, Tensor]:
        return {"regression": _scored(batch).sum() * WORDS}

    def sums(self, model: Any, batch: Batch) -> dict[str, Tensor]:
        logits, _ = self.family.predicted(model, batch)
        told = wide(logits[:, [self.no, self.yes]]).log_softmax(dim=-1)
        target = batch[SCORE][_scored(batch)].to(told.dtype)
        return {"regression": F.kl_div(told, torch.stack([1 - target, target], dim=-1), reduction="sum")}

    def weights(self) -> dict[str, float]:
        return {"regression": 1.0}


def _scored(batch: Batch) -> Tensor:
    """Which rows carry loss [rows]; of a row that only fills a process's share no label is left."""
    return (batch["labels"] != IGNORE).any(dim=1)


def word_token(tokenizer: Any, word: str, apart: bool) -> int:
    """The token of a word behind a prompt (`apart`: at the beginning of a text of its own). Raises: UserError where it is not one."""
    before, whole = (tokenizer(text, add_special_tokens=False)["input_ids"] for text in (("", word) if apart else ("A:", f"A:{word}")))
    found = whole[len(before) :] if whole[: len(before)] == before else []
    if len(found) != 1 or found[0] == tokenizer.unk_token_id:
        pieces = ", ".join(repr(piece) for piece in tokenizer.convert_ids_to_tokens(found or whole))
        raise UserError(
            f"objective.words: {word!r} is not one token of this student ({pieces}); "
            f"choose two words that are, such as {_words(tokenizer)}."
        )
    return int(found[0])


def _words(tokenizer: Any) -> str:
    """Two words from its vocabulary, as examples."""
    known = tokenizer.get_vocab()
    pairs = (("no", "yes"), ("No", "Yes"), ("false", "true"), ("0", "1"))
    for no, yes in pairs:
        for mark, space in (("Ġ", " "), ("▁", " "), ("", "")):
            if mark + no in known and mark + yes in known:
                return f"[{space + no!r}, {space + yes!r}]"
    return "two of its frequent words"


def build_scored(table: Table, column: str, target: str, ends: tuple[float, float] | None, reader: Reader | None) -> list[Text]:
    """The texts of a column with the scores of another, in the table's order.

    Raises: UserError naming the row whose text is missing or empty, or whose target is no number of the range.
    """
    for name in (column, target):
        require_column(table, name)
    chats = renderers(table, reader)
    specs = values(table, "template") if chats else [None] * len(table.rows)
    scale = Scale(*ends) if ends else Scale()
    found = []
    for i, (text, value, spec) in enumerate(zip(values(table, column), values(table, target), specs, strict=True)):
        if not isinstance(text, str) or not text.strip():
            raise UserError(f"{table.where(i)}: column '{column}' is {'empty' if text in ('', None) else f'{text!r:.80}'}, expected text.")
        score = _score(value, scale, f"{table.where(i)}: column '{target}'")
        # The word brings its own space, here and where lm-eval puts it behind the prompt.
        put = chats[spec].start([{"role": "user", "content": text}], table.where(i)) if spec in chats else text.rstrip()
        found.append(Text(put, len(put), table.place(i), ((len(put), len(put)),) if spec in chats else (), score=score))
    return found


def _score(value: Any, scale: Scale, where: str) -> float:
    if isinstance(value, bool) or not isinstance(value, (int, float)) or not math.isfinite(value):
        raise UserError(f"{where} is {value!r:.80}, expected a number from {scale.low:g} to {scale.high:g}.")
    if not scale.low <= value <= scale.high:
        more = "" if scale != Scale() else " (or tell the range: objective: {name: regression, renormalise: [lowest, highest]})"
        raise UserError(f"{where} is {value!r}, outside {scale.low:g} to {scale.high:g}{more}.")
    return scale.to_unit(value)
