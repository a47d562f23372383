"""Worked examples stand before the question (few-shot chain of thought); questions that are among the examples are left out."""

import re
from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Any, ClassVar, Literal

from teacherlm.answers import find_answer
from teacherlm.asking import Conversation, Drop, Row, Terms, Way
from teacherlm.catalog import ChosenSettings
from teacherlm.errors import UserError, unknown
from teacherlm.records import Request
from teacherlm.stage import Plugin, Source
from teacherlm.store.files import read_json
from teacherlm.store.sources import require
from teacherlm.ways.rationalise import refuse_kinds_there
from teacherlm.ways.solve import question_of, solved

SHOT = re.compile(r"^Q:(.*?)^A:", re.DOTALL | re.MULTILINE)


class FewShotSettings(ChosenSettings):
    name: Literal["few_shot"] = "few_shot"
    kinds: ClassVar[tuple[str, ...]] = ("cot",)
    shots: Annotated[Path, Source("data")]
    """A text file with the examples (`Q: ...` and `A: ...` in turn), or a JSON {key: {prompt: ...}} as few_shot_cot_prompts.json."""
    key: str = ""
    """Which of the file's prompts; needed where it has several."""


def read_shots(settings: FewShotSettings) -> str:
    """Raises: UserError for a key that the file lacks, and for a block without `Q:` and `A:`."""
    if settings.shots.suffix == ".json":
        block = _of_key(read_json(settings.shots), settings)
    elif settings.shots.is_file():
        block = settings.shots.read_text(encoding="utf-8")
    else:
        raise UserError(f"{settings.shots}: no such file.")
    if not SHOT.search(block):
        raise UserError(f"{settings.shots}: holds no examples; they look like `Q: ...`, a new line, `A: ... The answer is ...`.")
    return block.strip()


def _of_key(blocks: Any, settings: FewShotSettings) -> str:
    if not isinstance(blocks, dict) or not blocks:
        raise UserError(f"{settings.shots}: expected {{key: {{prompt: ...}}}}, found {type(blocks).__name__}.")
    key = settings.key or (next(iter(blocks)) if len(blocks) == 1 else "")
    if not key:
        raise UserError(f"{settings.shots}: holds several prompts; say which with key: {', '.join(blocks)}.")
    if key not in blocks:
        raise unknown("few-shot prompt", key, blocks)
    if not isinstance(blocks[key], dict) or not isinstance(blocks[key].get("prompt"), str):
        raise UserError(f"{settings.shots}: {key}.prompt: expected a text.")
    return str(blocks[key]["prompt"])


def _words(question: str) -> str:
    """What makes two spellings of a question the same one: its words."""
    return " ".join(re.findall(r"\w+", question.lower().removeprefix("q:")))


def build(settings: FewShotSettings) -> Way:
    block = read_shots(settings)
    shown = {_words(question) for question in SHOT.findall(block)}

    def few_shot(row: Mapping[str, Any], terms: Terms, where: str, sample: int) -> Conversation[Row | Drop]:
        refuse_kinds_there(row, ("cot",), where)
        question = question_of(row, where)
        if _words(question) in shown:
            return Drop("it is one of the examples in the prompt")
        prompt = f"{block}\n{question}\nA:"
        (told,) = yield [Request(prompt, terms.max_new_tokens, terms.sampling, sample, where=where)]
        if told.finish == "error":
            return Drop(f"cot: {told.error}")
        found = find_answer(told.text, str(require(row, "answer_rule", where)), choices=tuple(row.get("choices", ())))
        return {**solved(row, told, prompt, terms, sample), "found": found}

    return few_shot


WAY = Plugin(FewShotSettings, build)
