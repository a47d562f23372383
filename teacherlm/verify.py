"""Gates: what is checked of a rationale before a student learns from it. A gate gives a verdict; some verdicts drop the row."""

import re
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass

from teacherlm.answers import find_answer, same
from teacherlm.errors import unknown
from teacherlm.prompts import KINDS

NOT_JUDGED = "not judged"
NEXT_QUESTION = re.compile(r"(?<!\S)Q:")


@dataclass(frozen=True, slots=True)
class Rationale:
    """What a gate sees: the teacher's text about one question, and what is right."""

    kind: str
    text: str
    gold: str
    answer_rule: str
    choices: tuple[str, ...] = ()
    finish: str = ""
    """How the text ended: stop | length."""

    @property
    def own_text(self) -> str:
        """The text up to where it runs on into another question."""
        return NEXT_QUESTION.split(self.text, maxsplit=1)[0]


@dataclass(frozen=True)
class Gate:
    """One check. To add a gate, add an object to GATES."""

    name: str
    judge: Callable[[Rationale], str]
    """The verdict on a rationale, one of `verdicts`."""
    verdicts: tuple[str, ...]
    """From the gravest down: a row with several rationales counts under the gravest of theirs."""
    drops: frozenset[str]
    """Verdicts that drop a row where the gate is in `verify`; in `measure` none does."""
    column: str
    """The verdict on each kind is written as `<kind>_<column>`."""
    kinds: frozenset[str] = frozenset(KINDS)
    """Kinds of rationale that it can judge."""

    def verdict(self, rationale: Rationale) -> str:
        return self.judge(rationale) if rationale.kind in self.kinds else NOT_JUDGED

    def gravest(self, verdicts: Iterable[str]) -> str:
        return min(verdicts, key=(*self.verdicts, NOT_JUDGED).index)


def gate(name: str) -> Gate:
    """Raises: UserError for an unknown name."""
    if name not in GATES:
        raise unknown("gate", name, GATES)
    return GATES[name]


def judge_agreement(rationale: Rationale) -> str:
    """Does the answer that the text states agree with the right one?"""
    found = find_answer(rationale.own_text, rationale.answer_rule)
    if found is None:
        return "unparsed"
    return "right" if same(found, rationale.gold, rationale.answer_rule) else "wrong"


AGREEMENT = Gate(
    name="agreement",
    judge=judge_agreement,
    verdicts=("wrong", "right", "unparsed"),
    drops=frozenset({"wrong"}),
    column="verdict",
    kinds=frozenset({"cot", "fundamental"}),  # a text about mistakes states wrong answers on purpose
)
GATES: Mapping[str, Gate] = {g.name: g for g in (AGREEMENT,)}
