"""What a row teaches in one layout: a prompt and its completion, or a conversation that ends with the assistant."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from teacherlm.errors import UserError
from teacherlm.exports.files import Row
from teacherlm.prompts import clean
from teacherlm.store.sources import require

LABEL = "text"
"""The layout without a rationale: a conversation of the source already ends with it."""
ROLES = ("system", "user", "assistant")

Turn = dict[str, str]


@dataclass(frozen=True, slots=True)
class Taught:
    prompt: str
    completion: str
    """Behind the prompt it makes the column, byte for byte."""
    conversation: tuple[Turn, ...]
    """The source's own turns, the answer too; empty where it has none."""
    is_label: bool
    where: str

    @property
    def messages(self) -> list[Turn]:
        """The source's conversation, else the prompt as a user's turn. A rationale takes the place of the bare answer at its end."""
        if self.conversation and self.is_label:
            return list(self.conversation)
        before = self.conversation[:-1] or ({"role": "user", "content": self.prompt.strip()},)
        return [*before, {"role": "assistant", "content": self.completion.strip()}]


def taught(row: Row, column: str, where: str) -> Taught:
    """Raises: UserError for a row without the column, whose text does not begin with the prompt or ends with it, or with odd turns."""
    prompt = require(row, "prompt", where)
    if column not in row:
        raise UserError(f"{where}: there is no column '{column}' to train on; there are: {', '.join(_layouts(row, prompt)) or 'none'}.")
    for name, value in (("prompt", prompt), (column, row[column])):
        if not isinstance(value, str):
            raise UserError(f"{where}: column '{name}': expected a text, found {value!r}.")
    text = row[column]
    start = _start(text, prompt)
    if start is None:
        raise UserError(f"{where}: column '{column}' does not begin with the row's prompt; name a layout such as cot_tail or text.")
    if not text[start:].strip():
        raise UserError(f"{where}: column '{column}' has nothing behind the prompt.")
    return Taught(text[:start], text[start:], _conversation(row.get("messages"), where), column == LABEL, where)


def _layouts(row: Row, prompt: Any) -> list[str]:
    return [name for name, value in row.items() if isinstance(value, str) and name != "prompt" and _start(value, str(prompt))]


def _start(text: str, prompt: str) -> int | None:
    """Where the completion begins; None where the text has another prompt."""
    return next((len(one) for one in (prompt, clean(prompt)) if text.startswith(one)), None)


def _conversation(found: Any, where: str) -> tuple[Turn, ...]:
    """Raises: UserError for turns that no chat template would take."""
    if not found:
        return ()
    place = f"{where}: column 'messages'"
    if not isinstance(found, list) or not all(isinstance(turn, Mapping) for turn in found):
        raise UserError(f"{place}: expected a list of {{role, content}}, found {found!r}.")
    turns = tuple({"role": turn.get("role"), "content": turn.get("content")} for turn in found)
    for number, turn in enumerate(turns, start=1):
        if turn["role"] not in ROLES:
            raise UserError(f"{place}: turn {number}: role {turn['role']!r} is none of {', '.join(ROLES)}.")
        if not isinstance(turn["content"], str) or not turn["content"].strip():
            raise UserError(f"{place}: turn {number}: expected a text as content, found {turn['content']!r}.")
    if turns[-1]["role"] != "assistant":
        raise UserError(f"{place}: the last turn is the {turns[-1]['role']}'s; there is nothing to learn behind it.")
    if all(turn["role"] != "user" for turn in turns):
        raise UserError(f"{place}: there is no turn of a user.")
    return turns
