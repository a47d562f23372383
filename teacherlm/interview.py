"""One call of `enhance`, while it lasts: asks, counts, shows how far it is, ends at a cap or a signal, writes the rows."""

import time
from collections import Counter
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from teacherlm import interrupt
from teacherlm.asking import Drop
from teacherlm.attempts import is_wrong
from teacherlm.budget import CAP, Budget, Prices
from teacherlm.errors import Stopped, UserError
from teacherlm.inquiry import Told, Unanswered
from teacherlm.log import progress
from teacherlm.questioning import Questioning, Tries, Written, spread
from teacherlm.records import Completion
from teacherlm.store.frontier import Frontier, Place

ESTIMATED_ON = 32
"""Questions that an estimate asks."""


@dataclass
class Interview:
    """One call, while it lasts."""

    questions: Questioning
    budget: Budget
    ledger: Path
    """Folder of the ledger."""
    settings: str
    """Names everything that decides which requests there are."""
    asked: Counter[str] = field(default_factory=Counter)
    """Of this call alone: what was found in the ledger cost nothing."""
    judged: Counter[tuple[str, bool]] = field(default_factory=Counter)
    """(kind, whether it would be accepted) of the rationales asked for in this call."""
    seconds: float = 0.0

    def ask(self) -> None:
        """Until everything is answered. Raises: Stopped after a signal, UserError at a cap."""
        frontier = self._frontier()
        self._ask(frontier, frontier.place)
        if interrupt.wanted():
            raise self._ended_early()
        frontier.path.unlink(missing_ok=True)

    def ask_and_write(self, rows: Path, dropped: Path) -> Written:
        """The same, then the rows. What is answered already needs no leave of a cap."""
        frontier = self._frontier()
        start = frontier.place
        while True:
            self._ask(frontier, start)
            if interrupt.wanted() not in ("", CAP):
                raise self._ended_early()
            try:
                written = self.questions.write(rows, dropped)
            except Unanswered:
                if interrupt.wanted() or start == Place():
                    raise self._ended_early() from None
                start = Place()  # the frontier was ahead of what the disk kept
                continue
            frontier.path.unlink(missing_ok=True)
            return written

    def _frontier(self) -> Frontier:
        return Frontier(self.ledger / f"frontier-{self.settings}.json")

    def _ask(self, frontier: Frontier, start: Place) -> None:
        began = time.monotonic()
        with progress("enhance", self.questions.slice.count, "questions") as bar:
            bar.skip(len(range(self.questions.slice.index, start.rows, self.questions.slice.of)))

            def on_end(told: Told[Tries]) -> None:
                if told.asked:
                    bar.advance()
                    self._judge(told.result)
                else:
                    bar.skip(1)

            def on_answer(completion: Completion) -> None:
                self._count(completion)
                bar.advance(0, figures=self._figures(time.monotonic() - began))

            self.questions.ask(frontier, start, on_end, on_answer)
        self.seconds += time.monotonic() - began

    def estimate(self) -> str:
        """One line about the whole, from questions all over the file."""
        total = self.questions.slice.count
        some = spread(self.questions.slice.questions(), total, ESTIMATED_ON)
        began = time.monotonic()
        self.questions.ask_some(some, self._count)
        self.seconds = time.monotonic() - began
        tokens, prompts = (self.asked[name] * total / len(some) for name in ("tokens", "prompt_tokens"))
        if not self.asked["asked"]:
            return f"estimate: the {len(some)} questions it looks at are answered already; remove nothing, just run it."
        duration = self.seconds * total / len(some)
        cost = f", cost {self.budget.prices.cost(prompts, tokens):.4g}" if self.budget.prices != Prices() else ""
        return (
            f"estimate from {len(some)} of {total} questions: {_time(duration)} at most, {tokens:,.0f} tokens written, "
            f"{prompts:,.0f} read{cost}; at {self.asked['tokens'] / self.seconds:.0f} tokens/s (larger batches are faster)."
        )

    def counts(self) -> dict[str, int]:
        return {"asked": self.asked["asked"]}

    def facts(self) -> dict[str, Any]:
        rate = self.asked["tokens"] / self.seconds if self.asked["tokens"] else 0.0
        found = {"tokens_asked": self.asked["tokens"], "seconds_asked": round(self.seconds, 3), "tokens_per_second": round(rate, 1)}
        return {"engine": self.questions.inquiry.engine.identity, **found}

    def _count(self, completion: Completion) -> None:
        self.budget.count(completion)
        self.asked.update(asked=1, tokens=completion.tokens, prompt_tokens=completion.prompt_tokens, retries=completion.retries)

    def _judge(self, tries: Tries) -> None:
        for row in tries:
            if isinstance(row, Drop):
                continue
            for kind in self.questions.terms.kinds:
                self.judged[kind, row.get(f"{kind}_finish") == "stop" and not is_wrong(row, kind)] += 1

    def _figures(self, seconds: float) -> dict[str, str]:
        shown = {
            "answers": f"{self.asked['asked']:,}",
            "tokens": f"{self.asked['tokens']:,}",
            "tokens/s": f"{self.asked['tokens'] / max(seconds, 1e-9):.0f}",
        }
        for kind in self.questions.terms.kinds:
            good, bad = self.judged[kind, True], self.judged[kind, False]
            if good + bad:
                shown[f"{kind} accepted"] = f"{good / (good + bad):.0%}"
        return {**shown, "retries": str(self.asked["retries"])} if self.asked["retries"] else shown

    def _ended_early(self) -> Exception:
        kept = f"{self.asked['asked']} answers of this run are kept in {self.ledger}"
        reason = interrupt.wanted()
        if reason == CAP:
            return UserError(f"enhance: {self.budget.reached()}; {kept}; raise it and run the same again to go on.")
        if not reason:
            return RuntimeError("answers of the last pass are gone from the ledger")
        return Stopped(f"enhance: stopped by {reason}; {kept}; the same command goes on from there.", interrupt.exit_code(reason))


def _time(seconds: float) -> str:
    minutes, left = divmod(round(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours} h {minutes:02} min" if hours else f"{minutes} min {left:02} s"
