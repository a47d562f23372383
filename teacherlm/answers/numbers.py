"""Numbers as people and models write them: signs of money, thousands separators, fractions."""

import re
from decimal import Decimal

NUMBER = r"(?<![A-Za-z\d.])[-−]?[$€£]?[-−]?(?:\d{1,3}(?:,\d{3})+(?!\d)|\d+)(?:\.\d+)?|(?<![\w.])[-−]?\.\d+"
TOLERANCE = Decimal("1e-6")
HASHES = "####"
"""Stands before the final number of a GSM8K solution."""


def plain_number(answer: str) -> str:
    """`$1,234.` -> `1234`; of a whole GSM8K solution the number after `####`."""
    return re.sub(r"[,$€£\s]", "", answer.rpartition(HASHES)[2]).replace("−", "-").removesuffix(".")


def equal_numbers(one: str, other: str) -> bool:
    """Whether two plain numbers differ by no more than TOLERANCE; what is no number equals only itself."""
    try:
        return one == other or abs(_value(one) - _value(other)) <= TOLERANCE
    except ArithmeticError:
        return False


def is_number(number: str) -> bool:
    """Whether a plain number is one."""
    try:
        return _value(number).is_finite()
    except ArithmeticError:
        return False


def _value(number: str) -> Decimal:
    """Raises: ArithmeticError for what is no number."""
    above, _, below = number.partition("/")
    return Decimal(above) / Decimal(below or 1)
