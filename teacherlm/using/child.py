"""A server as a child process: its last words are kept, it is waited for, told to end, and never left behind."""

import contextlib
import ctypes
import os
import signal
import subprocess
import sys
import threading
import time
from collections import deque
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path

import httpx

from teacherlm.errors import UserError

LAST_LINES = 50
LOOK_EVERY_SECONDS = 0.1
GRACE_SECONDS = 10.0
"""From the signal that asks it to end to the one that ends it."""
PR_SET_PDEATHSIG = 1


class Child:
    """What it prints goes on to our stderr."""

    def __init__(self, words: Sequence[str], folder: Path, environment: Mapping[str, str]) -> None:
        self.process = subprocess.Popen(
            list(words),
            cwd=folder,
            env=dict(environment),
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            start_new_session=True,  # a terminal's Ctrl-C is for us alone; we hand it on
            preexec_fn=_dying_with_parent(),
        )
        self.lines: deque[str] = deque(maxlen=LAST_LINES)
        self._reader = threading.Thread(target=self._read, daemon=True)
        self._reader.start()

    def _read(self) -> None:
        assert self.process.stdout is not None
        for line in self.process.stdout:
            text = line.decode(errors="replace").rstrip()
            self.lines.append(text)
            sys.stderr.write(f"{text}\n")
            sys.stderr.flush()

    def wait_until_healthy(self, url: str, seconds: float, wanted: "Signals") -> None:
        """Until `url` answers, or a signal came. Raises: UserError when the server ends before, or takes too long."""
        until = time.monotonic() + seconds
        while not wanted.came:
            if self.process.poll() is not None:
                raise UserError(f"serve: the server could not start: {self.last_word()}")
            if time.monotonic() > until:
                raise UserError(f"serve: the server gave no answer within {seconds:g} s; it is ended.")
            with contextlib.suppress(httpx.TransportError):
                if httpx.get(url, trust_env=False, timeout=5).is_success:
                    return
            time.sleep(LOOK_EVERY_SECONDS)

    def wait(self, wanted: "Signals") -> None:
        """Until it ends, or a signal came."""
        while self.process.poll() is None and not wanted.came:
            time.sleep(LOOK_EVERY_SECONDS)

    def last_word(self) -> str:
        """The line that says most about why it ended."""
        self._reader.join(2)
        said = [line.strip() for line in self.lines if line.strip()]
        errors = [line for line in said if "rror" in line and not line.startswith(("Traceback", "File"))]
        return (errors or said or [f"exit code {self.process.returncode}, without a word."])[-1][:300]

    def end(self, number: int = signal.SIGTERM) -> None:
        """It and what it has started. Returns when they are gone."""
        if self.process.poll() is None:
            self.process.send_signal(number)
            with contextlib.suppress(subprocess.TimeoutExpired):
                self.process.wait(GRACE_SECONDS)
        with contextlib.suppress(ProcessLookupError, PermissionError):
            os.killpg(self.process.pid, signal.SIGKILL)  # it led a session of its own
        self.process.wait()
        self._reader.join(2)


class Signals:
    """SIGINT and SIGTERM that came; they end nothing by themselves."""

    def __init__(self) -> None:
        self.came: signal.Signals | None = None

    def note(self, number: int, frame: object) -> None:
        self.came = self.came or signal.Signals(number)


@contextlib.contextmanager
def signals_noted() -> Iterator[Signals]:
    wanted = Signals()
    before = {number: signal.signal(number, wanted.note) for number in (signal.SIGINT, signal.SIGTERM)}
    try:
        yield wanted
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


def _dying_with_parent() -> "ctypes._NamedFuncPointer | None":
    """Linux ends the child when this process is killed; elsewhere nothing does."""
    if not sys.platform.startswith("linux"):
        return None
    libc = ctypes.CDLL(None, use_errno=True)
    return lambda: libc.prctl(PR_SET_PDEATHSIG, signal.SIGTERM)  # type: ignore[return-value]
