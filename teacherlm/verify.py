"""Gates: what is checked of a rationale before a student learns from it. A gate gives a verdict; some verdicts drop the row."""

import ast
import operator
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
EQUATION = re.compile(r"(?<![\w.])(-?\d+(?:\.\d+)?(?:\s*[-+*/×÷]\s*-?\d+(?:\.\d+)?)+)\s*=\s*(-?\d+(?:\.\d+)?)(?![\w/*×÷])")
"""`3 + 4 * 2 = 11`: numbers and signs of arithmetic, an equals sign, a number."""
OPERATORS: Mapping[type[ast.operator], Callable[[float, float], float]] = {
    ast.Add: operator.add,
    ast.Sub: operator.sub,
    ast.Mult: operator.mul,
    ast.Div: operator.truediv,
}
ROUNDED = 0.01
"""Two sides may differ by this share: written results are often rounded."""


def judge_arithmetic(rationale: Rationale) -> str:
    """Does every equation in the text hold? A teacher that knows the answer can bend a step to reach it."""
    text = rationale.own_text.replace(",", "")
    found = [(calculate(left), float(right)) for left, right in EQUATION.findall(text)]
    if not found:
        return "unparsed"
    holds = all(left is not None and abs(left - right) <= ROUNDED * max(1.0, abs(right)) for left, right in found)
    return "right" if holds else "wrong"


def calculate(text: str) -> float | None:
    """The value of `3 + 4 * 2`; None where it divides by zero. Read as a tree of sums, never run as code."""
    plain = re.sub(r"\b0+(?=\d)", "", text.replace("×", "*").replace("÷", "/"))  # 007 is no number to Python
    try:
        return _value(ast.parse(plain.strip(), mode="eval").body)
    except ZeroDivisionError:
        return None


def _value(node: ast.expr) -> float:
    if isinstance(node, ast.BinOp):
        return float(OPERATORS[type(node.op)](_value(node.left), _value(node.right)))
    if isinstance(node, ast.UnaryOp):
        return -_value(node.operand)
    assert isinstance(node, ast.Constant) and isinstance(node.value, (int, float))
    return float(node.value)


ARITHMETIC = Gate(
    name="arithmetic",
    judge=judge_arithmetic,
    verdicts=("wrong", "right", "unparsed"),
    drops=frozenset({"wrong"}),
    column="arithmetic",
    kinds=frozenset({"cot", "fundamental"}),
)
GATES: Mapping[str, Gate] = {g.name: g for g in (AGREEMENT, ARITHMETIC)}
