"""Checkpoints of a training that is under way, as they are written."""

import time
from collections.abc import Collection, Iterator
from pathlib import Path

from teacherlm.errors import UserError
from teacherlm.evaluation.kept import heed_wish
from teacherlm.evaluation.students import Student, student_of
from teacherlm.log import say
from teacherlm.store.checkpoints import COMPLETE, read_checkpoint
from teacherlm.store.manifest import begun_fingerprint, read_manifest

EVERY_SECONDS = 1.0


def arriving(model: str) -> Iterator[Student]:
    """Each complete checkpoint of an output of `finetune`, by step, until its training is finished and none is left.

    Raises: UserError for what is no such output; Stopped where a signal asks for it.
    """
    run = Path(model)
    if begun_fingerprint(run) is None:
        raise UserError(f"watch: {model} is no output of `finetune` that has begun; measure it without watch.")
    say(f"watching {run}: its checkpoints are measured as they are written, until the training is finished; Ctrl-C ends it.")
    seen: set[str] = set()
    while True:
        finished = read_manifest(run) is not None  # looked at first: what is written before it is then seen below
        arrived = _complete(run, seen)
        seen |= {student.path for student in arrived}
        yield from (student for student in arrived if _is_there(Path(student.path)))
        if finished:
            return
        _wait(arrived)


def _complete(run: Path, seen: Collection[str]) -> list[Student]:
    """Those not seen yet, by step. One that is being written has no seal yet, which is no news."""
    sealed = [folder for folder in run.glob("checkpoint-*") if str(folder) not in seen and (folder / COMPLETE).is_file()]
    return sorted(filter(None, map(_read, sealed)), key=lambda student: student.step or 0)


def _read(folder: Path) -> Student | None:
    """None for a torn one, and while the training takes files of it away: one of which it took its state alone comes the next time."""
    try:
        checkpoint = read_checkpoint(folder)
        return student_of(checkpoint) if checkpoint else None
    except FileNotFoundError:
        _is_there(folder)
        return None


def _is_there(folder: Path) -> bool:
    there = (folder / COMPLETE).is_file()
    if not there:
        say(f"{folder.name}: the training has removed it before it could be measured.")
    return there


def _wait(arrived: list[Student]) -> None:
    until = time.monotonic() + (0 if arrived else EVERY_SECONDS)
    heed_wish()
    while time.monotonic() < until:
        time.sleep(0.05)
        heed_wish()
