"""Writes without a model: text made from the prompt alone, as slow as wanted (for tests and for trying a pipeline out)."""

import hashlib
import time
from collections.abc import Iterable, Iterator, Sequence
from itertools import islice
from typing import Annotated, Literal

from pydantic import Field

from teacherlm.catalog import ChosenSettings
from teacherlm.errors import UserError
from teacherlm.records import Completion, Load, Request, too_long
from teacherlm.stage import Plugin, Runtime

ROWS_AT_ONCE = 4
LAST_WORDS = 12
"""Options among these words of a prompt are the likely ones."""


class ScriptedSettings(ChosenSettings):
    name: Literal["scripted"] = "scripted"
    model: str = "scripted"
    """The name that the rows carry."""
    reply: str = ""
    """What is written for every prompt; by default words drawn from the prompt by hash."""
    context: Annotated[int | None, Field(ge=1)] = None
    """Longest prompt and continuation together, in words."""
    fail_on: str = ""
    """Prompts that contain this fail for good."""
    delay: Annotated[Runtime[float], Field(ge=0)] = 0.0
    """Seconds for each request."""


class Scripted:
    """A token is a word."""

    def __init__(self, settings: ScriptedSettings, seed: int, load: Load) -> None:
        self.settings, self.seed, self.load = settings, seed, load
        self.context = settings.context
        script = hashlib.blake2b(f"{settings.reply}\0{settings.fail_on}".encode(), digest_size=4).hexdigest()
        self.identity = f"{settings.model}@{script}, words, seed {seed}"

    def count_tokens(self, prompts: Sequence[str]) -> list[int]:
        return [len(prompt.split()) for prompt in prompts]

    def complete(self, requests: Iterable[tuple[str, Request]]) -> Iterator[Completion]:
        """The last of a batch comes first: nobody may count on an order."""
        waiting = iter(requests)
        while batch := list(islice(waiting, self.load.rows or ROWS_AT_ONCE)):
            for key, request in reversed(batch):
                if self.settings.delay:  # even a sleep of no length gives the processor away
                    time.sleep(self.settings.delay)
                yield self._completion(key, request)

    def _completion(self, key: str, request: Request) -> Completion:
        if request.top_logprobs:
            raise UserError("top_logprobs: the engine scripted has no model, and so no probabilities; ask another engine.")
        length = len(request.prompt.split())
        if self.context is not None and length >= self.context:
            return too_long(key, length, self.context)
        if self.settings.fail_on and self.settings.fail_on in request.prompt:
            return Completion(key, "", "error", length, error=f"told to fail on '{self.settings.fail_on}'")
        if request.options:
            return Completion(key, "", "stop", length, logprobs=tuple(self._weighed(request.prompt, option) for option in request.options))
        words = (self.settings.reply or self._drawn(request)).split(" ")
        room = request.max_new_tokens if self.context is None else min(request.max_new_tokens, self.context - length)
        text = " " + " ".join(words[:room])
        for stop in request.sampling.stop:
            text = text.split(stop)[0]
        return Completion(key, text, "stop" if len(words) <= room else "length", length, min(len(words), room))

    def _weighed(self, prompt: str, option: str) -> float:
        """From -3 to -4 by hash; -1 for an option that is among the last words of the prompt."""
        last = {word.strip("().,:;!?").lower() for word in prompt.split()[-LAST_WORDS:]}
        if option.strip(" ().").lower() in last:
            return -1.0
        return -3 - hashlib.blake2b(f"{prompt}\0{option}".encode(), digest_size=1).digest()[0] / 256

    def _drawn(self, request: Request) -> str:
        """4 to 19 words; other ones for each sample, and for each seed where sampling is on."""
        seed = self.seed if request.sampling.temperature else 0
        drawn = hashlib.blake2b(f"{request.prompt}\0{request.sample}\0{seed}".encode(), digest_size=20).digest()
        return " ".join(f"word{byte}" for byte in drawn[: 4 + drawn[0] % 16])


def build(settings: ScriptedSettings, seed: int = 0, load: Load | None = None) -> Scripted:
    return Scripted(settings, seed, load or Load())


ENGINE = Plugin(ScriptedSettings, build)
