"""Rows meet their gates: first those that tell by themselves, then, for what is left, those that ask a model."""

from collections import Counter
from collections.abc import Callable, Generator, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from teacherlm import interrupt
from teacherlm.inquiry import Inquiry
from teacherlm.layout import Laid
from teacherlm.records import Completion, Request
from teacherlm.verify import NOT_JUDGED, AskingGate, Gate, JudgingGate, Rationale

GATE = "gate "
"""Begins the reason of a row that a gate dropped."""
BEST = "more than the best "
"""Begins the reason of a row that passed all gates when enough of its question had passed."""

Row = dict[str, Any]


@dataclass(frozen=True)
class Screened:
    """A row, why it is not kept ("" when it is), and the gravest verdict of each gate it met."""

    row: Row
    reason: str = ""
    verdicts: Mapping[str, str] = field(default_factory=dict)


@dataclass
class Failures:
    """Rationales that a model could not be asked about."""

    counts: Counter[str] = field(default_factory=Counter)
    first: dict[str, str] = field(default_factory=dict)

    def note(self, gate: str, completions: Iterable[Completion]) -> None:
        errors = [one.error for one in completions if one.finish == "error"]
        if errors:
            self.counts[gate] += 1
            self.first.setdefault(gate, errors[0])

    def said(self) -> Iterator[str]:
        for gate, count in self.counts.items():
            yield f"gate {gate}: {count} rationales could not be asked about (the first: {self.first[gate]})."


@dataclass
class Screen:
    """The gates of a run."""

    kinds: Sequence[str]
    gates: Sequence[Gate]
    """In the user's order; it decides the order of columns and the funnel's."""
    dropping: frozenset[str]
    """Names of those that drop rows; the others only count."""
    inquiries: Mapping[str, Inquiry] = field(default_factory=dict)
    """Of each gate that asks."""
    failures: Failures = field(default_factory=Failures)

    @property
    def judging(self) -> list[JudgingGate]:
        return [gate for gate in self.gates if isinstance(gate, JudgingGate)]

    @property
    def asking(self) -> list[AskingGate]:
        return [gate for gate in self.gates if isinstance(gate, AskingGate)]

    def begin(self) -> None:
        """Before each time the rows are gone through."""
        self.failures = Failures()
        for gate in self.judging:
            if gate.memory:
                gate.memory.begin()

    def close(self) -> None:
        for gate in self.judging:
            if gate.memory:
                gate.memory.close()

    def ask_all(self, rows: Callable[[], Iterable[Laid]], on_answer: Callable[[Completion], None]) -> None:
        """Asks each model about what the gates before it leave, so that a row that a cheaper gate drops costs nothing.

        Ends early when `interrupt.wanted()`.
        """
        for gate in self.asking:
            self.begin()
            self.inquiries[gate.name].ask(self._conversations(gate, rows()), on_answer=on_answer)
            if interrupt.wanted():
                return

    def _conversations(self, gate: AskingGate, rows: Iterable[Laid]) -> Iterator[Generator[list[Request], list[Completion], str]]:
        for laid in rows:
            if not laid.unusable and not self.screen(laid, before=gate).reason:
                yield from (gate.ask(rationale_of(laid, kind)) for kind in self.kinds if kind in gate.kinds)

    def screen(self, laid: Laid, before: AskingGate | None = None) -> Screened:
        """The row with the verdicts on it; the first gate that drops it gives the reason. Stops where the gate `before` would ask."""
        if laid.unusable:
            return Screened(laid.row, laid.unusable)
        rationales = {kind: rationale_of(laid, kind) for kind in self.kinds}
        found: dict[str, dict[str, str]] = {}
        reason = ""
        for gate in self.judging:
            found[gate.name] = {kind: gate.verdict(rationale) for kind, rationale in rationales.items()}
            reason = reason or self._reason(gate, found[gate.name])
        if not reason:
            self._remember(rationales.values())
        for asking in self.asking:
            if asking is before:
                break
            found[asking.name] = {kind: NOT_JUDGED if reason else self._told(asking, one) for kind, one in rationales.items()}
            reason = reason or self._reason(asking, found[asking.name])
        met = [gate for gate in self.gates if gate.name in found]
        verdicts = {f"{kind}_{gate.column}": verdict for gate in met for kind, verdict in found[gate.name].items()}
        return Screened({**laid.row, **verdicts}, reason, {gate.name: gate.gravest(found[gate.name].values()) for gate in met})

    def _reason(self, gate: Gate, found: Mapping[str, str]) -> str:
        bad = next((kind for kind, verdict in found.items() if verdict in gate.drops), None)
        return f"{GATE}{gate.name}: {bad} is {found[bad]}" if bad and gate.name in self.dropping else ""

    def _remember(self, rationales: Iterable[Rationale]) -> None:
        memories = [gate.memory for gate in self.judging if gate.memory]
        for memory in memories:
            for rationale in rationales:
                memory.keep(rationale)

    def _told(self, gate: AskingGate, rationale: Rationale) -> str:
        if rationale.kind not in gate.kinds:
            return NOT_JUDGED
        told = self.inquiries[gate.name].replay(gate.ask(rationale))
        self.failures.note(gate.name, told.completions)
        return told.result


def rationale_of(laid: Laid, kind: str) -> Rationale:
    row = laid.row
    attempt = (laid.attempts or {}).get(kind, row)
    return Rationale(
        kind=kind,
        text=row[kind],
        gold=str(row["answer"]),
        answer_rule=row["answer_rule"],
        choices=tuple(row["choices"]),
        finish=row[f"{kind}_finish"],
        found=_found(attempt) if kind == "cot" else None,  # an answer is asked for after solving, which writes a cot
        id=str(row["id"]),
        prompt=row["prompt"],
        template=row["template"],
        row=row,
    )


def _found(attempt: Row) -> str | None:
    if "found" not in attempt:
        return None
    return "" if attempt["found"] is None else str(attempt["found"])


@dataclass
class Tally:
    """What became of the rows."""

    rows: int = 0
    reasons: Counter[str] = field(default_factory=Counter)
    verdicts: Counter[tuple[str, str]] = field(default_factory=Counter)

    def count(self, screened: Screened) -> None:
        self.rows += 1
        self.verdicts.update(screened.verdicts.items())
        if screened.reason:
            self.reasons[screened.reason] += 1

    @property
    def dropped(self) -> int:
        return self.reasons.total()

    def funnel(self, gates: Sequence[Gate]) -> dict[str, Any]:
        """In the order of the checks; `unusable` rows (one input lacks them, an empty rationale) meet no gate."""
        judged = {one.name: self._verdicts(one) for one in gates}
        beyond = sum(n for reason, n in self.reasons.items() if reason.startswith(BEST))
        unusable = sum(n for reason, n in self.reasons.items() if not reason.startswith((GATE, BEST)))
        best = {"more than the best": beyond} if beyond else {}
        return {"questions in": self.rows, "unusable": unusable, **judged, **best, "kept": self.rows - self.dropped}

    def _verdicts(self, one: Gate) -> dict[str, int]:
        counts = {verdict: self.verdicts[one.name, verdict] for verdict in (*one.verdicts, NOT_JUDGED)}
        return {verdict: count for verdict, count in counts.items() if count or verdict != NOT_JUDGED}

    def said(self) -> str:
        return ", ".join(f"{reason}: {count}" for reason, count in self.reasons.most_common()) or "nothing dropped"
