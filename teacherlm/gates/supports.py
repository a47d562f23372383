"""Does a rationale lead to the right answer? A model weighs the answers with it and without it, its stated answer hidden."""

import math
import re
from collections.abc import Generator
from typing import Annotated, Literal

from pydantic import Field

from teacherlm.answers import find_answer, normalise
from teacherlm.catalog import ChosenSettings, EngineChoice
from teacherlm.errors import UserError
from teacherlm.prompts import clean, letters, template
from teacherlm.records import Completion, Request
from teacherlm.stage import Plugin
from teacherlm.verify import REASONING_KINDS, AskingGate, Rationale

VERDICTS = ("against", "no better", "failed", "supports")
SENTENCE = re.compile(r"[^.!?\n]*(?:[.!?](?!\s|$)[^.!?\n]*)*[.!?\n]*\s*")
"""Up to a stop that ends a sentence: not that of 3.5."""
LEADING_WORD = re.compile(r"^\s*(?:yes|no)\b\s*[,;:]", re.IGNORECASE)
LETTER = re.compile(r"\s?\(\s?[A-Z]\s?\)")


class SupportsSettings(ChosenSettings):
    name: Literal["supports"] = "supports"
    engine: EngineChoice
    """The model that weighs, e.g. {name: transformers, model: ...}; a small one will do."""
    by: Literal["letters", "texts"] = "letters"
    """Which answers of a question with choices are weighed: (A), (B), ..., or their texts, for a model too small to know letters."""
    margin: Annotated[float, Field(ge=0)] = 0.0
    """How much the rationale must add to the logarithm of the right answer's probability."""
    drops: list[Literal["against", "no better", "failed", "supports"]] = ["against"]
    """Verdicts that drop a row; against: the right answer becomes less likely; no better: it does not gain enough, or another
    one stays ahead; failed: the model could not be asked."""


def hidden(rationale: Rationale) -> str:
    """The text without the sentences that state an answer, and without letters of choices."""
    rule, choices = rationale.answer_rule, rationale.choices
    text = rationale.own_text
    kept = "".join(one for one in SENTENCE.findall(text) if not _states(one, rule, choices))
    if rule == "yes_no":
        kept = LEADING_WORD.sub("", kept)
    return clean(LETTER.sub("", kept) if choices else kept)


def _states(sentence: str, rule: str, choices: tuple[str, ...]) -> bool:
    """An equation ends in a number as well: only a sentence that speaks of the answer states it."""
    if rule == "yes_no" and re.fullmatch(r"\W*(?:so |therefore,? |thus,? )?(?:yes|no)\W*", sentence, re.IGNORECASE):
        return True
    return re.search(r"\banswer\b", sentence, re.IGNORECASE) is not None and find_answer(sentence, rule, choices=choices) is not None


def options_of(rationale: Rationale, by: str = "letters") -> tuple[str, tuple[str, ...], int]:
    """(what stands before an answer, the answers, position of the right one); a free answer stands alone."""
    chosen = template(rationale.template)
    before = chosen.statement.rstrip()
    if rationale.choices:
        known = letters(rationale.choices)
        right = known.index(normalise(rationale.gold, "letter"))
        if by == "letters":
            return chosen.letter_prefix, tuple(known), right
        return before, tuple(f" {choice.strip()}" for choice in rationale.choices), right
    gold = normalise(rationale.gold, rationale.answer_rule)
    if gold in ("yes", "no"):
        return before, (" yes", " no"), ("yes", "no").index(gold)
    return before, (f" {rationale.gold.strip()}",), 0


def ask(rationale: Rationale, by: str, margin: float) -> Generator[list[Request], list[Completion], str]:
    """Both questions end alike, in the words before an answer; only the rationale is in one and not in the other."""
    before, options, right = options_of(rationale, by)
    told = f"{rationale.prompt}{template(rationale.template).lead(rationale.kind)} {hidden(rationale)}{before}"
    answers = yield [Request(prompt, 0, options=options) for prompt in (told, rationale.prompt + before)]
    if any(answer.finish == "error" for answer in answers):
        return "failed"
    if any(len(answer.logprobs) != len(options) for answer in answers):
        raise UserError("gate supports: its engine does not weigh options; the engines transformers and vllm do.")
    with_it, without = (shares(answer.logprobs) for answer in answers)
    gain = with_it[right] - without[right]
    if gain > margin and all(other < with_it[right] for place, other in enumerate(with_it) if place != right):
        return "supports"
    return "against" if gain < -margin else "no better"


def shares(logprobs: tuple[float, ...]) -> tuple[float, ...]:
    """Logarithms of each option's share of what all options have; that of a single option stays as it is."""
    if len(logprobs) == 1:
        return logprobs
    top = max(logprobs)
    whole = top + math.log(sum(math.exp(one - top) for one in logprobs))
    return tuple(one - whole for one in logprobs)


def build(settings: SupportsSettings) -> AskingGate:
    return AskingGate(
        name=settings.name,
        ask=lambda rationale: ask(rationale, settings.by, settings.margin),
        engine=settings.engine,
        verdicts=VERDICTS,
        drops=frozenset(settings.drops),
        column="supports",
        kinds=REASONING_KINDS,
    )


GATE = Plugin(SupportsSettings, build)
