"""Progress for people: a live line on a terminal, one plain line every few seconds elsewhere."""

import os
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager

EVERY_SECONDS = 15.0
QUIET = {
    "HF_DATASETS_DISABLE_PROGRESS_BARS": "1",
    "HF_HUB_DISABLE_PROGRESS_BARS": "1",
    "TOKENIZERS_PARALLELISM": "false",
    "TQDM_DISABLE": "1",
    "TRANSFORMERS_VERBOSITY": "error",
}
_prefix = ""


def quiet_libraries() -> None:
    """A stage speaks through our own lines: several progress bars on one terminal are unreadable. Before heavy imports."""
    for name, value in QUIET.items():
        os.environ.setdefault(name, value)


def use_prefix(prefix: str) -> None:
    """Put this before every line of this process (a worker names its job)."""
    global _prefix
    _prefix = f"[{prefix}] " if prefix else ""


def say(text: str) -> None:
    """One line on stderr; stdout is left to results."""
    print(f"{_prefix}{text}", file=sys.stderr, flush=True)


class Progress:
    """Counts finished units. `note` is what stands behind the count (tokens/s, loss)."""

    def __init__(self, label: str, total: int | None, unit: str) -> None:
        self.label, self.total, self.unit = label, total, unit
        self.done, self.note = 0, ""
        self._started = self._shown = time.monotonic()
        self._live = sys.stderr.isatty() and not _prefix

    def advance(self, count: int = 1, note: str = "") -> None:
        self.done += count
        self.note = note or self.note
        now = time.monotonic()
        if now - self._shown >= (0.1 if self._live else EVERY_SECONDS):
            self._shown = now
            self._show(now)

    def _show(self, now: float, end: bool = False) -> None:
        seconds = now - self._started
        rate = self.done / seconds if seconds > 0 else 0.0
        of = f"/{self.total}" if self.total is not None else ""
        left = f", {(self.total - self.done) / rate:.0f} s left" if self.total and rate > 0 and not end else ""
        line = f"{self.label}: {self.done}{of} {self.unit}, {rate:.1f}/s{left}{', ' + self.note if self.note else ''}"
        if self._live:
            print(f"\r\033[K{line}", end="\n" if end else "", file=sys.stderr, flush=True)
        else:
            say(line)

    def close(self) -> None:
        self._show(time.monotonic(), end=True)


@contextmanager
def progress(label: str, total: int | None, unit: str) -> Iterator[Progress]:
    """A counter that shows itself while the block runs and once at its end."""
    bar = Progress(label, total, unit)
    try:
        yield bar
    finally:
        bar.close()
