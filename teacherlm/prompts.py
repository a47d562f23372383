"""What a student reads: templates (prompt, answer text, prefix of a letter) and the layouts made of them."""

import re
import string
from collections.abc import Mapping, Sequence, Sized
from dataclasses import dataclass

from teacherlm.errors import UserError, unknown

KINDS = ("cot", "error", "fundamental")
"""Kinds of rationale, in the order that decides whose `all` a row carries."""

SUFFIX: Mapping[str, str] = {
    "cot": " Let's think step by step.",
    "error": " The common mistakes are:",
    "fundamental": " The fundamental of this question is:",
}
"""What stands before a rationale of each kind."""

TEXT_COLUMN: Mapping[str, str] = {kind: f"{kind}_text" for kind in KINDS}
"""The column with the teacher's prompt for each kind."""

LETTERS = string.ascii_uppercase


def clean(text: str) -> str:
    """Runs of spaces become one, whitespace at both ends goes; line breaks inside stay. Cleaning twice changes nothing more."""
    return (re.sub(" {2,}", " ", text) if "  " in text else text).strip()


@dataclass(frozen=True)
class Template:
    """How a question is put and its answer stated; everything a student learns or is asked begins with the prompt."""

    name: str
    opening: str = "Q: "
    closing: str = " A:"
    statement: str = " The answer is "

    def prompt(self, question: str, choices: Sequence[str] = ()) -> str:
        """`Q: Is it so? (A) True (B) False A:`; a question that brings its own `Q: ` gets no second one."""
        own = re.escape(self.opening.strip())
        body = re.sub(rf"^(?:{own}\s*)+", "", question.strip()) if own else question
        options = "".join(f" ({letter}) {choice.strip()}" for letter, choice in zip(letters(choices), choices, strict=True))
        return clean(f"{self.opening}{body}{options}{self.closing}")

    def answer(self, gold: str, lettered: bool) -> str:
        """` The answer is (B).`, or ` The answer is 42.` for a free answer."""
        stated = f"({gold})" if lettered else clean(gold)
        return f"{self.statement}{stated}{'' if stated.endswith('.') else '.'}"

    @property
    def letter_prefix(self) -> str:
        """` The answer is (`: after it a student's next token is a letter."""
        return f"{self.statement}("


TEMPLATES: Mapping[str, Template] = {t.name: t for t in (Template("teacherlm"),)}


def template(name: str) -> Template:
    """Raises: UserError for an unknown name."""
    if name not in TEMPLATES:
        raise unknown("template", name, TEMPLATES)
    return TEMPLATES[name]


def letters(choices: Sized) -> str:
    """`ABC` for three choices.

    Raises: UserError for more than 26.
    """
    if len(choices) > len(LETTERS):
        raise UserError(f"a question may have at most {len(LETTERS)} choices, found {len(choices)}.")
    return LETTERS[: len(choices)]


def teacher_text(prompt: str, answer_text: str, kind: str) -> str:
    """What a teacher that explains a given answer reads: `Q: ... A: The answer is (B). Let's think step by step.`"""
    return clean(prompt + answer_text + SUFFIX[kind])


def tail(prompt: str, answer_text: str, kind: str, rationale: str) -> str:
    """Answer first: what the teacher read and went on to write, byte for byte but for the cleaning; the rationale brings its space."""
    return clean(prompt + answer_text + SUFFIX[kind] + rationale)


def head(prompt: str, answer_text: str, kind: str, rationale: str) -> str:
    """Rationale first: prompt + suffix + rationale + answer. A rationale that already ends in the answer states it once."""
    told = clean(rationale)
    statement = answer_text.strip()
    if told.rstrip(".").lower().endswith(statement.rstrip(".").lower()):
        ending = told if told.endswith(".") else f"{told}."
    else:
        ending = f"{told} {statement}"
    return clean(f"{prompt}{SUFFIX[kind]} {ending}")
