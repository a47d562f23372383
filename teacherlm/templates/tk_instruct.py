"""Tk-Instruct: `Definition: ...`, worked examples, `Now complete the following example -`; for tasks of Super-NaturalInstructions.

    Definition: Given a prompt and four completions, select the one that is most plausible.

     Positive Example 1 -
    Input: Prompt: I am feeling hungry. I think I will
    Completion A: call my mother.
    ...
     Output: Completion B.

    Now complete the following example -
    Input: Prompt: Someone is on the ice. They
    ...
    Output:

The prompt ends in `Output: ` with its space, the completion is the target as it is. What a prompt states (the task's name, its
definition, which examples, with explanations or not) is what the question brings: datasets such as natural_instructions have the
switches. A dataset without definitions gets the one of the settings; its choices stand behind the input, and the target is the text
of the right one.

With rationales of a teacher the prompt stays the same:
- answer first, as in the worked examples: the answer, then ` Explanation: ` and the rationale on the next line;
- rationale first: the rationale, then ` The answer is `, the answer and a full stop.
"""

import re
import string
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Literal

from teacherlm.catalog import ChosenSettings
from teacherlm.prompts import LETTERS, PlainTemplate, Template, letters, spec_of
from teacherlm.records import Demonstration, Question
from teacherlm.stage import Plugin

TASK, DEFINITION, INPUT = "TASK", "DEFINITION", "INPUT"
"""Blocks of a question that is nothing but an input, where another template would have the definition in the question."""
DEFINED = "Definition: "
ASKED = "Now complete the following example -\nInput: "
ANSWERED = "\nOutput: "
PARTS: Mapping[str, str] = {"cot": "\n Explanation: ", "error": "\n Common mistakes: ", "fundamental": "\n Fundamental: "}
"""What stands before a rationale of each kind behind an answer."""


class TkInstructSettings(ChosenSettings):
    name: Literal["tk_instruct"] = "tk_instruct"
    definition: str = ""
    """What is asked for, where the dataset does not say so itself: "Is the claim true or false?"."""


@dataclass(frozen=True)
class TkInstruct(PlainTemplate):
    spec: str = "tk_instruct"
    definition: str = ""
    statement: str = " The answer is "
    answer_prefixes: tuple[str, ...] = ("The answer is ", "")

    def prompt(self, question: Question) -> str:
        parts = dict(question.blocks) if {name for name, _ in question.blocks} <= {TASK, DEFINITION, INPUT} else {}
        definition = question.definition.strip() or self.definition.strip()
        asked = question.question.removeprefix(question.definition)
        return "".join(
            (
                f"{parts[TASK]}. " if TASK in parts else "",
                ended(f"{DEFINED}{definition}") + "\n\n" if definition else "",
                *demonstrated(question.demonstrations),
                ended(f"{ASKED}{parts.get(INPUT, asked).strip()}{_listed(question.choices)}"),
                ANSWERED,
            )
        )

    def label(self, question: Question) -> str:
        """A target that was cut to a length stands in the response."""
        if len(question.response) == 1 and not question.choices:
            return question.response[0][1]
        return self.answer(question.answer, question.choices)

    def answer(self, gold: str, choices: Sequence[str]) -> str:
        return choices[LETTERS.index(gold)] if choices else gold

    @property
    def letter_prefix(self) -> str:
        """Nothing: what is written is the text of a choice, never its letter."""
        return ""

    @property
    def stops(self) -> tuple[str, ...]:
        """An explanation of an answer that is stated, or the next example."""
        return (*(part.rstrip() for part in PARTS.values()), "\n Positive Example", "\n Negative Example", "\nNow complete")

    def lead(self, kind: str) -> str:
        return ""

    def tail(self, prompt: str, answer_text: str, kind: str, rationale: str) -> str:
        return f"{prompt}{answer_text}{PARTS[kind]}{rationale.strip()}"

    def head(self, prompt: str, answer_text: str, kind: str, rationale: str) -> str:
        """A rationale that already ends in the answer states it once."""
        told, stated = rationale.strip(), ended(f"{self.statement}{answer_text.strip()}")
        if told.rstrip(".").lower().endswith(stated.strip().rstrip(".").lower()):
            return f"{prompt}{ended(told)}"
        return f"{prompt}{told}{stated}"

    def question_of(self, prompt: str) -> str:
        """Definition and input, without the worked examples."""
        before, _, asked = prompt.removesuffix(ANSWERED).rpartition(ASKED)
        definition = re.split(r"^ (?:Positive|Negative) Example 1 -$", before, maxsplit=1, flags=re.MULTILINE)[0]
        return f"{definition.partition(DEFINED)[2].strip()}\n\n{asked}".strip()


def ended(text: str) -> str:
    """With a full stop where no punctuation ends it."""
    return text if text[-1] in string.punctuation else f"{text}."


def demonstrated(demonstrations: Sequence[Demonstration]) -> list[str]:
    """The worked examples as they stand in a prompt: first the right ones, then those of how not to answer."""
    blocks = []
    for kind, positive in (("Positive", True), ("Negative", False)):
        of_this_kind = [one for one in demonstrations if one.positive == positive]
        blocks += [_example(f" {kind} Example {number} -\n", one) for number, one in enumerate(of_this_kind, start=1)]
    return blocks


def _example(header: str, shown: Demonstration) -> str:
    lines = [ended(f"Input: {shown.input.strip()}"), ended(f" Output: {shown.output.strip()}")]
    if shown.explanation.strip():
        lines.append(ended(f" Explanation: {shown.explanation.strip()}"))
    return header + "\n".join(lines) + "\n\n"


def _listed(choices: Sequence[str]) -> str:
    return "".join(f"\n({letter}) {choice.strip()}" for letter, choice in zip(letters(choices), choices, strict=True))


def build(settings: TkInstructSettings) -> Template:
    return TkInstruct(spec_of(settings), definition=settings.definition, squeezed=False, opening="", stop="", leads={})


TEMPLATE = Plugin(TkInstructSettings, build)
