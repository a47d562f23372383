"""A model is asked what it thinks of a rationale: yes or no, or a score from 1 to 5. The question is yours to edit."""

import re
from collections.abc import Callable, Generator
from typing import Annotated, Literal

from pydantic import Field, model_validator

from teacherlm.answers import find_answer
from teacherlm.catalog import ChosenSettings, EngineChoice
from teacherlm.errors import UserError
from teacherlm.records import Completion, Request
from teacherlm.stage import Input, Plugin
from teacherlm.verify import AskingGate, Rationale

VERDICTS = ("bad", "failed", "unparsed", "good")
INTRODUCTION = """\
Below are a question, its correct answer, and an explanation that somebody wrote.

Question: {{ prompt }}
Correct answer: {{ answer }}
Explanation: {{ rationale }}

"""
PROMPTS = {
    "yes_no": INTRODUCTION + "Is the explanation correct, and does it lead to the correct answer? Answer yes or no.\nAnswer:",
    "score": INTRODUCTION
    + "How good is the explanation, from 1 (wrong or empty) to 5 (correct and complete)? Answer with one number.\nScore:",
}
SCORE = r"(?<![\d.,/-])([1-5])(?!\d|[.,]\d|\s?/(?!\s?5\b)|\s*[-–]\s*\d)(?:\s*(?:/|out of)\s*5)?"


class JudgeSettings(ChosenSettings):
    name: Literal["judge"] = "judge"
    engine: EngineChoice
    """The model that is asked, e.g. {name: openai, model: ...}."""
    reply: Literal["yes_no", "score"] = "yes_no"
    """What it is asked for, and how its reply is read."""
    good_from: Annotated[int, Field(ge=1, le=5)] = 4
    """The lowest score that is good."""
    prompt: str = ""
    """The question as jinja2 text, with prompt, answer, choices, rationale, kind and the row's own columns; by default ours."""
    prompt_file: Input | None = None
    """A file with the question instead."""
    kinds: list[Literal["cot", "error", "fundamental"]] = ["cot", "fundamental"]
    """Kinds it is asked about; a text about common mistakes needs a question of its own."""
    max_new_tokens: Annotated[int, Field(ge=1)] = 16
    """Longest reply; more for a model that thinks first."""
    drops: list[Literal["bad", "failed", "unparsed", "good"]] = ["bad"]
    """Verdicts that drop a row; failed: the model could not be asked."""

    @model_validator(mode="after")
    def _has_one_prompt(self) -> "JudgeSettings":
        if self.prompt and self.prompt_file:
            raise UserError("give prompt or prompt_file, not both.")
        return self


def build_prompt(settings: JudgeSettings) -> Callable[[Rationale], str]:
    """Raises: UserError, there or when it is filled in, naming the file and what is wrong in it."""
    from jinja2 import StrictUndefined, TemplateError, TemplateSyntaxError
    from jinja2.sandbox import ImmutableSandboxedEnvironment

    place, text = "judge: prompt", settings.prompt or PROMPTS[settings.reply]
    if settings.prompt_file:
        place = str(settings.prompt_file)
        if not settings.prompt_file.is_file():
            raise UserError(f"{place}: no such file.")
        text = settings.prompt_file.read_text(encoding="utf-8")
    environment = ImmutableSandboxedEnvironment(undefined=StrictUndefined, autoescape=False, keep_trailing_newline=False)
    try:
        page = environment.from_string(text)
    except TemplateSyntaxError as error:
        raise UserError(f"{place}:{error.lineno}: not a jinja2 template ({error.message}).") from None

    def rendered(rationale: Rationale) -> str:
        ours = {
            "prompt": rationale.prompt,
            "answer": f"({rationale.gold})" if rationale.choices else rationale.gold,
            "choices": list(rationale.choices),
            "rationale": rationale.own_text.strip(),
            "kind": rationale.kind,
        }
        try:
            return page.render({**rationale.row, **ours})
        except TemplateError as error:
            raise UserError(f"{place}: {error}; there are {', '.join({**ours, **rationale.row})}.") from None

    return rendered


def parse_reply(text: str, reply: str, good_from: int) -> str:
    """What a model thought before it replied (`<think>...</think>`) is no reply."""
    said = text.rsplit("</think>", 1)[-1].strip()
    if reply == "yes_no":
        found = re.match(r"\W*(yes|no)\b", said, re.IGNORECASE)
        word = found[1].lower() if found else find_answer(said, "yes_no")
        return "unparsed" if word is None else "good" if word == "yes" else "bad"
    scores = re.match(rf"\W*{SCORE}", said) or re.search(rf"\b(?:score|rating)\W+(?:is\W+)?{SCORE}", said, re.IGNORECASE)
    numbers = [scores[1]] if scores else re.findall(SCORE, said)
    return "unparsed" if len(set(numbers)) != 1 else "good" if int(numbers[0]) >= good_from else "bad"


def build(settings: JudgeSettings) -> AskingGate:
    rendered = build_prompt(settings)

    def ask(rationale: Rationale) -> Generator[list[Request], list[Completion], str]:
        (told,) = yield [Request(rendered(rationale), settings.max_new_tokens)]
        return "failed" if told.finish == "error" else parse_reply(told.text, settings.reply, settings.good_from)

    return AskingGate(
        name=settings.name,
        ask=ask,
        engine=settings.engine,
        verdicts=VERDICTS,
        drops=frozenset(settings.drops),
        column="judge",
        kinds=frozenset(settings.kinds),
    )


GATE = Plugin(JudgeSettings, build)
