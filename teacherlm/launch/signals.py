"""Ctrl-C and SIGTERM: a stage, a worker of `run` and `run` itself each end in one line, and the same command goes on from there."""

import signal
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from types import FrameType

from teacherlm import interrupt
from teacherlm.errors import Stopped

SIGNALS = (signal.SIGINT, signal.SIGTERM)
HEARD = (*SIGNALS, interrupt.WARNING)
_is_worker = False
_told: list[int] = []
"""Signals that came before a stage had begun."""


class Terminated(KeyboardInterrupt):
    """SIGTERM (or Slurm's warning), raised as Ctrl-C is: no `except Exception` of a library holds it up."""

    def __init__(self, number: int = signal.SIGTERM) -> None:
        self.number = signal.Signals(number)


@contextmanager
def ending_at_signals(name: str) -> Iterator[None]:
    """Around a stage: one that does not finish what it has in hand by itself ends at the first signal.

    Raises: Stopped.
    """
    if threading.current_thread() is not threading.main_thread():  # signals come to the main thread only
        yield
        return
    before = {number: signal.getsignal(number) for number in (signal.SIGTERM, interrupt.WARNING)}
    for number, handler in before.items():
        if handler is not signal.SIG_IGN:
            signal.signal(number, _raise)
    try:
        if _told:
            raise Terminated(_told[0])
        yield
    except KeyboardInterrupt as error:
        came = error.number if isinstance(error, Terminated) else signal.SIGINT
        raise Stopped(f"{name} was ended by {came.name}; the same command goes on from there.", 128 + came) from None
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


def _raise(number: int, frame: FrameType | None) -> None:
    if _is_worker and interrupt.wanted():  # it finishes what it has in hand already; `run` kills it when that is not wanted
        return
    signal.signal(number, signal.SIG_IGN if _is_worker or number == interrupt.WARNING else signal.SIG_DFL)
    raise Terminated(number)


def heed_warnings() -> None:
    """From here on Slurm's warning that comes before the stage has begun ends it as soon as it begins."""
    if threading.current_thread() is threading.main_thread():
        signal.signal(interrupt.WARNING, _remember)


def begin_worker() -> None:
    """At the start of a worker: a terminal's Ctrl-C reaches the whole process group, but `run` answers it; SIGTERM comes from `run`."""
    global _is_worker
    _is_worker = True
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    signal.signal(signal.SIGTERM, _remember)
    signal.pthread_sigmask(signal.SIG_UNBLOCK, SIGNALS)


def _remember(number: int, frame: FrameType | None) -> None:
    _told.append(number)


@contextmanager
def held_back() -> Iterator[None]:
    """Processes started inside get no signal before `begin_worker`: half started, they would die of it with a traceback."""
    before = signal.pthread_sigmask(signal.SIG_BLOCK, SIGNALS)
    try:
        yield
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, before)


class Wishes:
    """The signals that came to `run`; what comes at once with another is the same wish."""

    def __init__(self) -> None:
        self.came: list[signal.Signals] = []
        self._last = 0.0

    def note(self, number: int, frame: FrameType | None) -> None:
        now = time.monotonic()
        if not self.came or now - self._last > interrupt.ONE_WISH:
            self.came.append(signal.Signals(number))
        self._last = now


@contextmanager
def noted() -> Iterator[Wishes]:
    """Inside, SIGINT, SIGTERM and Slurm's warning are only written down."""
    wishes = Wishes()
    if threading.current_thread() is not threading.main_thread():
        yield wishes
        return
    before = {number: signal.signal(number, wishes.note) for number in HEARD if signal.getsignal(number) is not signal.SIG_IGN}
    try:
        yield wishes
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
