"""Does every equation in a rationale hold? A teacher that knows the answer can bend a step to reach it."""

import re
from typing import Annotated, Literal

from pydantic import Field

from teacherlm.catalog import ChosenSettings
from teacherlm.stage import Plugin
from teacherlm.verify import REASONING_KINDS, JudgingGate, Rationale

VERDICTS = ("wrong", "right", "unparsed")
NUMBER = r"-?[0-9]+(?:\.[0-9]+)?"
SIGN = r"[ \t]*[-+*/×÷][ \t]*"
EQUATION = re.compile(rf"(?<![\w.])({NUMBER}(?:{SIGN}{NUMBER})+)[ \t]*=[ \t]*({NUMBER})(?![\w/*×÷])")
"""`3 + 4 * 2 = 11` on one line: numbers and signs of arithmetic, an equals sign, a number."""
STEP = re.compile(rf"((?<=[0-9])[ \t]*[-+*/×÷])?[ \t]*({NUMBER})")


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
    """The value of `3 + 4 * 2`; None where it divides by zero. Products first, else from left to right, however long."""
    total, product = 0.0, 1.0
    for number, (sign, written) in enumerate((sign.strip(), written) for sign, written in STEP.findall(text)):
        value = float(written)
        if number == 0:
            product = value
        elif sign in "*×":
            product *= value
        elif sign in "/÷":
            if value == 0:
                return None
            product /= value
        else:
            total, product = total + product, -value if sign == "-" else value
    return total + product


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
