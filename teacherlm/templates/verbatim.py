"""Nothing is added: the prompt is the question as its dataset gives it, the completion its answer, byte for byte.

For data that brings its own words: prompt and completion files, and lm-eval tasks, which ask as they measure.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

from teacherlm.catalog import ChosenSettings
from teacherlm.prompts import LETTERS, PlainTemplate, Template, spec_of
from teacherlm.records import Question
from teacherlm.stage import Plugin


class VerbatimSettings(ChosenSettings):
    name: Literal["verbatim"] = "verbatim"
    delimiter: str = ""
    """Stands between the question and its answer."""


@dataclass(frozen=True)
class Verbatim(PlainTemplate):
    def prompt(self, question: Question) -> str:
        return question.question

    def answer(self, gold: str, choices: Sequence[str]) -> str:
        """Of a question with choices the text of the right one."""
        return self.statement + (choices[LETTERS.index(gold)] if choices else gold)

    def _tidy(self, text: str) -> str:
        return text


def build(settings: VerbatimSettings) -> Template:
    return Verbatim(
        spec_of(settings), opening="", closing="", statement=settings.delimiter, letter=("", ""), stop="", leads={}, gap="", squeezed=False
    )


TEMPLATE = Plugin(VerbatimSettings, build)
