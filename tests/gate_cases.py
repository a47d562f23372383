"""Gates by name, built and asked."""

from collections.abc import Callable, Sequence
from typing import Any

from teacherlm.catalog import find
from teacherlm.parsing import parse_config
from teacherlm.records import Completion, Request
from teacherlm.verify import AskingGate, JudgingGate, Rationale, build_gate


def built(name: str, **settings: Any) -> JudgingGate:
    gate = build_gate(parse_config(find("gates", name).settings, {"name": name, **settings}))
    assert isinstance(gate, JudgingGate)
    if gate.memory:
        gate.memory.begin()
    return gate


def built_asking(name: str, **settings: Any) -> AskingGate:
    gate = build_gate(parse_config(find("gates", name).settings, {"name": name, **settings}))
    assert isinstance(gate, AskingGate)
    return gate


def carried(gate: AskingGate, rationale: Rationale, answer: Callable[[Request], Completion]) -> tuple[str, list[Request]]:
    """The verdict where every request is answered so, and the requests."""
    conversation, asked = gate.ask(rationale), []
    try:
        wanted: Sequence[Request] = next(conversation)
        while True:
            asked += wanted
            wanted = conversation.send([answer(request) for request in wanted])
    except StopIteration as end:
        return str(end.value), asked
