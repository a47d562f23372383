"""Rows written token by token: those that are done leave, others join where there is room; out of memory makes the batch smaller."""

from collections import deque
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, field
from typing import Any, Literal

import torch

from teacherlm import interrupt
from teacherlm.engines.bodies.batches import CausalBatch, CausalModel, Seq2SeqBatch, Seq2SeqModel
from teacherlm.engines.bodies.likeliest import likeliest
from teacherlm.engines.bodies.memory import Room, run_out_of_memory
from teacherlm.engines.bodies.prefixes import find_groups
from teacherlm.engines.bodies.sampling import choose
from teacherlm.errors import UserError
from teacherlm.records import Request

EXPECTED_TOKENS = 256
"""What a row is thought to write when room is counted; most rationales end long before their limit. Once LEARNT_FROM rows are done,
what they wrote decides: twice their mean."""
LEARNT_FROM = 32
TURNOVER = 16
"""Rows change when at least one in this many would: each change moves all that is held."""


@dataclass(eq=False)
class Row:
    """One request while it is written."""

    key: str
    request: Request
    prompt: list[int]
    budget: int
    """Tokens it may write."""
    seed: int
    group: int = 0
    """Rows of one group begin alike."""
    written: list[int] = field(default_factory=list)
    likely: list[tuple[Any, Any]] = field(default_factory=list)
    """At each token written, where they are asked for: the most likely ones and their log-probabilities, as `likeliest` gives them."""
    finish: Literal["stop", "length", "error"] | None = None
    error: str = ""

    @property
    def line(self) -> list[int]:
        return self.prompt + self.written

    def expected(self, tokens: int | None) -> int:
        """Tokens it will hold if it writes about `tokens`; None: all that it may."""
        return len(self.prompt) + (self.budget if tokens is None else min(self.budget, max(tokens, 2 * len(self.written))))


def in_order(rows: list[Row]) -> Iterator[Row]:
    """Rows that begin alike side by side, the longest first: what does not fit into memory shows at once."""
    groups = [[rows[index] for index in group.rows] for group in find_groups([row.line for row in rows])]
    for group in groups:
        group.sort(key=lambda row: -len(row.line))
    groups.sort(key=lambda group: -len(group[0].line))
    for number, group in enumerate(groups):
        for row in group:
            row.group = number
            yield row


