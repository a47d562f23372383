"""An engine that is loaded when something is first asked of it: a run that finds every answer in the ledger loads no model."""

from collections.abc import Callable, Iterable, Iterator, Sequence
from functools import cached_property

from teacherlm.records import Completion, Engine, Request


class Late:
    def __init__(self, identity: str, load: Callable[[], Engine]) -> None:
        self.identity = identity
        self._load = load

    @cached_property
    def loaded(self) -> Engine:
        return self._load()

    @property
    def context(self) -> int | None:
        return self.loaded.context

    def count_tokens(self, prompts: Sequence[str]) -> list[int]:
        return self.loaded.count_tokens(prompts)

    def complete(self, requests: Iterable[tuple[str, Request]]) -> Iterator[Completion]:
        return self.loaded.complete(requests)
