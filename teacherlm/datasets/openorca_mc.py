"""OpenOrca, multiple choice: ten thousand questions of FLAN with choices, answered by GPT-4 or 3.5 (Apache-2.0; Lian et al. 2023).

    {"id": "flan.564327", "system_prompt": "You are an AI assistant. You will be given a task. You must generate a ...",
     "question": "Generate an approximately fifteen-word sentence that describes all this data: Midsummer House eatType restaurant; ...",
     "response": "Midsummer House is a moderately priced Chinese restaurant with a 3/5 customer rating, located near All Bar One."}

On the hub as train.jsonl, with the columns of Open-Orca/OpenOrca, of which it is a part (and this row too). Choices stand inside the
question, the answer is free text. A row without a system prompt has no INSTRUCTION.
"""

from collections.abc import Mapping
from typing import Any, Literal

from teacherlm.catalog import ChosenSettings
from teacherlm.dataset import Dataset, Splits, read_questions
from teacherlm.datasets._texts import as_text
from teacherlm.errors import UserError
from teacherlm.records import Question
from teacherlm.store.sources import Origin, require

FILES = {"train.jsonl": "train", "train.json": "train", "1M-GPT4-Augmented.parquet": "train"}
INSTRUCTIONS = ("system_prompt", "instruction")


class OpenorcaMcSettings(ChosenSettings):
    name: Literal["openorca_mc"] = "openorca_mc"


def read(settings: OpenorcaMcSettings, origin: Origin | None, seed: int) -> Splits:
    assert origin is not None
    return {split: read_questions(table, _question) for split, table in origin.tables(FILES).items()}


def _question(row: Mapping[str, Any], where: str) -> Question:
    instruction = next((as_text(row[name]) for name in INSTRUCTIONS if row.get(name)), "")
    question, response = as_text(require(row, "question", where)), as_text(require(row, "response", where))
    for name, value in (("question", question), ("response", response)):
        if not value.strip():
            raise UserError(f"{where}: the {name} is empty.")
    system = ({"role": "system", "content": instruction},) if instruction.strip() else ()
    return Question(
        question=f"{instruction}\n\n{question}" if system else question,
        answer=response,
        answer_rule="text",
        source_id=as_text(row.get("id")),
        raw=row,
        where=where,
        blocks=(*((("INSTRUCTION", instruction),) if system else ()), ("QUESTION", question)),
        response=(("RESPONSE", response),),
        messages=(*system, {"role": "user", "content": question}, {"role": "assistant", "content": response}),
    )


DATASET = Dataset(
    OpenorcaMcSettings,
    read,
    title="OpenOrca-MC",
    hub="beaugogh/openorca-multiplechoice-10k",
    template="blocks",
    licence="apache-2.0",
)
