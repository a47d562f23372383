"""What a student reads: a template (prompt, answer text, prefix of a letter, prefix of an objective) and the layouts made of it.

The templates are in `templates/`. A row's column `template` holds the spec of its own: the name, and behind it the settings
that are not default (`ft_cot_token{"stop":"END"}`), so that nobody downstream needs anything but the row. The text of a file that
a template is made of stands in the spec too.
"""

import hashlib
import re
import string
from collections.abc import Iterable, Mapping, Sequence, Sized
from dataclasses import dataclass, field
from functools import lru_cache
from typing import Protocol

import orjson

from teacherlm.answers import find_answer
from teacherlm.catalog import ChosenSettings, files, find
from teacherlm.errors import UserError
from teacherlm.parsing import parse_config
from teacherlm.records import Question

KINDS = ("cot", "error", "fundamental")
"""Kinds of rationale, in the order that decides whose `all` a row carries."""

SUFFIX: Mapping[str, str] = {
    "cot": " Let's think step by step.",
    "error": " The common mistakes are:",
    "fundamental": " The fundamental of this question is:",
}
"""What stands before a rationale of each kind in what a teacher reads."""

TEXT_COLUMN: Mapping[str, str] = {kind: f"{kind}_text" for kind in KINDS}
"""The column with the teacher's prompt for each kind."""

TEXTS = ("text", *TEXT_COLUMN.values())
"""The columns of text that `prepare` writes, in their order."""

LETTERS = string.ascii_uppercase
SPACED = tuple(" ".join(f"({letter}) %s" for letter in LETTERS[:count]) for count in range(len(LETTERS) + 1))
"""How so many choices stand in a prompt: `(A) %s (B) %s`."""
LISTED = tuple(form.replace(" (", ", (") for form in SPACED)


def clean(text: str) -> str:
    """Runs of spaces become one, whitespace at both ends goes; line breaks inside stay. Cleaning twice changes nothing more."""
    return (re.sub(" {2,}", " ", text) if "  " in text else text).strip()


@dataclass(frozen=True)
class Chat:
    """How prompt and completion become turns of the student's own chat template."""

    system: str = ""
    """What the system says first; "" for nothing."""
    text: str = ""
    """A chat template (Jinja) in the place of the one that the student's tokenizer brings; "" keeps that."""


class Template(Protocol):
    """How a question is put and its answer stated; everything a student learns or is asked begins with the prompt."""

    @property
    def spec(self) -> str:
        """Name and settings, as a row's column `template` holds them."""
        ...

    @property
    def statement(self) -> str:
        """What stands before a stated answer: ` The answer is `."""
        ...

    @property
    def letter_prefix(self) -> str:
        """` The answer is (`: after it a student's next token is a letter."""
        ...

    @property
    def stops(self) -> tuple[str, ...]:
        """Where a student's text ends, if it goes on behind its answer: ` END`, or the next question."""
        ...

    @property
    def answer_prefixes(self) -> tuple[str, ...]:
        """What stands before an answer in a student's text where "The answer is" does not: `-->`; "" where the text begins with it."""
        ...

    @property
    def taught(self) -> bool:
        """False for a template that only asks; no student is trained on its rows."""
        ...

    @property
    def chat(self) -> Chat | None:
        """How the student's own chat template puts prompt and completion; None where a completion goes on from its prompt."""
        ...

    def prompt(self, question: Question) -> str:
        """What a student reads, up to where it begins to write."""
        ...

    def label(self, question: Question) -> str:
        """What a student writes that gives no rationale; mostly `answer`, but an instruction may have a longer response."""
        ...

    def answer(self, gold: str, choices: Sequence[str]) -> str:
        """` The answer is (B).`, or ` The answer is 42.` for a free answer."""
        ...

    def lead(self, kind: str) -> str:
        """What stands between a prompt and a rationale of this kind."""
        ...

    def tail(self, prompt: str, answer_text: str, kind: str, rationale: str) -> str:
        """Answer first; the rationale brings its leading space."""
        ...

    def head(self, prompt: str, answer_text: str, kind: str, rationale: str) -> str:
        """Rationale first."""
        ...

    def question_of(self, prompt: str) -> str:
        """The question with its choices, out of one of its prompts: without what asks for the answer."""
        ...

    def objective_prefix(self, part: str) -> str:
        """What stands before the prompt where an objective gives a row several tasks; `part` is "label" or "rationale"."""
        ...


