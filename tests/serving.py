"""A student served by our own command, for tests."""

import subprocess
import sys
from pathlib import Path
from typing import IO


def started(log: IO[str], *words: str | Path) -> "tuple[subprocess.Popen[str], str]":
    """(process, its base_url)"""
    command = [sys.executable, "-m", "teacherlm.cli", "serve", "--port", "0", "--device", "cpu", *map(str, words)]
    process = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=log, text=True)
    assert process.stdout is not None
    line = process.stdout.readline()
    assert " serves '" in line, Path(log.name).read_text()
    assert process.stdout.readline().startswith("curl http://127.0.0.1:")
    return process, line.split(" ")[0]
