"""Scores of another range, mapped to 0..1 for a regression and back."""

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Scale:
    """From `low` to `high`, linearly: 1 to 5 stars are 0, 0.25, 0.5, 0.75 and 1."""

    low: float = 0.0
    high: float = 1.0

    def to_unit(self, value: float) -> float:
        return (value - self.low) / (self.high - self.low)

    def from_unit(self, score: float) -> float:
        return self.low + score * (self.high - self.low)
