"""Asks a student what it was not asked yet, and writes down what it said and scored."""

import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import TYPE_CHECKING

from teacherlm.evaluation.cells import Cell
from teacherlm.evaluation.failures import Failures
from teacherlm.evaluation.measured import Result
from teacherlm.evaluation.students import LoadOptions
from teacherlm.log import say

if TYPE_CHECKING:
    from teacherlm.evaluation.harness import EngineLM, HostedLM


def measure_all(cells: Sequence[Cell], options: LoadOptions, failures: Failures) -> None:
    """One student, loaded once, on the tasks it was not measured on yet; one that fails does not keep it from the next."""
    if not cells:
        return
    from teacherlm.evaluation.harness import build_student

    student = build_student(cells[0].student, options)
    for cell in cells:
        with failures.noted(f"task '{cell.task.name}'"):
            measure(student, cell)


def measure(student: "EngineLM | HostedLM", cell: Cell) -> None:
    from teacherlm.evaluation.harness import ask
    from teacherlm.evaluation.scoring import predicted_examples, score

    started = time.monotonic()
    with _as_taught(cell, student):
        predictions, metrics = score(cell.task, ask(student, cell.task))
        encoding = student.encoding(cell.task)
    seconds = time.monotonic() - started
    begun = next((row["begun"] for row in predictions if row.get("begun")), "")
    result = Result(metrics, sum(row["tokens"] for row in predictions), seconds, begun, encoding)
    cell.measured.write(predictions, predicted_examples(cell.task, predictions), result)
    first = metrics[0]
    spread = f" ± {first.stderr:.3f}" if first.stderr is not None else ""
    say(f"{cell.student.name} {cell.task.name}: {first.name} {first.value:.3f}{spread} on {first.n} questions, {seconds:.1f} s")


@contextmanager
def _as_taught(cell: Cell, student: "EngineLM | HostedLM") -> Iterator[None]:
    """Behind an API the server puts the turns, and nobody here knows how long its context is."""
    from teacherlm.evaluation.harness import EngineLM
    from teacherlm.evaluation.shots import whole_shots
    from teacherlm.evaluation.turns import put_in_turns

    if not isinstance(student, EngineLM):
        yield
        return
    prefix = cell.student.prefix
    with whole_shots(cell.task, student, prefix), put_in_turns(cell.task, cell.chat, student, cell.student.path, prefix):
        yield
