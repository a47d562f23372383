"""Says the end of the prompt again (an engine of the tests)."""

from collections.abc import Iterable, Iterator, Sequence
from typing import Any

from teacherlm.catalog import ChosenSettings
from teacherlm.records import Completion, Request
from teacherlm.stage import Plugin


class EchoSettings(ChosenSettings):
    name: str = "echo"


class Echo:
    identity = "echo@1, words, seed 0"
    context = None

    def count_tokens(self, prompts: Sequence[str]) -> list[int]:
        return [len(prompt.split()) for prompt in prompts]

    def complete(self, requests: Iterable[tuple[str, Request]]) -> Iterator[Completion]:
        for key, request in requests:
            yield Completion(key, " " + request.prompt[-20:])


def build(settings: EchoSettings, seed: int = 0, load: Any = None) -> Echo:
    return Echo()


ENGINE = Plugin(EchoSettings, build)
