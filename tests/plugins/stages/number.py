"""Write a number (a stage of the tests: no models, no waiting)."""

from pathlib import Path

from teacherlm.stage import Outcome, Runtime, Stage, StageConfig


class NumberConfig(StageConfig):
    value: int
    """The number."""
    seed: int = 0
    """Added to it."""
    cut: Runtime[int] = 1
    """Does not change the result."""


def number(config: NumberConfig) -> Outcome:
    config.output.mkdir(parents=True, exist_ok=True)
    (config.output / "number.txt").write_text(str(config.value + config.seed))
    with Path(config.output.parent, "calls.txt").open("a") as calls:
        calls.write(f"{config.output.name}\n")
    return Outcome(counts={"rows": 1})


STAGE = Stage(number, NumberConfig)
