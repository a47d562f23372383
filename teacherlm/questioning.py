"""All questions of a run: read in their order, asked in a way, their rows written in their order."""

from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from itertools import islice
from pathlib import Path

import orjson

from teacherlm.asking import Conversation, Drop, Row, Terms, Way, together
from teacherlm.attempts import Attempts, weigh
from teacherlm.errors import UserError
from teacherlm.inquiry import Inquiry, Told
from teacherlm.records import TOO_LONG, Completion
from teacherlm.store.files import count_lines, read_jsonl_from, writing
from teacherlm.store.frontier import Frontier, Place

COUNTED_AT_ONCE = 512

Tries = list[Row | Drop]
"""What came of the attempts at one question."""


@dataclass(frozen=True)
class Question:
    rank: int
    """Its place among the rows of the file, from 0."""
    end: Place
    """Where its line ends."""
    where: str
    """`file:line`."""
    row: Row


@dataclass(frozen=True)
class Slice:
    """Every `of`-th row of a file, from the `index`-th on."""

    source: Path
    limit: int | None = None
    index: int = 0
    of: int = 1

    def questions(self, start: Place | None = None) -> Iterator[Question]:
        """Raises: UserError for a damaged line, and for a file without rows."""
        start = start or Place()
        rank = start.rows - 1
        for line, offset, row in read_jsonl_from(self.source, start.offset, start.line):
            rank += 1
            if self.limit is not None and rank >= self.limit:
                return
            if rank % self.of == self.index:
                yield Question(rank, Place(rank + 1, line, offset), f"{self.source}:{line}", row)
        if rank < 0:
            raise UserError(f"{self.source}: the file has no rows.")

    @cached_property
    def count(self) -> int:
        """How many there are; a blank line counts as one."""
        rows = min(count_lines(self.source), self.limit or 1 << 60)
        return len(range(self.index, rows, self.of))


@dataclass
class Written:
    """Sums over the rows written: questions = answered + dropped."""

    counts: Counter[str] = field(default_factory=lambda: Counter(questions=0, rows=0, dropped=0))
    tokens: Counter[str] = field(default_factory=Counter)
    finishes: Counter[str] = field(default_factory=Counter)

    def add(self, attempts: Attempts, completions: Sequence[Completion]) -> None:
        self.counts.update(questions=1, rows=len(attempts.rows), dropped=0 if attempts.rows else 1)
        if attempts.duplicates:
            self.counts["duplicates"] += attempts.duplicates
        if attempts.rows and attempts.failed:
            self.counts["failed samples"] += len(attempts.failed)
        for completion in completions:
            self.tokens.update({"tokens": completion.tokens, "prompt_tokens": completion.prompt_tokens})
            self.finishes[completion.finish] += 1
            if completion.retries:
                self.tokens["retries"] += completion.retries


@dataclass(frozen=True)
class Questioning:
    """One way of asking, on one slice."""

    slice: Slice
    inquiry: Inquiry
    way: Way
    terms: Terms
    samples: int

    def conversation(self, question: Question) -> Conversation[Tries]:
        return together([self.way(question.row, self.terms, question.where, sample) for sample in range(self.samples)])

    def ask(self, frontier: Frontier, start: Place, on_end: Callable[[Told[Tries]], None], on_answer: Callable[[Completion], None]) -> None:
        """Everything that the ledger lacks for the questions behind `start`."""

        def conversations() -> Iterator[Conversation[Tries]]:
            for question in self.slice.questions(start):
                frontier.open(question.rank, question.end)
                yield closing(question)

        def closing(question: Question) -> Conversation[Tries]:
            tries = yield from self.conversation(question)
            frontier.close(question.rank)
            return tries

        self.inquiry.ask(conversations(), on_end, on_answer)
        frontier.save()

    def ask_some(self, questions: Sequence[Question], on_answer: Callable[[Completion], None]) -> None:
        self.inquiry.ask((self.conversation(question) for question in questions), on_answer=on_answer)

    def write(self, rows: Path, dropped: Path) -> Written:
        """Questions without any row go to `dropped` with the reason. Raises: Unanswered when the ledger lacks an answer."""
        written = Written()
        with writing(dropped) as drops, writing(rows) as file:
            for question in self.slice.questions():
                told = self.inquiry.replay(self.conversation(question))
                attempts = weigh(told.result, self.terms.kinds)
                written.add(attempts, told.completions)
                for row in attempts.rows:
                    file.write(orjson.dumps(row, option=orjson.OPT_APPEND_NEWLINE))
                if not attempts.rows:
                    drops.write(orjson.dumps({**question.row, "reason": attempts.failed[0].reason}, option=orjson.OPT_APPEND_NEWLINE))
        return written

    def refuse_overlong(self) -> None:
        """Raises: UserError, before anything is asked, when a first prompt leaves no room in the model's context."""
        context = self.inquiry.engine.context
        if context is None:
            return
        overlong = self._overlong(context)
        if (first := next(overlong, None)) is None:
            return
        where, tokens = first
        more = sum(1 for _ in overlong)
        others = f" ({more} more are too long)" if more else ""
        advice = "shorten it, or drop such questions (on_overlong: drop)"
        raise UserError(f"{where}: the prompt has {tokens} tokens, the model's context is {context}{others}; {advice}.")

    def _overlong(self, context: int) -> Iterator[tuple[str, int]]:
        """(place, tokens) of first prompts that leave no room."""
        prompts = self._first_prompts()
        while part := list(islice(prompts, COUNTED_AT_ONCE)):
            lengths = self.inquiry.engine.count_tokens([prompt for _, prompt in part])
            yield from ((where, tokens) for (where, _), tokens in zip(part, lengths, strict=True) if tokens >= context)

    def _first_prompts(self) -> Iterator[tuple[str, str]]:
        """(place, prompt) of what is asked first of each question, but for what was answered already."""
        ledger, identity = self.inquiry.ledger, self.inquiry.engine.identity
        for question in self.slice.questions():
            for request in next(self.conversation(question), []):
                key = request.key(identity)
                if key not in ledger or ledger[key].error.startswith(TOO_LONG):
                    yield request.where, request.prompt


def spread(questions: Iterator[Question], total: int, wanted: int) -> list[Question]:
    """`wanted` questions at equal distances: the start of a file is seldom like the rest."""
    step = max(total // wanted, 1)
    return [question for number, question in enumerate(questions) if number % step == 0][:wanted]
