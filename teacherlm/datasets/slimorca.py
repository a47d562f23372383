"""SlimOrca: half a million questions of FLAN, answered by GPT-4 under a system prompt and checked by it (MIT; Lian et al. 2023).

    {"conversations": [
        {"from": "system", "value": "You are an AI assistant. You will be given a task. You must generate a detailed and long answer.",
         "weight": null},
        {"from": "human", "value": "Write an article based on this \"A man has been charged with murder and attempted murder after a woman
         and the man she was on a date with were stabbed at a restaurant in Sydney, Australia.\"", "weight": 0.0},
        {"from": "gpt", "value": "Title: Tragedy Strikes in Sydney: Victims Stabbed during Dinner Date, Suspect Charged with Murder and
         Attempted Murder\\n\\nIntroduction\\n\\nA seemingly ordinary evening took a tragic turn ...", "weight": 1.0}]}

On the hub as oo-labeled_correct.gpt4.sharegpt.jsonl. Each turn but the last becomes the blocks FROM and VALUE, the last one GPT.
"""

from collections.abc import Mapping
from itertools import chain
from typing import Any, Literal

from teacherlm.catalog import ChosenSettings
from teacherlm.dataset import Dataset, Splits, read_questions
from teacherlm.datasets._chat import turns_of
from teacherlm.records import Question
from teacherlm.store.sources import Origin, require

FILES = {"oo-labeled_correct.gpt4.sharegpt.jsonl": "train", "train.jsonl": "train", "train.json": "train"}


class SlimorcaSettings(ChosenSettings):
    name: Literal["slimorca"] = "slimorca"


def read(settings: SlimorcaSettings, origin: Origin | None, seed: int) -> Splits:
    assert origin is not None
    return {split: read_questions(table, _question) for split, table in origin.tables(FILES).items()}


def _question(row: Mapping[str, Any], where: str) -> Question:
    given = require(row, "conversations", where)
    turns = turns_of(given, where)
    asked = zip(given[:-1], turns[:-1], strict=True)
    blocks = ((("FROM", str(theirs.get("from", turn["role"]))), ("VALUE", turn["content"])) for theirs, turn in asked)
    return Question(
        question="\n\n".join(turn["content"] for turn in turns[:-1] if turn["content"].strip()),
        answer=turns[-1]["content"],
        answer_rule="text",
        raw=row,
        where=where,
        blocks=tuple(chain.from_iterable(blocks)),
        response=(("GPT", turns[-1]["content"]),),
        messages=turns,
    )


DATASET = Dataset(SlimorcaSettings, read, title="SlimOrca", hub="Open-Orca/SlimOrca", template="blocks", licence="mit")
