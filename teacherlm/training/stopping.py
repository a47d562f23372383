"""When a training ends early, with a checkpoint: at a signal, or before its time is up."""

import time

from teacherlm import interrupt
from teacherlm.allocation import find_allocation, find_times
from teacherlm.errors import Stopped

RESERVE_SECONDS = 30.0
"""Kept free at the end, beside what saving is known to take."""
RESERVE_SHARE = 0.25
"""But never more than this share of the whole time."""


class Clock:
    """The end of the time that this process has: of its allocation, or `max_minutes` after that (or this process) began."""

    def __init__(self, max_minutes: float | None) -> None:
        allocation = find_allocation()
        began, ends = find_times(allocation.job) if allocation else (None, None)
        self.began = began or time.time()
        ends = min((end for end in (ends, self.began + max_minutes * 60 if max_minutes else None) if end is not None), default=None)
        self.ends = ends
        self.saving = 0.0
        """Seconds that the last checkpoint took to write."""
        self.longest_step = 0.0
        self._stepped = time.time()

    def step(self) -> None:
        """A step has ended."""
        now = time.time()
        self.longest_step = max(self.longest_step, now - self._stepped)
        self._stepped = now

    def saved(self, seconds: float) -> None:
        self.saving = max(self.saving, seconds)
        self._stepped = time.time()

    def is_nearly_up(self) -> bool:
        if self.ends is None:
            return False
        reserve = min(RESERVE_SECONDS, RESERVE_SHARE * (self.ends - self.began))
        return time.time() + reserve + 2 * (self.saving + self.longest_step) > self.ends


def reason_to_stop(clock: Clock) -> str:
    """ "" while there is none."""
    return interrupt.wanted() or ("the end of its time" if clock.is_nearly_up() else "")


def ended_early(name: str, reason: str, step: int, of: int) -> Stopped:
    kept = f"checkpoint-{step} is written" if step else "nothing was trained yet"
    return Stopped(
        f"{name}: stopped by {reason} at step {step} of {of}; {kept}; the same command goes on from there.",
        interrupt.exit_code(reason),
    )