class Writing:
    """Rows of one sampling on their way through a model."""

    def __init__(
        self, model: CausalModel | Seq2SeqModel, rows: Iterable[Row], room: Room, ended: Callable[[Row, int], bool], vocabulary: int = 0
    ) -> None:
        """`ended` adds a token to a row and says whether the text is complete with it. `vocabulary`: how many scores belong to tokens;
        needed where rows ask for the likeliest of them.
        """
        self.model, self.room, self.ended, self.vocabulary = model, room, ended, vocabulary
        self.waiting = deque(rows)
        self.entering: list[Row] = []
        self.batch: CausalBatch | Seq2SeqBatch | None = None
        self.rows: list[Row | None] = []
        """Of the batch; None: is done, and leaves when it is worth it."""
        self.done: list[Row] = []
        self.whole = isinstance(model, Seq2SeqModel)
        self.finished = self.tokens = 0

    def write(self) -> Iterator[Row]:
        """The rows as they are done, `written` and `finish` set. Begins nothing new once `interrupt.wanted()`."""
        while self.batch or (self.waiting and not interrupt.wanted()):
            with torch.inference_mode():  # entered for each step: whoever consumes the rows must not run inside it
                failure = run_out_of_memory(self._advance)
            if failure:
                self._go_back(failure)
            done, self.done = self.done, []
            yield from done

    def _advance(self) -> None:
        self.entering = self._take()
        if self.entering:
            lines = [row.line for row in self.entering]
            for part in self.model.parts(lines):
                fresh = self.model.begin([lines[index] for index in part])
                slots = self._choose(fresh, [self.entering[index] for index in part])
                self._join(fresh, slots)
            self.entering = []
        self._leave()
        if self.batch:
            self.batch.step()
            self.rows = self._choose(self.batch, self.rows)

    def _choose(self, batch: CausalBatch | Seq2SeqBatch, rows: Iterable[Row | None]) -> list[Row | None]:
        """Every row's next token; returns the rows, None for those that are done with it."""
        slots = list(rows)
        sampling = next(row for row in slots if row).request.sampling
        seeds = positions = torch.empty(0)
        if sampling.temperature:
            device = batch.scores.device
            seeds = torch.tensor([row.seed if row else 0 for row in slots], device=device)
            positions = torch.tensor([len(row.written) if row else 0 for row in slots], device=device)
        tokens = _numbers(batch.scores, choose(batch.scores, sampling, seeds, positions))
        likely = self._likeliest(batch.scores, slots)
        for index, (row, token) in enumerate(zip(slots, tokens.tolist(), strict=True)):
            if row is None:
                continue
            ended = self.ended(row, token)
            if likely and len(row.likely) < len(row.written):
                row.likely.append(likely[index])
            if ended:
                row.finish = "stop"
            elif len(row.written) >= row.budget:
                row.finish = "length"
            else:
                continue
            self.done.append(row)
            self.finished, self.tokens = self.finished + 1, self.tokens + len(row.written)
            slots[index] = None
        batch.extend(tokens)
        return slots

    def _likeliest(self, scores: torch.Tensor, rows: Iterable[Row | None]) -> list[tuple[Any, Any]]:
        """By row; nothing where none asks for them."""
        k = max(row.request.top_logprobs for row in rows if row)
        if not k:
            return []
        ids, log_probs = likeliest(scores, k, self.vocabulary)
        return list(zip(ids.cpu().numpy(), log_probs.float().cpu().numpy(), strict=True))

    @property
    def likely(self) -> int | None:
        """Tokens that a row writes; None where room for all that it may write is needed."""
        if self.whole:
            return None
        return EXPECTED_TOKENS if self.finished < LEARNT_FROM else 2 * self.tokens // self.finished

    def _take(self) -> list[Row]:
        """Those of the waiting that enter now."""
        if not self.waiting or interrupt.wanted():
            return []
        active = [row for row in self.rows if row]
        if active and not (self.batch and self.batch.joinable):
            return []
        count = self._fitting(active)
        if count < min(len(active) // TURNOVER, len(self.waiting)):
            return []
        return [self.waiting.popleft() for _ in range(count)]

    def _fitting(self, active: list[Row]) -> int:
        """How many of the waiting have room beside the active; at least one in all."""
        needed = max((row.expected(self.likely) for row in active), default=0)
        count = begins = 0
        for row in self.waiting:
            rows = len(active) + count
            needed = max(needed, row.expected(self.likely))
            if rows and not self.room.fits(rows + 1, needed):
                return begins if begins and row.group == self.waiting[count - 1].group else count  # groups are not torn if they can help it
            if count and row.group != self.waiting[count - 1].group:
                begins = count
            count += 1
        return count

    def _join(self, fresh: Any, slots: list[Row | None]) -> None:
        joining = [index for index, row in enumerate(slots) if row]
        active = [index for index, row in enumerate(self.rows) if row]
        if not joining:
            return
        if isinstance(self.batch, CausalBatch) and active:
            order = self.batch.keep(active, fresh, joining, reserve=len(active) + len(self.entering))
            both = self.rows + slots
            self.rows = [both[index] for index in order]
        else:
            self.batch, self.rows = fresh, slots

    def _leave(self) -> None:
        """Drops rows that are done, and rows beyond the room: these are continued later."""
        staying = [index for index, row in enumerate(self.rows) if row]
        if not staying:
            self.batch, self.rows = None, []
            return
        if not self.whole and len(staying) > 1:
            longest = max(len(row.prompt) + len(row.written) for row in self.rows if row)
            if longest * len(staying) > self.room.tokens:
                half = (len(staying) + 1) // 2
                self.waiting.extendleft(row for index in staying[half:] if (row := self.rows[index]))
                staying = staying[:half]
        if self.batch and len(self.rows) - len(staying) >= max(1, len(self.rows) // TURNOVER):
            self.rows = [self.rows[index] for index in self.batch.keep(staying)]

    def _go_back(self, failure: str) -> None:
        """All rows in hand wait again, for a smaller batch; a row that was alone is given up."""
        rows = list(dict.fromkeys(row for row in (*self.rows, *self.entering) if row and not row.finish))
        self.batch, self.rows, self.entering = None, [], []
        if len(rows) == 1:
            rows[0].finish, rows[0].error = "error", f"out of memory: {failure}"
            self.done.append(rows[0])
            return
        if rows:
            self.room.shrink(len(rows) * max(row.expected(self.likely) for row in rows))
        self.waiting.extendleft(reversed(rows))


def _numbers(scores: torch.Tensor, tokens: torch.Tensor) -> torch.Tensor:
    """The tokens. Raises: UserError where their scores are not numbers (argmax takes such a one first): they would be quietly wrong."""
    if bool(scores.gather(-1, tokens[:, None]).isnan().any()):
        raise UserError(f"the model's scores are not numbers (NaN in {scores.dtype}): choose another dtype, such as bfloat16 or float32.")
    return tokens
