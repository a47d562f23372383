"""Does every equation in a rationale hold? A teacher that knows the answer can bend a step to reach it."""

import ast
import operator
import re
from collections.abc import Callable, Mapping
from typing import Annotated, Literal

from pydantic import Field

from teacherlm.catalog import ChosenSettings
from teacherlm.stage import Plugin
from teacherlm.verify import REASONING_KINDS, JudgingGate, Rationale

VERDICTS = ("wrong", "right", "unparsed")
EQUATION = re.compile(r"(?<![\w.])(-?\d+(?:\.\d+)?(?:\s*[-+*/×÷]\s*-?\d+(?:\.\d+)?)+)\s*=\s*(-?\d+(?:\.\d+)?)(?![\w/*×÷])")
"""`3 + 4 * 2 = 11`: numbers and signs of arithmetic, an equals sign, a number."""
OPERATORS: Mapping[type[ast.operator], Callable[[float, float], float]] = {
    ast.Add: operator.add,
    ast.Sub: operator.sub,
    ast.Mult: operator.mul,
    ast.Div: operator.truediv,
}


class ArithmeticSettings(ChosenSettings):
    name: Literal["arithmetic"] = "arithmetic"
    rounded: Annotated[float, Field(ge=0, lt=1)] = 0.01
    """Two sides may differ by this share: written results are often rounded."""
    drops: list[Literal["wrong", "right", "unparsed"]] = ["wrong"]
    """Verdicts that drop a row."""


def judge(rationale: Rationale, rounded: float) -> str:
    text = rationale.own_text.replace(",", "")
    found = [(calculate(left), float(right)) for left, right in EQUATION.findall(text)]
    if not found:
        return "unparsed"
    holds = all(left is not None and abs(left - right) <= rounded * max(1.0, abs(right)) for left, right in found)
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


def build(settings: ArithmeticSettings) -> JudgingGate:
    return JudgingGate(
        name=settings.name,
        judge=lambda rationale: judge(rationale, settings.rounded),
        verdicts=VERDICTS,
        drops=frozenset(settings.drops),
        column="arithmetic",
        kinds=REASONING_KINDS,
    )


GATE = Plugin(ArithmeticSettings, build)
