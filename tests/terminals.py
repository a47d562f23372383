"""A command run on a real pseudo-terminal, answered as a person would."""

import os
import pty
import re
import select
import subprocess
import sys
import time
from collections.abc import Sequence
from pathlib import Path

ESCAPES = re.compile(r"\x1b\[[0-9;?]*[A-Za-z]")


def on_a_terminal(
    *words: str | Path, answers: Sequence[tuple[str, str]] = (), environment: dict[str, str] | None = None, seconds: float = 120
) -> tuple[int, str]:
    """(exit code, everything printed). `answers`: (what is waited for, what is then typed), one after the other."""
    parent, child = pty.openpty()
    env = {"PATH": os.environ["PATH"], "HOME": os.environ.get("HOME", "/"), "TERM": "xterm-256color", "COLUMNS": "100", "LANG": "C.UTF-8"}
    env |= {name: value for name, value in os.environ.items() if name.startswith(("TEACHERLM", "OMP", "PYTHON"))} | (environment or {})
    command = [sys.executable, "-m", "teacherlm.cli", *map(str, words)]
    started = subprocess.Popen(command, stdin=child, stdout=child, stderr=child, env=env, start_new_session=True)
    os.close(child)
    printed, seen, waiting, until = b"", 0, list(answers), time.monotonic() + seconds
    try:
        while time.monotonic() < until:
            ready, _, _ = select.select([parent], [], [], 0.2)
            if ready:
                try:
                    piece = os.read(parent, 65536)
                except OSError:  # Linux says so when the other side is closed
                    break
                if not piece:
                    break
                printed += piece
            elif started.poll() is not None:
                break
            text = printed.decode(errors="replace")
            if waiting and waiting[0][0] in text[seen:]:
                seen = text.index(waiting[0][0], seen) + len(waiting[0][0])
                os.write(parent, f"{waiting.pop(0)[1]}\n".encode())
        text = printed.decode(errors="replace")
        assert time.monotonic() < until, f"it waits for something nobody types: {text[-500:]}"
        assert not waiting, f"never asked {waiting[0][0]!r}: {text}"
        return started.wait(timeout=10), text.replace("\r\n", "\n")
    finally:
        started.kill()
        started.wait()
        os.close(parent)


def without_styles(text: str) -> str:
    return ESCAPES.sub("", text)
