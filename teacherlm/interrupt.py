"""The wish to stop soon: Ctrl-C, SIGTERM, SIGUSR1 or a cap. What is in hand is finished first; a second signal stops at once."""

import os
import signal
import time
from collections.abc import Iterator
from contextlib import contextmanager
from types import FrameType

from teacherlm.errors import OUT_OF_TIME

ONE_WISH = 0.5
"""Seconds within which signals are one wish: `timeout`, Slurm and containers send theirs to the process and again to its group."""
WARNING = signal.SIGUSR1
"""By which Slurm says that the time of a job is nearly up."""
WARNED = "TEACHERLM_WARNED"
"""Set by a job's script when the warning came before the job began."""
_reason = ""


def wanted() -> str:
    """Why work should end soon; "" while it should not. Engines look at it before they begin something new."""
    return _reason


def ask_to_stop(reason: str) -> None:
    """Let everything that looks at `wanted` finish what it has in hand, and no more."""
    global _reason
    _reason = _reason or reason


def exit_code(reason: str) -> int:
    """Of work that ended early for a reason: 128 + the number of the signal that it names; else its time was up."""
    return 128 + signal.Signals[reason] if reason in signal.Signals.__members__ else OUT_OF_TIME


@contextmanager
def interruptible() -> Iterator[None]:
    """Inside, the first SIGINT or SIGTERM only asks to stop; the next one does what it always did.

    SIGUSR1, by which Slurm warns that the time is nearly up, asks to stop and never does more.
    """
    global _reason
    found = {number: signal.getsignal(number) for number in (signal.SIGINT, signal.SIGTERM)}
    before = {number: handler for number, handler in found.items() if handler is not signal.SIG_IGN}  # what is ignored stays so
    before[WARNING] = signal.getsignal(WARNING)
    last = 0.0
    warned = os.environ.pop(WARNED, "")

    def on_signal(number: int, frame: FrameType | None) -> None:
        nonlocal last
        now, again = time.monotonic(), last > 0
        if number == WARNING:
            ask_to_stop(WARNING.name)
            return
        if again and now - last > ONE_WISH:
            signal.signal(number, before[signal.Signals(number)])
            signal.raise_signal(number)
        last = now
        ask_to_stop(signal.Signals(number).name)

    _reason = WARNING.name if warned else ""
    for number in before:
        signal.signal(number, on_signal)
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
        _reason = ""
