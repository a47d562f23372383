"""Conversations as OpenAI (`role`, `content`) and ShareGPT (`from`, `value`) write them, in one spelling."""

from collections.abc import Mapping, Sequence
from typing import Any

from teacherlm.errors import UserError

Turn = Mapping[str, str]

ROLES = {
    **dict.fromkeys(("system", "developer"), "system"),
    **dict.fromkeys(("user", "human", "prompter"), "user"),
    **dict.fromkeys(("assistant", "gpt", "chatgpt", "bot", "model"), "assistant"),
}
TOOLS = ("tool", "tools", "function", "function_call", "function_response", "observation")
CALLS = ("tool_calls", "function_call")


def turns_of(given: Any, where: str) -> tuple[Turn, ...]:
    """{"role", "content"} for each turn of a conversation that a student can be taught.

    Raises: UserError naming the turn (from 1) that is none, that calls a tool, or that stands in the wrong place: a system turn may
    begin, then user and assistant take turns, and the assistant ends.
    """
    if not isinstance(given, Sequence) or isinstance(given, str) or not given:
        raise UserError(f"{where}: expected a list of turns, found {given!r}.")
    turns = tuple(_turn(turn, f"{where}: turn {number}") for number, turn in enumerate(given, start=1))
    first = 1 if turns[0]["role"] == "system" else 0
    for number, turn in enumerate(turns[first:], start=first + 1):
        expected = ("user", "assistant")[(number - first - 1) % 2]
        if turn["role"] != expected:
            raise UserError(f"{where}: turn {number} is by the {turn['role']}, expected the {expected}: roles have to alternate.")
    if turns[-1]["role"] != "assistant":
        raise UserError(f"{where}: the last turn, {len(turns)}, is by the {turns[-1]['role']}, expected the assistant: there is no answer.")
    return turns


def _turn(turn: Any, where: str) -> Turn:
    if not isinstance(turn, Mapping):
        raise UserError(f"{where}: expected {{role, content}} or {{from, value}}, found {turn!r}.")
    named = next((name for name in ("role", "from") if turn.get(name) is not None), None)
    said = next((name for name in ("content", "value") if turn.get(name) is not None), None)
    if named is None:
        raise UserError(f"{where}: there is neither 'role' nor 'from' (found: {', '.join(map(str, turn)) or 'nothing'}).")
    role = str(turn[named])
    called = next((name for name in CALLS if turn.get(name)), None)
    if called or role.lower() in TOOLS:
        raise UserError(f"{where}: {called or f'{named} {role!r}'} is about a tool; only conversations in text can be prepared.")
    if role.lower() not in ROLES:
        raise UserError(f"{where}: {named} {role!r} is not known (expected system, user or human, assistant or gpt).")
    if said is None:
        raise UserError(f"{where}: the {role} says nothing (content is missing or null).")
    text = _text(turn[said], where)
    if not text.strip() and ROLES[role.lower()] != "system":
        raise UserError(f"{where}: the {role} says nothing (content is empty).")
    return {"role": ROLES[role.lower()], "content": text}


def _text(content: Any, where: str) -> str:
    """Of a text, or of parts `{"type": "text", "text": "..."}`."""
    if isinstance(content, str):
        return content
    if isinstance(content, Sequence):
        parts = [part.get("text") if isinstance(part, Mapping) and part.get("type") == "text" else None for part in content]
        if all(isinstance(part, str) for part in parts):
            return "".join(str(part) for part in parts)
    raise UserError(f"{where}: content must be text, found {content!r:.80}.")
