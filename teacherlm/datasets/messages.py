"""Your own conversations, of one turn or of many: a file or folder of chat data, one for each split.

    {"messages": [{"role": "system", "content": "Be brief."}, {"role": "user", "content": "Where do fish live?"},
                  {"role": "assistant", "content": "In water."}]}
    {"conversations": [{"from": "human", "value": "Where do fish live?"}, {"from": "gpt", "value": "In water."}]}

As OpenAI and ShareGPT write them; a system prompt may also stand in a column `system`. The last turn is the answer that is taught.
"""

from collections.abc import Mapping
from typing import Any, Literal

from teacherlm.catalog import ChosenSettings
from teacherlm.dataset import Dataset, Splits, read_questions
from teacherlm.datasets._chat import Turn, turns_of
from teacherlm.datasets._texts import as_text
from teacherlm.errors import UserError
from teacherlm.records import Question
from teacherlm.store.sources import Origin, require

COLUMNS = ("messages", "conversations", "conversation")
IDS = ("id", "conversation_id", "prompt_id", "uuid")


class MessagesSettings(ChosenSettings):
    name: Literal["messages"] = "messages"
    column: str = ""
    """The column with the turns; by default messages, conversations or conversation, whichever is there."""
    leave_out: list[str] = []
    """Columns of the file not to keep, such as one whose values share no type."""


def read(settings: MessagesSettings, origin: Origin | None, seed: int) -> Splits:
    assert origin is not None
    return {split: read_questions(table, lambda row, where: _question(row, settings, where)) for split, table in origin.tables().items()}


def _question(row: Mapping[str, Any], settings: MessagesSettings, where: str) -> Question:
    turns = turns_of(require(row, settings.column or _column(row, where), where), where)
    if row.get("system") and turns[0]["role"] != "system":
        turns = ({"role": "system", "content": as_text(row["system"])}, *turns)
    return Question(
        question=_last(turns, "user"),
        answer=_last(turns, "assistant"),
        answer_rule="text",
        source_id=next((as_text(row[name]) for name in IDS if row.get(name) is not None), ""),
        raw={name: value for name, value in row.items() if name not in settings.leave_out},
        where=where,
        messages=turns,
    )


def _column(row: Mapping[str, Any], where: str) -> str:
    found = next((name for name in COLUMNS if row.get(name) is not None), None)
    if found is None:
        raise UserError(f"{where}: there is no column {' or '.join(COLUMNS)} (found: {', '.join(row) or 'nothing'}); say which: column.")
    return found


def _last(turns: tuple[Turn, ...], role: str) -> str:
    return next(turn["content"] for turn in reversed(turns) if turn["role"] == role)


DATASET = Dataset(MessagesSettings, read, template="chat")
