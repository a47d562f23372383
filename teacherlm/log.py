"""Progress for people: a live view on a terminal, one plain line every few seconds elsewhere."""

import logging
import os
import sys
import threading
import time
from collections.abc import Iterator, Mapping
from contextlib import AbstractContextManager, contextmanager, nullcontext
from typing import TYPE_CHECKING

from teacherlm.errors import UserError

if TYPE_CHECKING:
    from rich.console import Console

EVERY_SECONDS = 15.0
EVERY = "TEACHERLM_LOG_EVERY"
QUIET = {
    "HF_DATASETS_DISABLE_PROGRESS_BARS": "1",
    "HF_HUB_DISABLE_PROGRESS_BARS": "1",
    "TOKENIZERS_PARALLELISM": "false",
    "TQDM_DISABLE": "1",
    "TRANSFORMERS_VERBOSITY": "error",
}
_prefix = ""
_muted = False
_console: "Console | None" = None
"""That of the live view while one is up."""


def quiet_libraries() -> None:
    """A stage speaks through our own lines: several progress bars on one terminal are unreadable. Before heavy imports."""
    for name, value in QUIET.items():
        os.environ.setdefault(name, value)
    # Whoever imports it hears of a kernel that only 4-bit weights on a CPU would use.
    logging.getLogger("bitsandbytes").setLevel(logging.ERROR)
    # They log a file that they cannot read, and raise as well: whoever asked for the file says so in one line.
    logging.getLogger("datasets.packaged_modules").setLevel(logging.CRITICAL)


def use_prefix(prefix: str) -> None:
    """Put this before every line of this process (a worker names its job)."""
    global _prefix
    _prefix = f"[{prefix}] " if prefix else ""


def mute() -> None:
    """This process is one of several that would all say the same."""
    global _muted
    _muted = True


@contextmanager
def muted() -> Iterator[None]:
    """Work inside is only tried out: whoever tries it says what came of it."""
    global _muted
    before, _muted = _muted, True
    try:
        yield
    finally:
        _muted = before


def say(text: str) -> None:
    """One line on stderr, above a live view; stdout is left to results."""
    if _muted:
        return
    if _console is not None:
        _console.print(text, markup=False, highlight=False, soft_wrap=True)
    else:
        sys.stderr.write(f"{_prefix}{text}\n")  # in one piece: another thread may be telling its progress
        sys.stderr.flush()


def use_console(console: "Console | None") -> None:
    """Lines go through the console that draws, or they would be written into the middle of its drawing."""
    global _console
    _console = console


class Progress:
    """Counts finished units. It only counts: a thread shows it, so that counting costs next to nothing."""

    def __init__(self, label: str, total: int | None, unit: str) -> None:
        self.label, self.total, self.unit = label, total, unit
        self.done, self.skipped, self.note = 0, 0, ""
        self.figures: Mapping[str, str] = {}
        self._started = time.monotonic()

    def advance(self, count: int = 1, note: str = "", figures: Mapping[str, str] | None = None) -> None:
        """`figures` are the latest named ones, such as {"tokens/s": "312"}; a name keeps its last value. `note` stands behind them."""
        self.done += count
        if note:
            self.note = note
        if figures:
            self.figures = {**self.figures, **figures}  # a new one: the thread that shows it may be reading the old

    def skip(self, count: int) -> None:
        """These were found done already: they count as done, and not towards the rate."""
        self.skipped += count
        self.done += count

    def set_total(self, total: int | None) -> None:
        self.total = total

    def seconds(self) -> float:
        return time.monotonic() - self._started

    def rate(self) -> float:
        """Units a second since the start, without those that were found done."""
        seconds = self.seconds()
        return (self.done - self.skipped) / seconds if seconds > 0 else 0.0

    def seconds_left(self) -> float | None:
        """None while nothing tells."""
        rate = self.rate()
        return max(0, self.total - self.done) / rate if self.total is not None and rate > 0 else None

    def count(self) -> str:
        of = f"/{self.total}" if self.total is not None else ""
        return f"{self.done}{of} {self.unit}"

    def details(self) -> str:
        """`tokens/s 312, retries 3, loss 0.21`"""
        return ", ".join([*(f"{name} {value}" for name, value in self.figures.items()), *([self.note] if self.note else [])])

    def line(self, end: bool = False) -> str:
        """`enhance: 310/1536 completions, 3.2/s, 1:37 so far, 6:23 left, tokens/s 312`"""
        left = self.seconds_left()
        parts = [
            self.count(),
            rate_text(self.rate()),
            duration(self.seconds()) + ("" if end else " so far"),
            f"{duration(left)} left" if left is not None and not end else "",
            self.details(),
        ]
        return f"{self.label}: {', '.join(filter(None, parts))}"


def rate_text(rate: float) -> str:
    """`3.2/s`, slow ones `4.1/min`; nothing for 0."""
    if rate >= 0.1:
        return f"{rate:.1f}/s" if rate < 100 else f"{rate:.0f}/s"
    return f"{rate * 60:.1f}/min" if rate > 0 else ""


def duration(seconds: float) -> str:
    """`0:07`, `1:02:07`"""
    minutes, left = divmod(int(seconds), 60)
    return f"{minutes // 60}:{minutes % 60:02}:{left:02}" if minutes >= 60 else f"{minutes}:{left:02}"


@contextmanager
def progress(label: str, total: int | None, unit: str) -> Iterator[Progress]:
    """A counter that shows itself while the block runs and once at its end.

    Raises: UserError when TEACHERLM_LOG_EVERY is no number of seconds.
    """
    bar = Progress(label, total, unit)
    with _view(bar):
        yield bar


def _view(bar: Progress) -> AbstractContextManager[None]:
    every = _every_seconds()
    if _muted:
        return nullcontext()
    if sys.stderr.isatty() and not _prefix and os.environ.get("TERM", "") not in ("", "dumb", "unknown"):
        from teacherlm.live import shown

        return shown(bar)
    return _told(bar, every)


def _every_seconds() -> float:
    given = os.environ.get(EVERY, "")
    try:
        seconds = float(given) if given else EVERY_SECONDS
    except ValueError:
        seconds = 0.0
    if not 0 < seconds < threading.TIMEOUT_MAX:
        raise UserError(f"{EVERY}: expected a number of seconds above 0, such as 60, found '{given}'.")
    return seconds


@contextmanager
def _told(bar: Progress, every: float) -> Iterator[None]:
    """Plain lines: one every few seconds, one at the end. Also while nothing advances: that is worth knowing too."""
    over = threading.Event()

    def tell() -> None:
        while not over.wait(every):
            say(bar.line())

    teller = threading.Thread(target=tell, daemon=True)
    teller.start()
    try:
        yield
    finally:
        over.set()
        teller.join()
        say(bar.line(end=True))
