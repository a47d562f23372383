r"""Words of your own, from a Jinja file that defines macros: `{name: jinja, file: my.jinja}`, or `--template my.jinja`.

    {% macro prompt(question, choices, letters) -%}
    Question: {{ question }}
    {%- for choice in choices %}
    ({{ letters[loop.index0] }}) {{ choice }}
    {%- endfor %}
    Answer:
    {%- endmacro %}
    {% macro answer(gold, choices) %} {{ "(" ~ gold ~ ")" if choices else gold }}.{% endmacro %}

`prompt` is required; it may also ask for `raw` (the row's own columns), `definition`, `blocks`, `messages` and `dataset`. The rest is
TeacherLM's way unless the file has it:
- `answer(gold, choices)`: what stands behind the prompt; `gold` is a letter where there are choices. What it writes before `gold` is
  the prefix before a letter.
- `lead(kind)`: between a prompt and a rationale of kind cot, error or fundamental.
- `head(prompt, answer, lead, rationale)` and `tail(...)`: the whole text, rationale first and answer first.
- `objective_prefix(part)`: before the prompt where an objective gives a row two tasks; `part` is label or rationale.
- `{% set letter_prefix = " (" %}`; `{% set stops = ["\nQuestion:"] %}`: where a student's text ends, if it goes on behind its answer;
  `{% set answer_prefixes = ["=>"] %}`: what stands before an answer, if it is not what `answer` writes; "" for a text that begins with it.

What a macro writes is used as it is: a line break before `{% endmacro %}` is part of it, one before `{%- endmacro %}` is not.
The file runs in a sandbox; its text is kept in the rows, so that nothing downstream needs the file.
"""

from collections.abc import Sequence
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import Annotated, Any, Literal

from pydantic import model_validator

from teacherlm.catalog import ChosenSettings
from teacherlm.errors import UserError
from teacherlm.prompts import PlainTemplate, Template, letters, spec_of
from teacherlm.records import Question
from teacherlm.stage import Plugin, RuntimeMark
from teacherlm.templates._jinja_file import Page, compiled, read_file

GOLD = "\x00"
"""Stands for an answer, or a question, where only what is around it is wanted."""


class JinjaSettings(ChosenSettings):
    name: Literal["jinja"] = "jinja"
    file: Annotated[Path | None, RuntimeMark()] = None
    """The Jinja file; it is read when the settings are, and its text takes its place."""
    text: str = ""
    """The file's text."""

    @model_validator(mode="before")
    @classmethod
    def _read(cls, values: Any) -> Any:
        return read_file(values)

    @model_validator(mode="after")
    def _has_a_prompt(self) -> "JinjaSettings":
        if not self.text.strip():
            raise UserError("file: is required, a Jinja file that defines `prompt(question, choices)`.")
        try:
            page = compiled(self.text)
        except UserError as error:
            raise UserError(f"file: {error}") from None
        if "prompt" not in page.macros:
            found = f"found {', '.join(page.macros)}" if page.macros else "found no macro"
            raise UserError(f"file: {page.place}: defines no macro `prompt(question, choices)` ({found}).")
        return self


@dataclass(frozen=True)
class Jinja:
    """Every word is the file's, where it has one, else as TeacherLM composes it."""

    spec: str
    page: Page
    plain: PlainTemplate = field(default_factory=lambda: PlainTemplate())
    taught = True
    chat = None

    def prompt(self, question: Question) -> str:
        return self.page.call("prompt", _words(question))

    def label(self, question: Question) -> str:
        return self.answer(question.answer, question.choices)

    def answer(self, gold: str, choices: Sequence[str]) -> str:
        if "answer" not in self.page.macros:
            return self.plain.answer(gold, choices)
        return self.page.call("answer", {"gold": gold, "choices": tuple(choices)})

    @cached_property
    def statement(self) -> str:
        """What `answer` writes before a free answer."""
        return self.answer(GOLD, ()).partition(GOLD)[0]

    @cached_property
    def letter_prefix(self) -> str:
        given = self.page.settings.get("letter_prefix")
        return str(given) if given is not None else self.answer(GOLD, ("", "")).partition(GOLD)[0]

    @property
    def stops(self) -> tuple[str, ...]:
        return tuple(self.page.settings.get("stops", ()))

    @cached_property
    def answer_prefixes(self) -> tuple[str, ...]:
        """Unless the file says them: its own statement, where it is not found by itself."""
        if "answer_prefixes" in self.page.settings:
            return tuple(self.page.settings["answer_prefixes"])
        return () if "answer is" in self.statement.lower() else (self.statement.strip(),)

    def lead(self, kind: str) -> str:
        return self.page.call("lead", {"kind": kind}) if "lead" in self.page.macros else self.plain.lead(kind)

    def tail(self, prompt: str, answer_text: str, kind: str, rationale: str) -> str:
        if "tail" not in self.page.macros:
            return f"{prompt}{answer_text}{self.lead(kind)} {rationale.strip()}"
        return self._layout("tail", prompt, answer_text, kind, rationale)

    def head(self, prompt: str, answer_text: str, kind: str, rationale: str) -> str:
        if "head" not in self.page.macros:
            return f"{prompt}{self.lead(kind)} {rationale.strip()}{answer_text}"
        return self._layout("head", prompt, answer_text, kind, rationale)

    def _layout(self, name: str, prompt: str, answer_text: str, kind: str, rationale: str) -> str:
        given = {"prompt": prompt, "answer": answer_text, "lead": self.lead(kind), "rationale": rationale.strip(), "kind": kind}
        return self.page.call(name, given)

    def question_of(self, prompt: str) -> str:
        """Without what the file writes before a question and behind a bare one."""
        try:
            before, _, behind = self.prompt(Question(GOLD, GOLD)).partition(GOLD)
        except UserError:  # a file that needs more than a question
            return prompt
        return prompt.removeprefix(before).removesuffix(behind)

    def objective_prefix(self, part: str) -> str:
        return (
            self.page.call("objective_prefix", {"part": part})
            if "objective_prefix" in self.page.macros
            else self.plain.objective_prefix(part)
        )


def _words(question: Question) -> dict[str, Any]:
    """What the macro `prompt` may ask for."""
    return {
        "question": question.question.strip(),
        "choices": [choice.strip() for choice in question.choices],
        "letters": letters(question.choices),
        **{name: getattr(question, name) for name in ("raw", "definition", "blocks", "messages", "dataset")},
    }


def build(settings: JinjaSettings) -> Template:
    return Jinja(spec_of(settings), compiled(settings.text))


TEMPLATE = Plugin(JinjaSettings, build)
