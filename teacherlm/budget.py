"""What asking may cost: counts tokens and money, and asks to stop when the cap is reached."""

from dataclasses import dataclass
from typing import Annotated

from pydantic import Field

from teacherlm import interrupt
from teacherlm.records import Completion
from teacherlm.stage import Settings

CAP = "the cap"
MILLION = 1_000_000


class Prices(Settings):
    """Money for a million tokens, in whatever currency `max_cost` is meant."""

    prompt: Annotated[float, Field(ge=0)] = 0.0
    """For a million tokens read."""
    completion: Annotated[float, Field(ge=0)] = 0.0
    """For a million tokens written."""

    def cost(self, prompt_tokens: float, tokens: float) -> float:
        return (prompt_tokens * self.prompt + tokens * self.completion) / MILLION


@dataclass
class Budget:
    """Tokens of all completions there are, earlier runs included."""

    prices: Prices
    max_tokens: int | None
    max_cost: float | None
    prompt_tokens: int = 0
    tokens: int = 0

    @property
    def is_capped(self) -> bool:
        return self.max_tokens is not None or self.max_cost is not None

    @property
    def cost(self) -> float:
        return self.prices.cost(self.prompt_tokens, self.tokens)

    def spend(self, prompt_tokens: int, tokens: int) -> None:
        """Asks to stop once nothing is left: what the engine has in hand is still finished, and kept."""
        self.prompt_tokens += prompt_tokens
        self.tokens += tokens
        if self.reached():
            interrupt.ask_to_stop(CAP)

    def count(self, completion: Completion) -> None:
        self.spend(completion.prompt_tokens, completion.tokens)

    def reached(self) -> str:
        """Which cap is reached, with what was spent; "" while none is."""
        total = self.prompt_tokens + self.tokens
        if self.max_tokens is not None and total >= self.max_tokens:
            return f"max_tokens_total {self.max_tokens} is reached ({total} tokens, prompts included)"
        if self.max_cost is not None and self.cost >= self.max_cost:
            return f"max_cost {self.max_cost:g} is reached ({self.cost:.4g} spent)"
        return ""
