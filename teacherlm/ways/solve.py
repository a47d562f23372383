"""The teacher does not see the answer: it reasons step by step, then states what follows (zero-shot chain of thought, in two steps)."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Annotated, Any, ClassVar, Literal

from pydantic import Field

from teacherlm.answers import find_answer
from teacherlm.asking import Conversation, Drop, Row, Terms, Way, told_beside
from teacherlm.catalog import ChosenSettings
from teacherlm.errors import UserError
from teacherlm.prompts import SUFFIX, template
from teacherlm.records import Completion, Request, Sampling
from teacherlm.stage import Plugin
from teacherlm.store.sources import require
from teacherlm.ways.rationalise import refuse_kinds_there

FIRST_STEP = "\nA:" + SUFFIX["cot"]
SECOND_STEP = "\nTherefore, the answer is"


class SolveSettings(ChosenSettings):
    name: Literal["solve"] = "solve"
    kinds: ClassVar[tuple[str, ...]] = ("cot",)
    wording: Literal["zero_shot_cot", "taught"] = "zero_shot_cot"
    """zero_shot_cot: the prompts of that paper; taught: what a student of this project learned to continue (rationale first)."""
    answer_tokens: Annotated[int, Field(ge=1)] = 64
    """Longest second step, in which the answer is stated."""


@dataclass(frozen=True)
class Wording:
    """What is read in the two steps about one question."""

    first: str
    second: str
    """What stands behind the reasoning in the second step."""
    statement: str = ""
    """Reasoning that holds this has stated its answer, and is not asked for it again."""
    prefixes: tuple[str, ...] = ()
    """What stands before an answer, where it is not "The answer is"."""


def wording(row: Mapping[str, Any], settings: SolveSettings, where: str) -> Wording:
    chosen, prompt = template(str(row.get("template", "teacherlm"))), str(require(row, "prompt", where))
    if settings.wording == "taught":
        if chosen.chat:
            raise UserError(f"{where}: wording 'taught' goes on from a prompt, but the rows are turns of a chat; use zero_shot_cot.")
        return Wording(prompt + chosen.lead("cot"), chosen.statement.rstrip(), chosen.statement.strip(), chosen.answer_prefixes)
    return Wording(question_of(row, where) + FIRST_STEP, SECOND_STEP)


def question_of(row: Mapping[str, Any], where: str) -> str:
    """`Q: ...` with its choices, as the template put it, without what asks for the answer."""
    prompt = str(require(row, "prompt", where))
    asked = template(str(row.get("template", "teacherlm"))).question_of(prompt)
    return asked if asked.startswith("Q:") else f"Q: {asked}"


def solve(row: Mapping[str, Any], terms: Terms, where: str, sample: int, settings: SolveSettings) -> Conversation[Row | Drop]:
    """Prompts of Zero-shot-CoT (Kojima et al. 2022): `Q: ...\\nA: Let's think step by step.`, then that and the reasoning and
    `\\nTherefore, the answer is`. The reasoning keeps its leading space in both."""
    refuse_kinds_there(row, ("cot",), where)
    words = wording(row, settings, where)
    (reasoning,) = yield [terms.request(words.first, sample, where)]
    if reasoning.finish == "error":
        return Drop(f"cot: {reasoning.error}")
    return (yield from conclude(solved(row, reasoning, words.first, terms, sample), words, terms, where, settings.answer_tokens))


def conclude(row: Row, words: Wording, terms: Terms, where: str, answer_tokens: int) -> Conversation[Row | Drop]:
    """Asks what the row's reasoning comes to; `found` is the answer in what is said, None where there is none."""
    rule, choices = str(require(row, "answer_rule", where)), tuple(row.get("choices", ()))
    if words.statement and words.statement in row["cot"]:
        return {**row, "conclusion": "", "found": find_answer(row["cot"], rule, prefix=words.prefixes, choices=choices)}
    second = words.first + row["cot"].rstrip() + words.second
    (said,) = yield [Request(second, answer_tokens, Sampling(stop=terms.sampling.stop), where=where)]
    if said.finish == "error":
        return Drop(f"answer: {said.error}")
    found = find_answer(words.second.strip() + said.text, rule, prefix=words.prefixes, choices=choices)
    return {**row, "conclusion": said.text, "found": found}


def solved(row: Mapping[str, Any], written: Completion, prompt: str, terms: Terms, sample: int) -> Row:
    """The row with a rationale that was written without a look at the answer."""
    return {
        **row,
        "cot": written.text,
        "all": prompt + written.text,
        "completion_index": sample,
        "teacher": terms.teacher,
        **told_beside("cot", written),
    }


def build(settings: SolveSettings) -> Way:
    def way(row: Mapping[str, Any], terms: Terms, where: str, sample: int) -> Conversation[Row | Drop]:
        return solve(row, terms, where, sample, settings)

    return way


WAY = Plugin(SolveSettings, build)
