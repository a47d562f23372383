"""What a teacher was asked about one question, and what it wrote: the conversation once more, from the ledger alone."""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from teacherlm.asking import Conversation, Terms
from teacherlm.catalog import find
from teacherlm.records import Completion, Request, model_name
from teacherlm.stages.enhance import LEDGER, EnhanceConfig
from teacherlm.store.files import work_folder
from teacherlm.store.ledger import Ledger
from teacherlm.store.manifest import Manifest


@dataclass(frozen=True)
class Exchange:
    asked: str
    sample: int
    written: str
    finish: str
    tokens: int
    error: str
    options: tuple[str, ...] = ()
    """Continuations that were weighed instead of writing."""
    logprobs: tuple[float, ...] = ()


def exchanges(output: Path, manifest: Manifest, row: Mapping[str, Any], where: str) -> list[Exchange]:
    """In their order. None of an output without a ledger, such as one that was imported."""
    folder = work_folder(output) / LEDGER
    identity = str(manifest.facts.get("engine", ""))
    if not folder.is_dir() or not identity:
        return []
    config = EnhanceConfig.model_validate({**manifest.config, "output": output})
    way = find("ways", config.way.name).build(config.way)
    terms = Terms(model_name(identity), config.asked_kinds, config.max_new_tokens, config.sampling, config.top_logprobs)
    with Ledger(folder) as ledger:
        return [one for sample in range(config.samples) for one in _replayed(way(row, terms, where, sample), identity, ledger, sample)]


def _replayed(conversation: Conversation[Any], identity: str, ledger: Ledger, sample: int) -> list[Exchange]:
    """As far as the ledger goes."""
    found: list[Exchange] = []
    try:
        requests = next(conversation)
        while all(request.key(identity) in ledger for request in requests):
            answers = [ledger[request.key(identity)] for request in requests]
            found += [_exchange(request, answer, sample) for request, answer in zip(requests, answers, strict=True)]
            requests = conversation.send(answers)
    except StopIteration:
        pass
    return found


def _exchange(request: Request, answer: Completion, sample: int) -> Exchange:
    weighed = answer.logprobs if request.options else ()
    return Exchange(request.prompt, sample, answer.text, answer.finish, answer.tokens, answer.error, request.options, tuple(weighed))
