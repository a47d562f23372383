"""A teacher's log-probabilities as `enhance` kept them, laid beside the tokens of the rows that a student is trained on.

They belong to the tokens that the teacher wrote, in the context in which it wrote them (its prompt held the answer, where it explained a
given one). What else carries loss in a row, such as a stated answer or EOS, was written by nobody: there the target is the dataset's
token alone, whose divergence is its cross-entropy.
"""

from collections.abc import Sequence
from dataclasses import dataclass, field
from difflib import SequenceMatcher
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from teacherlm.errors import UserError
from teacherlm.prompts import KINDS
from teacherlm.records import LOGPROBS
from teacherlm.store.files import work_folder
from teacherlm.store.fingerprint import digest
from teacherlm.store.ledger import Ledger
from teacherlm.store.top_logprobs import UNKNOWN, TopLogprobs, unpacked, vocabulary_of
from teacherlm.training.columns import columns_of
from teacherlm.training.divergence import TopK
from teacherlm.training.families import IGNORE, Row
from teacherlm.training.teacher import vocabulary_size
from teacherlm.training.texts import Table, values

PLACE = "table_row"
"""Key of a training row: which row of its table it comes from."""
LEAST = 0.5
"""Share of a rationale's tokens that have to stand in its row as they were written."""


@dataclass
class Recorded:
    ledgers: Sequence[Path]
    keys: Sequence[str]
    """Of completions, by row of the table."""
    table: Table
    column: str
    top_k: int | None
    vocabulary: int
    """The highest id of a token, and one."""
    vocabulary_name: str
    _open: list[Ledger] = field(default_factory=list)

    @property
    def name(self) -> str:
        """Of all that decides what is kept of the teacher for a row."""
        return digest("recorded", self.top_k, self.vocabulary_name, list(self.keys), 1)

    def top_k_of(self, rows: Sequence[Row]) -> TopK:
        """For all positions with loss, one row after the other.

        Raises: UserError naming a row whose log-probabilities are lost, of another vocabulary, or of other tokens than it holds.
        """
        found = [self._of_row(row) for row in rows]
        k = max(one.ids.shape[1] for one in found)
        return TopK(torch.cat([_wider(one, k).log_probs for one in found]), torch.cat([_wider(one, k).ids for one in found]))

    def close(self) -> None:
        for ledger in self._open:
            ledger.close()
        self._open = []

    def _of_row(self, row: Row) -> TopK:
        labels = np.asarray(row["labels"])
        labels = labels[labels != IGNORE]
        place = int(row[PLACE])
        told = self._told(place)
        pairs = lined_up(told.tokens, labels)
        wanted = min(len(told.tokens), len(labels))
        if len(pairs) < LEAST * wanted:
            why = f"only {len(pairs)} of the {wanted} tokens that the teacher wrote stand in its column '{self.column}' as it wrote them"
            raise UserError(f"{self.table.where(place)}: {why}; set `teacher` instead of `logprobs`, so that it is asked about this text.")
        return laid_beside(told, labels, pairs, self.top_k)

    def _told(self, place: int) -> TopLogprobs:
        where = self.table.where(place)
        key = self.keys[place]
        found = next((ledger[key] for ledger in self._ledgers() if key in ledger), None) if key else None
        if found is None or not found.top_logprobs:
            places = ", ".join(map(str, self.ledgers))
            raise UserError(f"{where}: its log-probabilities ({key or 'no key'}) are in no ledger of objective.logprobs ({places}).")
        try:
            told = unpacked(found.top_logprobs)
        except ValueError as error:
            raise UserError(f"{where}: its log-probabilities in the ledger are damaged: {error}.") from None
        if told.vocabulary not in (UNKNOWN, self.vocabulary_name):
            raise UserError(f"{where}: its teacher knows other tokens than the student; its log-probabilities belong to other ids.")
        return told

    def _ledgers(self) -> list[Ledger]:
        if not self._open:
            self._open = [Ledger(folder) for folder in self.ledgers]
        return self._open


def lined_up(written: Sequence[int], labels: Any) -> list[tuple[int, int]]:
    """(place among the labels, place among the tokens written) of those that are the same in both, in order.

    A text may have lost its first or last tokens, or some between where spaces were squeezed.
    """
    one, other = np.asarray(written, np.int32).tolist(), np.asarray(labels, np.int32).tolist()
    blocks = SequenceMatcher(None, one, other, autojunk=False).get_matching_blocks()
    return [(block.b + i, block.a + i) for block in blocks for i in range(block.size)]


def laid_beside(told: TopLogprobs, labels: Any, pairs: Sequence[tuple[int, int]], top_k: int | None = None) -> TopK:
    """The teacher at these pairs of places (label, token written); at all other labels the label alone."""
    ids, log_probs = torch.tensor(told.ids).long(), torch.tensor(told.log_probs)
    if top_k is not None and top_k < ids.shape[1]:
        others = log_probs[:, top_k:].logsumexp(1, keepdim=True)
        ids, log_probs = ids[:, :top_k], torch.cat([log_probs[:, :top_k], others], dim=1)
    sure = _sure(torch.as_tensor(labels, dtype=torch.long), max(1, ids.shape[1]))
    if pairs:
        here, there = (torch.tensor(places) for places in zip(*pairs, strict=True))
        sure.ids[here], sure.log_probs[here] = ids[there], log_probs[there]
    return sure


def _sure(tokens: Tensor, k: int) -> TopK:
    """A teacher that knows the tokens [N] for certain; the places behind the first repeat it and weigh nothing."""
    log_probs = torch.full((len(tokens), k + 1), -torch.inf)
    log_probs[:, 0] = 0.0
    return TopK(log_probs, tokens[:, None].repeat(1, k))


def _wider(told: TopK, k: int) -> TopK:
    """With k tokens at each position; more of them weigh nothing."""
    more = k - told.ids.shape[1]
    if not more:
        return told
    weightless = told.log_probs.new_full((len(told.ids), more), -torch.inf)
    log_probs = torch.cat([told.log_probs[:, :-1], weightless, told.log_probs[:, -1:]], dim=1)
    return TopK(log_probs, torch.cat([told.ids, told.ids[:, :1].repeat(1, more)], dim=1))


def build_recorded(outputs: Sequence[Path], table: Table, column: str, tokenizer: Any, top_k: int | None) -> Recorded:
    """`outputs`: of `enhance`. Raises: UserError for a column without rationales that were recorded, and for a missing ledger."""
    if len(columns := columns_of(column, table.columns, table.path)) > 1:
        raise UserError(f"objective.logprobs: train_on: {column} are {len(columns)} columns; train on one of them, such as {columns[0]}.")
    [column] = columns
    kind = next((kind for kind in KINDS if column.startswith(f"{kind}_") or column == kind), None)
    name = f"{kind}{LOGPROBS}"
    if kind is None:
        raise UserError(f"objective.logprobs: train_on: {column} holds no rationale; cot_tail, cot_head or cot_think do.")
    if name not in table.columns:
        raise UserError(f"{table.path}: no column '{name}'; `enhance` writes it where top_logprobs is set.")
    ledgers = [work_folder(output) / "ledger" for output in outputs]
    for ledger in ledgers:
        if not ledger.is_dir():
            raise UserError(f"objective.logprobs: {ledger.parent} is no output of enhance: it has no ledger.")
    keys = [str(key or "") for key in values(table, name)]
    return Recorded(ledgers, keys, table, column, top_k, vocabulary_size(tokenizer), vocabulary_of(tokenizer))