@dataclass(frozen=True)
class PlainTemplate:
    """A template that puts fixed words around the question; these are TeacherLM's."""

    spec: str = "teacherlm"
    opening: str = "Q: "
    closing: str = " A:"
    statement: str = " The answer is "
    letter: tuple[str, str] = ("(", ")")
    """Around the letter of the right choice."""
    stop: str = "."
    """Behind a stated answer; one that ends in it already gets no second."""
    leads: Mapping[str, str] = field(default_factory=lambda: SUFFIX)
    gap: str = " "
    """Between what leads to a rationale and the rationale."""
    listed: bool = False
    """Choices stand behind `Answer choices:`, with commas, as in the datasets of Fine-tune-CoT."""
    squeezed: bool = True
    """Runs of spaces become one."""
    answer_prefixes: tuple[str, ...] = ()
    taught: bool = True
    chat: Chat | None = None

    def prompt(self, question: Question) -> str:
        """`Q: Is it so? (A) True (B) False A:`; a question that brings its own `Q: ` gets no second one.

        What is said to all questions of a task, and stands before this one on its line, stands before the `Q: `.
        """
        body = question.question.strip()
        said = f"{question.definition} " if question.definition and body.startswith(f"{question.definition} ") else ""
        body = body.removeprefix(said)
        if body.startswith(own := self.opening.strip()) and own:
            body = re.sub(rf"^(?:{re.escape(own)}\s*)+", "", body)
        return self._tidy(f"{said}{self.opening}{body}{self._options(question.choices)}{self.closing}")

    def _options(self, choices: Sequence[str]) -> str:
        if not choices:
            return ""
        if len(choices) > len(LETTERS):
            raise too_many(choices)
        stripped = tuple(map(str.strip, choices))
        return f" Answer choices: {LISTED[len(choices)] % stripped}." if self.listed else f" {SPACED[len(choices)] % stripped}"

    def label(self, question: Question) -> str:
        return self.answer(question.answer, question.choices)

    def answer(self, gold: str, choices: Sequence[str]) -> str:
        stated = gold.join(self.letter) if choices else self._tidy(gold)
        return f"{self.statement}{stated}{'' if self.stop and stated.endswith(self.stop) else self.stop}"

    @property
    def letter_prefix(self) -> str:
        return f"{self.statement}{self.letter[0]}"

    @property
    def stops(self) -> tuple[str, ...]:
        """Where the next question begins."""
        opening = self.opening.strip()
        return (f"\n{opening}", f" {opening}") if opening else ()

    def lead(self, kind: str) -> str:
        return self.leads.get(kind, "")

    def tail(self, prompt: str, answer_text: str, kind: str, rationale: str) -> str:
        """What the teacher read and went on to write, byte for byte but for the cleaning."""
        return self._tidy(prompt + answer_text + self.lead(kind) + rationale)

    def head(self, prompt: str, answer_text: str, kind: str, rationale: str) -> str:
        """A rationale that already ends in the answer states it once."""
        told = self._tidy(rationale)
        statement = answer_text.strip()
        if told.rstrip(".").lower().endswith(statement.rstrip(".").lower()):
            ending = told if told.endswith(self.stop) else f"{told}{self.stop}"
        else:
            ending = f"{told}{answer_text}"
        return self._tidy(f"{prompt}{self.lead(kind)}{self.gap}{ending}")

    def question_of(self, prompt: str) -> str:
        return prompt.removeprefix(self.opening).removesuffix(self.closing)

    def objective_prefix(self, part: str) -> str:
        """As in Distilling step-by-step (Hsieh et al. 2023)."""
        return {"label": "predict: ", "rationale": "explain: "}[part]

    def _tidy(self, text: str) -> str:
        return clean(text) if self.squeezed else text.strip()


def spec_of(settings: ChosenSettings) -> str:
    """The settings of a template as one word, which `template` understands; equal settings give equal words."""
    own = settings.model_dump(mode="json", exclude={"name"}, exclude_defaults=True)
    return settings.name + (orjson.dumps(own, option=orjson.OPT_SORT_KEYS).decode() if own else "")


@lru_cache(maxsize=4096)
def template(spec: str) -> Template:
    """Raises: UserError for an unknown name, or settings that the template does not have."""
    name, brace, rest = spec.partition("{")
    try:
        own = orjson.loads(brace + rest) if brace else {}
    except orjson.JSONDecodeError:
        raise UserError(f"template {spec!r}: expected a name, or a name and its settings as JSON.") from None
    plugin = find("templates", name)
    built: Template = plugin.build(parse_config(plugin.settings, {**own, "name": name}))
    return built


@lru_cache(maxsize=4096)
def find_template(spec: str) -> Template | None:
    """None for words of others: a task or a file may declare a template that is none of ours."""
    return template(spec) if spec.partition("{")[0] in files("templates") else None


SHORT = 60
"""Longest spec that is shown as it is."""
ANY = "{*}"
"""Behind a template's name: rows with different settings of it."""


def short_name(spec: str) -> str:
    """The spec for people: one that holds a whole file is named by its content, `jinja 1a2b3c4d`."""
    if len(spec) <= SHORT:
        return spec
    return f"{spec.partition('{')[0]} {hashlib.blake2b(spec.encode(), digest_size=4).hexdigest()}"


def gathered(specs: Iterable[str]) -> tuple[str, ...]:
    """The templates of many rows: those of one name that differ in their settings alone (each row draws its own) become `name{*}`."""
    by_name: dict[str, set[str]] = {}
    for spec in specs:
        by_name.setdefault(spec.partition("{")[0], set()).add(spec)
    return tuple(sorted(found.pop() if len(found) == 1 else f"{name}{ANY}" for name, found in by_name.items()))


def covers(taught: Iterable[str], asked: Iterable[str]) -> bool:
    """Whether a student that was taught by these templates knows all that it is asked by."""
    known = set(taught)
    return all(spec in known or spec.partition("{")[0] + ANY in known for spec in asked)


def said_answer(text: str, spec: str, rule: str, choices: Sequence[str] = ()) -> str | None:
    """The normalised answer in what a student wrote behind a prompt of this template; None where it states none."""
    chosen = find_template(spec)
    if chosen is None:
        return find_answer(text, rule, choices=choices)
    return find_answer(text, rule, prefix=chosen.answer_prefixes, choices=choices, stops=chosen.stops)


def letters(choices: Sized) -> str:
    """`ABC` for three choices.

    Raises: UserError for more than 26.
    """
    if len(choices) > len(LETTERS):
        raise too_many(choices)
    return LETTERS[: len(choices)]


def too_many(choices: Sized) -> UserError:
    return UserError(f"a question may have at most {len(LETTERS)} choices, found {len(choices)}.")


def teacher_text(question: str, answer_text: str, kind: str) -> str:
    """What a teacher that explains a given answer reads: `Q: ... A: The answer is (B). Let's think step by step.`

    `question` and `answer_text` in TeacherLM's words, whatever the student reads.
    """
    return clean(question + answer_text) + SUFFIX[kind]
