"""Blocks: `### QUESTION:` over the question, `### ANSWER:` over the answer, a blank line between; for instruction data.

    ### INSTRUCTION:
    Categorize the following fruit as either a citrus or a non-citrus fruit.

    ### INPUT:
    Banana

    ### RESPONSE:
    Non-citrus fruit.

The prompt ends with the header of the first part of the response; what is written under it is the completion, further parts of it
as blocks of their own. A dataset without blocks is put as QUESTION, CHOICES and ANSWER.

With rationales of a teacher the prompt stays the same, so that all students are asked alike:
- answer first: `### ANSWER:`, the answer, `### RATIONALE:`, the rationale;
- rationale first: `### ANSWER:`, the rationale, `### TARGET:`, the answer. So do the rows of CoT-Collection, whose prompt asks for a
  RATIONALE and whose last block is the TARGET.
"""

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Literal

from teacherlm.catalog import ChosenSettings
from teacherlm.prompts import LETTERS, PlainTemplate, Template, letters, spec_of
from teacherlm.records import Question
from teacherlm.stage import Plugin

GAP = "\n\n"
SHOT_GAP = "\n\n\n\n"
"""Between worked examples, and between the last of them and the prompt; what a model writes ends before it."""
ANSWER, TARGET, RATIONALE = "ANSWER", "TARGET", "RATIONALE"
PARTS: Mapping[str, str] = {"cot": RATIONALE, "error": "COMMON MISTAKES", "fundamental": "FUNDAMENTAL"}
"""The block in which a rationale of each kind stands behind an answer."""
PARTS_ASKED: Mapping[str, str] = {"label": "Predict.", "rationale": "Explain."}

Part = tuple[str, str]


class BlocksSettings(ChosenSettings):
    name: Literal["blocks"] = "blocks"
    answer: Literal["text", "letter"] = "text"
    """How the right one of several choices is stated: by its text, or as `(B)`. Students that are to be measured by their letters
    need letter: one that has only ever written texts knows none."""


@dataclass(frozen=True)
class Blocks(PlainTemplate):
    spec: str = "blocks"
    statement: str = f"{GAP}### {TARGET}:\n"
    """Before an answer that follows a rationale; one that is written at once stands under the prompt's own last header."""
    answer_prefixes: tuple[str, ...] = (f"### {TARGET}:\n", "#### ", "")
    """The second one is GSM8K's, whose ANSWER is the solution and ends in `#### 42`."""
    by_letter: bool = False

    @property
    def stops(self) -> tuple[str, ...]:
        return (SHOT_GAP,)

    @property
    def letter_prefix(self) -> str:
        """`(`, for the prompt already ends in the header. Nothing stands before a text, whose choices are then weighed themselves."""
        return "(" if self.by_letter else ""

    def prompt(self, question: Question) -> str:
        return GAP.join([*(block(part) for part in self._asked(question)), header(self._response(question)[0][0])])

    def label(self, question: Question) -> str:
        (_, first), *others = self._response(question)
        return GAP.join([first, *(block(part) for part in others)])

    def answer(self, gold: str, choices: Sequence[str]) -> str:
        if not choices:
            return gold
        return f"({gold})" if self.by_letter else choices[LETTERS.index(gold)]

    def lead(self, kind: str) -> str:
        return ""

    def tail(self, prompt: str, answer_text: str, kind: str, rationale: str) -> str:
        """A prompt that asks for a rationale gets its answer under a header of its own."""
        stated = f"{header(TARGET)}{answer_text}" if prompt.endswith(header(RATIONALE)) else answer_text
        return f"{prompt}{stated}{GAP}{block((PARTS[kind], rationale.strip()))}"

    def head(self, prompt: str, answer_text: str, kind: str, rationale: str) -> str:
        """A rationale that already ends in the answer's block gets no second one."""
        told, ending = rationale.strip(), f"{self.statement}{answer_text}"
        return f"{prompt}{told}" if told.endswith(ending) else f"{prompt}{told}{ending}"

    def question_of(self, prompt: str) -> str:
        """A question and its choices lose their headers too; other blocks mean nothing without theirs."""
        asked = re.sub(r"(?:\n\n)?### [^\n]+:\n\Z", "", prompt)
        names = re.findall(r"^### ([^\n]+):$", asked, re.MULTILINE)
        if names not in (["QUESTION"], ["QUESTION", "CHOICES"]):
            return asked
        return asked.removeprefix(header("QUESTION")).replace(GAP + header("CHOICES"), " ")

    def objective_prefix(self, part: str) -> str:
        return block(("TASK", PARTS_ASKED[part])) + GAP

    def few_shot(self, shots: Sequence[str], prompt: str) -> str:
        """`shots`: whole texts, prompt and answer, of other questions."""
        return SHOT_GAP.join([*shots, prompt])

    def _asked(self, question: Question) -> Sequence[Part]:
        """Who is to answer with a letter has to see the letters: blocks that do not show them are not used."""
        lettered = listed(question.choices)
        shown = not (self.by_letter and lettered) or any(value == lettered for _, value in question.blocks)
        if question.blocks and shown:
            return question.blocks
        return (("QUESTION", question.question.strip()), *((("CHOICES", lettered),) if lettered else ()))

    def _response(self, question: Question) -> Sequence[Part]:
        """The dataset's own, in which a letter takes the place of the last part."""
        stated = self.answer(question.answer, question.choices)
        if not question.response:
            return ((ANSWER, stated),)
        if self.by_letter and question.choices:
            return (*question.response[:-1], (question.response[-1][0], stated))
        return question.response


def header(name: str) -> str:
    return f"### {name}:\n"


def block(part: Part) -> str:
    """`### NAME:` and the value on the lines below, as it is."""
    name, value = part
    return f"{header(name)}{value}"


def listed(choices: Sequence[str]) -> str:
    """`(A): one (B): another`."""
    return " ".join(f"({letter}): {choice}" for letter, choice in zip(letters(choices), choices, strict=True))


def build(settings: BlocksSettings) -> Template:
    return Blocks(spec_of(settings), by_letter=settings.answer == "letter")


TEMPLATE = Plugin(BlocksSettings, build)
