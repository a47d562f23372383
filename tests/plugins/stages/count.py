"""Count slowly (a stage of the tests: at a signal it finishes the number in hand, and goes on from there the next time)."""

import signal
import time

from teacherlm import interrupt
from teacherlm.errors import Stopped
from teacherlm.stage import Outcome, Runtime, Stage, StageConfig


class CountConfig(StageConfig):
    upto: int = 8
    """The last number."""
    seconds: Runtime[float] = 0.3
    """For each number."""


def count(config: CountConfig) -> Outcome:
    path = config.output / "numbers.txt"
    done = path.read_text().count("end") if path.is_file() else 0
    with interrupt.interruptible(), path.open("a", buffering=1) as file:
        for number in range(done + 1, config.upto + 1):
            if reason := interrupt.wanted():
                raise Stopped(f"at {number - 1} of {config.upto} ({reason})", 128 + signal.Signals[reason])
            file.write(f"begin {number}\n")
            time.sleep(config.seconds)
            file.write(f"end {number}\n")
    return Outcome(counts={"rows": config.upto})


STAGE = Stage(count, CountConfig)
