"""GSM8K: grade-school word problems with worked solutions. (MIT; Cobbe et al. 2021)

    {"question": "Natalia sold clips to 48 of her friends in April, and then she sold half as many clips in May. How many clips did
                  Natalia sell altogether in April and May?",
     "answer": "Natalia sold 48/2 = <<48/2=24>>24 clips in May.\\nNatalia sold 48+24 = <<48+24=72>>72 clips altogether in April and
                May.\\n#### 72"}

Published as train.jsonl and test.jsonl, and with a question before each step as train_socratic.jsonl and test_socratic.jsonl.
In blocks the response is the solution as published, calculator annotations and last line too.
gsm8k.json, the unified file of Fine-tune-CoT, is read too.
"""

import re
from pathlib import Path
from typing import Any, Literal

from teacherlm.catalog import ChosenSettings
from teacherlm.dataset import Dataset, Splits, read_questions
from teacherlm.datasets._choices import require_gold
from teacherlm.datasets._splits import with_config
from teacherlm.datasets._texts import as_text
from teacherlm.datasets._unified import find_unified, number
from teacherlm.errors import UserError
from teacherlm.records import Question
from teacherlm.store.sources import Origin, require

FILES = {"train.jsonl": "train", "test.jsonl": "test"}
SOCRATIC_FILES = {"train_socratic.jsonl": "train", "test_socratic.jsonl": "test"}
FINAL = "####"
NUMBER = r"[-−]?\$?[-−]?\d[\d,]*(?:\.\d+)?|[-−]?\$?\.\d+"
ANNOTATION = r"<<[^<>]*>>"


class Gsm8kSettings(ChosenSettings):
    name: Literal["gsm8k"] = "gsm8k"
    calculator: bool = False
    """Keep the calculator annotations, `<<48/2=24>>`, in the explanation."""
    socratic: bool = False
    """The solutions with a question before each step."""


def read(settings: Gsm8kSettings, origin: Origin | None, seed: int) -> Splits:
    assert origin is not None
    if (unified := find_unified(origin, "gsm8k", number)) is not None:
        return unified
    tables = with_config(origin, "socratic" if settings.socratic else "main").tables(_files(settings, origin))

    def question(row: dict[str, Any], where: str) -> Question:
        return _question(row, settings, where)

    return {split: read_questions(table, question) for split, table in tables.items()}


def _files(settings: Gsm8kSettings, origin: Origin) -> dict[str, str]:
    """A file that is named itself may be either form."""
    if Path(origin.place).is_file():
        return {**FILES, **SOCRATIC_FILES}
    return SOCRATIC_FILES if settings.socratic else FILES


def _question(row: dict[str, Any], settings: Gsm8kSettings, where: str) -> Question:
    text, solution = as_text(require(row, "question", where)), as_text(require_gold(row, "answer", where))
    rationale, _, number = solution.rpartition(FINAL)
    if not re.fullmatch(NUMBER, number.strip()):
        raise UserError(f"{where}: column 'answer' does not end in '{FINAL} <number>' (it ends in {solution[-40:]!r}).")
    return Question(
        question=text,
        answer=number.strip(),
        answer_rule="number",
        explanation=(rationale if settings.calculator else re.sub(ANNOTATION, "", rationale)).strip(),
        raw=row,
        where=where,
        blocks=(("QUESTION", text),),
        response=(("ANSWER", solution),),
    )


DATASET = Dataset(Gsm8kSettings, read, title="GSM8K", hub="openai/gsm8k", licence="mit")
