"""Asks a student what it was not asked yet, and writes down what it said and scored."""

import shutil
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from itertools import groupby
from typing import TYPE_CHECKING

from teacherlm.evaluation.cells import Cell
from teacherlm.evaluation.failures import Failures
from teacherlm.evaluation.kept import FOLDER, heed_wish, kept_in
from teacherlm.evaluation.measured import Result
from teacherlm.evaluation.permuting import combined
from teacherlm.evaluation.students import LoadOptions
from teacherlm.log import say

if TYPE_CHECKING:
    from teacherlm.engines.bodies.held import Held
    from teacherlm.evaluation.harness import EngineLM, HostedLM


@dataclass
class Measuring:
    """Brings one student after another into memory."""

    options: LoadOptions
    failures: Failures
    held: "Held | None" = None
    """The base beneath adapters, for the next of them."""

    def measure_all(self, cells: Sequence[Cell]) -> None:
        """Each student, loaded once, on the tasks it was not measured on yet; one that fails does not keep it from the next.

        Raises: Stopped where a signal asks for it.
        """
        for path, own in groupby(cells, key=lambda cell: cell.student.path):
            heed_wish()
            with self.failures.noted(path, "loading it"):
                self._measure(list(own))

    def _measure(self, cells: Sequence[Cell]) -> None:
        """Those of one student, which leaves the memory with them."""
        from teacherlm.engines.bodies.held import Held
        from teacherlm.evaluation.harness import build_student

        self.held = self.held or Held()
        student = build_student(cells[0].student, self.options, self.held)
        for cell in cells:
            with self.failures.noted(f"task '{cell.task.name}'"):
                measure(student, cell)


def measure(student: "EngineLM | HostedLM", cell: Cell) -> None:
    from teacherlm.evaluation.harness import ask
    from teacherlm.evaluation.scoring import predicted_examples, score

    started = time.monotonic()
    with kept_in(cell.measured.folder) as (student.kept, before), _as_taught(cell, student):
        shown = _fewer_shots(cell)
        predictions, metrics = score(cell.task, ask(student, cell.task))
        examples = [] if cell.task.turns else predicted_examples(cell.task, predictions)
        if cell.task.turns:
            predictions, metrics = combined(cell.task, predictions)
        encoding = student.encoding(cell.task)
    seconds = before + time.monotonic() - started
    begun = next((row["begun"] for row in predictions if row.get("begun")), "")
    result = Result(metrics, sum(row["tokens"] for row in predictions), seconds, begun, encoding, shown)
    cell.measured.write(predictions, examples, result)
    forget_answers(cell)
    first = metrics[0]
    spread = f" ± {first.stderr:.3f}" if first.stderr is not None else ""
    say(f"{cell.student.name} {cell.task.name}: {first.name} {first.value:.3f}{spread} on {first.n} questions, {seconds:.1f} s")


def _fewer_shots(cell: Cell) -> float | None:
    """How many stand before a question on average, where these are fewer than were asked for; it is said."""
    from teacherlm.evaluation.shots import mean_shown

    shown = mean_shown(cell.task)
    if shown is None or shown >= cell.task.shots:
        return None
    told = f"{shown:.2f} of {cell.task.shots} shots stand before a question on average; the first are left out where not all fit."
    say(f"warning: {cell.student.name} {cell.task.name}: {told}")
    return shown


def forget_answers(cell: Cell) -> None:
    """Of a measurement that is written."""
    shutil.rmtree(cell.measured.folder / FOLDER, ignore_errors=True)


@contextmanager
def _as_taught(cell: Cell, student: "EngineLM | HostedLM") -> Iterator[None]:
    """Behind an API the server puts the turns, and nobody here knows how long its context is."""
    from teacherlm.evaluation.harness import EngineLM, WritingLM
    from teacherlm.evaluation.shots import whole_shots
    from teacherlm.evaluation.turns import put_in_turns

    if not isinstance(student, (EngineLM, WritingLM)):
        yield
        return
    prefix = cell.student.prefix
    with whole_shots(cell.task, student, prefix), put_in_turns(cell.task, cell.chat, student, cell.student.path, prefix):
        yield
