"""Add to one number (a stage of the tests: maps, can be cut into shards, fails when told to)."""

import os
import signal
import time

from teacherlm.errors import UserError
from teacherlm.stage import Input, Outcome, Runtime, Settings, Stage, StageConfig
from teacherlm.store.manifest import require_finished


class Inner(Settings):
    model: Input | None = None
    """Another number, nested."""


class AddConfig(StageConfig):
    input: Input
    """Folder of a number."""
    amount: int = 1
    """What to add."""
    inner: Inner = Inner()
    """Nested settings."""
    seed: int = 0
    """Unused."""
    shard: Runtime[str | None] = None
    """i/n"""


def add(config: AddConfig) -> Outcome:
    require_finished(config.input)
    if config.amount == 13:
        raise UserError("thirteen is not added")
    if config.amount == 14:
        raise RuntimeError("a bug")
    if config.amount == 15:
        os.kill(os.getpid(), signal.SIGKILL)
    if config.amount == 16:
        (config.output / "pid.txt").write_text(str(os.getpid()))
        time.sleep(600)
    if config.amount == 17 and not (config.output / "pid.txt").exists():
        (config.output / "pid.txt").write_text(str(os.getpid()))
        time.sleep(600)
    if config.shard:
        return Outcome()
    total = int((config.input / "number.txt").read_text()) + config.amount
    if config.inner.model is not None:
        total += int((config.inner.model / "number.txt").read_text())
    config.output.mkdir(parents=True, exist_ok=True)
    (config.output / "number.txt").write_text(str(total))
    return Outcome(counts={"rows": 1}, metrics={"total": total})


STAGE = Stage(add, AddConfig, sharded=True, keeps=("kept",))
