"""Checkpoints of a training that is under way, as they are written."""

import time
from collections.abc import Iterator
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
        arrived = [student for student in _complete(run) if student.path not in seen]
        seen |= {student.path for student in arrived}
        yield from (student for student in arrived if _is_there(student))
        if finished:
            return
        _wait(arrived)


def _complete(run: Path) -> list[Student]:
    """One that is being written has no seal yet, which is no news."""
    sealed = [folder for folder in run.glob("checkpoint-*") if (folder / COMPLETE).is_file()]
    found = [checkpoint for folder in sealed if (checkpoint := read_checkpoint(folder))]
    return [student_of(checkpoint) for checkpoint in sorted(found, key=lambda checkpoint: checkpoint.step)]


def _is_there(student: Student) -> bool:
    there = Path(student.path, COMPLETE).is_file()
    if not there:
        say(f"{student.name}: the training has removed it before it could be measured.")
    return there


def _wait(arrived: list[Student]) -> None:
    until = time.monotonic() + (0 if arrived else EVERY_SECONDS)
    heed_wish()
    while time.monotonic() < until:
        time.sleep(0.05)
        heed_wish()
