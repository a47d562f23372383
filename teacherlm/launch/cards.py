"""The GPUs of this machine, by the names that CUDA_VISIBLE_DEVICES takes; torch is not imported for it."""

import os
import shutil
import subprocess
from functools import cache

VISIBLE = "CUDA_VISIBLE_DEVICES"
WAIT_SECONDS = 20


@cache
def find_cards() -> tuple[str, ...]:
    """Those that this process may use; none where there is no driver."""
    if VISIBLE in os.environ:
        return tuple(word.strip() for word in os.environ[VISIBLE].split(",") if word.strip() not in ("", "-1"))
    command = shutil.which("nvidia-smi")
    if command is None:
        return ()
    try:
        told = subprocess.run([command, "--list-gpus"], capture_output=True, text=True, timeout=WAIT_SECONDS, check=False)
    except (OSError, subprocess.TimeoutExpired):
        return ()
    return tuple(str(i) for i in range(sum(line.startswith("GPU ") for line in told.stdout.splitlines())))
