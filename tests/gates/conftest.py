"""What GPT-3 really wrote."""

import re
from collections.abc import Iterator
from pathlib import Path

import pytest

from teacherlm.exports.zero_shot_cot import read_log
from teacherlm.verify import Rationale

RULES = {"aqua": "letter", "coin_flip": "yes_no", "date_understanding": "letter", "multiarith": "number"}


def read_rationales(log: Path) -> Iterator[Rationale]:
    dataset = log.name.removesuffix("_zero_shot_cot.log")
    for _, one in read_log(log):
        _, _, listed = one.question.partition("Answer Choices:")
        choices = tuple(choice.strip() for choice in re.split(r"\([A-F]\)", listed)[1:])
        yield Rationale("cot", one.reasoning_completion, one.gold, RULES[dataset], choices, id=f"{dataset}-{one.number}")


@pytest.fixture(scope="session")
def gpt3(test_data: Path) -> list[Rationale]:
    """1723 rationales from the published logs of zero-shot-CoT."""
    found = [one for log in sorted((test_data / "data" / "zero_shot_cot" / "log").glob("*.log")) for one in read_rationales(log)]
    assert len(found) == 1723
    return found
