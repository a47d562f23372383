"""Worked examples stand before the question (few-shot chain of thought); questions that are among the examples are left out."""

import re
from collections.abc import Mapping
from typing import Any, ClassVar, Literal

from teacherlm.answers import find_answer
from teacherlm.asking import Conversation, Drop, Row, Terms, Way
from teacherlm.catalog import ChosenSettings
from teacherlm.shots import SHOT, ShotsFile, read_shots
from teacherlm.stage import Plugin
from teacherlm.store.sources import require
from teacherlm.ways.rationalise import refuse_kinds_there
from teacherlm.ways.solve import question_of, solved


class FewShotSettings(ChosenSettings):
    name: Literal["few_shot"] = "few_shot"
    kinds: ClassVar[tuple[str, ...]] = ("cot",)
    shots: ShotsFile
    """A text file with the examples (`Q: ...` and `A: ...` in turn), or a JSON {key: {prompt: ...}} as few_shot_cot_prompts.json."""
    key: str = ""
    """Which of the file's prompts; needed where it has several."""


def _words(question: str) -> str:
    """What makes two spellings of a question the same one: its words."""
    return " ".join(re.findall(r"\w+", question.lower().removeprefix("q:")))


def build(settings: FewShotSettings) -> Way:
    block = read_shots(settings.shots, settings.key)
    shown = {_words(question) for question in SHOT.findall(block)}

    def few_shot(row: Mapping[str, Any], terms: Terms, where: str, sample: int) -> Conversation[Row | Drop]:
        refuse_kinds_there(row, ("cot",), where)
        question = question_of(row, where)
        if _words(question) in shown:
            return Drop("it is one of the examples in the prompt")
        prompt = f"{block}\n{question}\nA:"
        (told,) = yield [terms.request(prompt, sample, where)]
        if told.finish == "error":
            return Drop(f"cot: {told.error}")
        found = find_answer(told.text, str(require(row, "answer_rule", where)), choices=tuple(row.get("choices", ())))
        return {**solved(row, told, prompt, terms, sample), "found": found}

    return few_shot


WAY = Plugin(FewShotSettings, build)
