"""How much a batch may hold, and what happens when the machine has less."""

import gc
from collections.abc import Callable

import torch

from teacherlm.log import say
from teacherlm.records import Load

CPU_WORDS = ("can't allocate memory", "cannot allocate memory", "not enough memory", "out of memory", "CUBLAS_STATUS_ALLOC_FAILED")
"""How torch and its libraries say it in a RuntimeError."""


class Room:
    """The budget of an engine; shrinks when memory runs out, and stays so."""

    def __init__(self, load: Load) -> None:
        self.tokens, self.rows = load.tokens, load.rows

    def fits(self, rows: int, tokens: int) -> bool:
        """Whether so many rows of so many tokens each have room."""
        return rows * tokens <= self.tokens and rows <= (self.rows or rows)

    def shrink(self, failed: int) -> None:
        """`failed` tokens were too many."""
        self.tokens = max(1, min(self.tokens, failed) // 2)
        say(f"notice: out of memory; batches hold {self.tokens} tokens from now on.")


def run_out_of_memory(work: Callable[[], None]) -> str:
    """Does it. Returns: what could not be allocated, "" when all could; memory is free again then."""
    try:
        work()
        return ""
    except (RuntimeError, MemoryError) as error:
        words = str(error)
        if not isinstance(error, (torch.OutOfMemoryError, MemoryError)) and not any(some.lower() in words.lower() for some in CPU_WORDS):
            raise
        failure = _said(words)
    # Outside the handler: the traceback held the batch.
    gc.collect()
    if torch.cuda.is_available():
        torch.cuda.empty_cache()
    return failure


def _said(words: str) -> str:
    """The line that names the size."""
    lines = [line.strip() for line in words.splitlines() if line.strip()]
    told = next((line for line in lines if any(some in line for some in ("allocate", "memory"))), "the machine has no more")
    return told.rpartition("DefaultCPUAllocator: ")[2].rstrip(".")
