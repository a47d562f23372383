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
_is_worker = False
_worker_told = False


class Terminated(KeyboardInterrupt):
    """SIGTERM, raised as Ctrl-C is: no `except Exception` of a library holds it up."""


@contextmanager
def ending_at_signals(name: str) -> Iterator[None]:
    """Around a stage: one that does not finish what it has in hand by itself ends at the first signal.

    Raises: Stopped.
    """
    if threading.current_thread() is not threading.main_thread():  # signals come to the main thread only
        yield
        return
    before = signal.getsignal(signal.SIGTERM)
    if before is not signal.SIG_IGN:
        signal.signal(signal.SIGTERM, _raise)
    try:
        if _worker_told:
            raise Terminated
        yield
    except KeyboardInterrupt as error:
        number = signal.SIGTERM if isinstance(error, Terminated) else signal.SIGINT
        raise Stopped(f"{name} was ended by {number.name}; the same command goes on from there.", 128 + number) from None
    finally:
        signal.signal(signal.SIGTERM, before)


def _raise(number: int, frame: FrameType | None) -> None:
    if _is_worker and interrupt.wanted():  # it finishes what it has in hand already; `run` kills it when that is not wanted
        return
    signal.signal(number, signal.SIG_IGN if _is_worker else signal.SIG_DFL)
    raise Terminated


def begin_worker() -> None:
    """At the start of a worker: a terminal's Ctrl-C reaches the whole process group, but `run` answers it; SIGTERM comes from `run`."""
    global _is_worker
    _is_worker = True
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    signal.signal(signal.SIGTERM, _remember)
    signal.pthread_sigmask(signal.SIG_UNBLOCK, SIGNALS)


def _remember(number: int, frame: FrameType | None) -> None:
    global _worker_told
    _worker_told = True


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
    """Inside, SIGINT and SIGTERM are only written down."""
    wishes = Wishes()
    if threading.current_thread() is not threading.main_thread():
        yield wishes
        return
    before = {number: signal.signal(number, wishes.note) for number in SIGNALS if signal.getsignal(number) is not signal.SIG_IGN}
    try:
        yield wishes
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
