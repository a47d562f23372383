"""AQuA-RAT: algebra in five choices with a rationale. (Apache-2.0; Ling et al. 2017)

    {"question": "The original price of an item is discounted 22%. A customer buys the item at this discounted price using a $20-off ...",
     "options": ["A)$61", "B)$65", "C)$67.40", "D)$70", "E)$78.20"],
     "rationale": "Let x be the original price of the item\\nDiscounted price = 0.78x\\n...\\nx = 78.20\\nAnswer: E", "correct": "E"}

Published as train.json, dev.json and test.json (JSON lines). The letter stands before an option's text, mostly without a blank.
aqua.json, the unified file of Fine-tune-CoT, is read too.
"""

import re
from typing import Any, Literal

from teacherlm.catalog import ChosenSettings
from teacherlm.dataset import Dataset, Splits, read_questions
from teacherlm.datasets._choices import by_position, require_gold, texts_of
from teacherlm.datasets._options import as_letter
from teacherlm.datasets._splits import with_config
from teacherlm.datasets._texts import as_rationale, as_text
from teacherlm.datasets._unified import find_unified, letter
from teacherlm.errors import UserError
from teacherlm.prompts import letters
from teacherlm.records import Question
from teacherlm.store.sources import Origin, require

FILES = {"train.json": "train", "dev.json": "validation", "test.json": "test"}


class AquaSettings(ChosenSettings):
    name: Literal["aqua"] = "aqua"


def read(settings: AquaSettings, origin: Origin | None, seed: int) -> Splits:
    assert origin is not None
    if (unified := find_unified(origin, "aqua", letter)) is not None:
        return unified
    return {split: read_questions(table, _question) for split, table in with_config(origin, "raw").tables(FILES).items()}


def _question(row: dict[str, Any], where: str) -> Question:
    published = texts_of(row, "options", where)
    options = by_position(_option(text, letter, where) for text, letter in zip(published, letters(published), strict=True))
    return Question(
        question=as_text(require(row, "question", where)),
        answer=as_letter(require_gold(row, "correct", where), options, "letter", True, where),
        choices=options.texts,
        answer_rule="letter",
        explanation=as_rationale(row.get("rationale")).strip(),
        raw=row,
        where=where,
    )


def _option(text: str, letter: str, where: str) -> str:
    """Without its letter. Raises: UserError where it has another's: then the right letter is in doubt."""
    found = re.match(r"\s*\(?([A-Z])\s*\)\s*", text)
    if found and found[1] != letter:
        raise UserError(f"{where}: option {text!r} stands where option {letter} belongs.")
    return text[found.end() :].strip() if found else text.strip()


DATASET = Dataset(AquaSettings, read, title="AQuA", hub="deepmind/aqua_rat", licence="apache-2.0")
