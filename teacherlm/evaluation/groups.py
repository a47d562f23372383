"""A group of tasks as one: `mmlu` over all questions of its subjects, so that students are compared on it question by question."""

from collections.abc import Iterator, Sequence
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from teacherlm.evaluation.cells import Cell
from teacherlm.evaluation.measured import Metric, Result, measured
from teacherlm.store.files import read_jsonl
from teacherlm.store.fingerprint import digest

if TYPE_CHECKING:
    from teacherlm.evaluation.loading import LoadedTask

ROUNDING = 1e-9


def group_cells(cells: Sequence[Cell], output: Path) -> list[Cell]:
    """One for each student, group that was asked for by name, and number of shots, of which every task was measured.

    Its metrics are the means over all questions (each counts once, as lm-eval's `weight_by_size`), of those that are means in each task.
    """
    found = []
    tasks: dict[str, LoadedTask] = {}
    for name, shots, own in _whole_groups(cells):
        results = [cell.measured.read() for cell in own]
        if any(result is None for result in results):
            continue
        content = digest(name, *(cell.task.content for cell in own))
        task = tasks.setdefault(content, replace(own[0].task, name=name, content=content, shots=shots, groups={}))
        place = measured(output, own[0].student.content, content, {"of": [cell.measured.folder.name for cell in own]})
        cell = replace(own[0], task=task, measured=place)
        if cell.measured.read() is None:
            _write(cell, own, [result for result in results if result])
        if cell.measured.read() is not None:
            found.append(cell)
    return found


def _whole_groups(cells: Sequence[Cell]) -> Iterator[tuple[str, int, list[Cell]]]:
    """(group, shots, a cell for each of its tasks) of each student and way of asking; none where a task is missing at this number."""
    kinds: dict[tuple[Any, ...], list[Cell]] = {}
    for cell in cells:
        for name in cell.task.groups:
            kinds.setdefault((name, cell.student.path, bool(cell.task.turns)), []).append(cell)
    for (name, *_), own in kinds.items():
        told: list[list[Cell]] = []
        for number in dict.fromkeys(number for cell in own for number in sorted(cell.task.asked)):
            found = [cell for cell in own if number in cell.task.asked]
            if {cell.task.name for cell in found} == set(own[0].task.groups[name]) and found not in told:
                told.append(found)
                yield name, _shots(found, number), found


def _shots(cells: Sequence[Cell], asked: int) -> int:
    """What was asked for, unless no task took it: then their own."""
    own = {cell.task.shots for cell in cells}
    return own.pop() if len(own) == 1 else asked


def _write(cell: Cell, own: Sequence[Cell], results: Sequence[Result]) -> None:
    """Nothing where the tasks share no metric."""
    from lm_eval.api.metrics import mean_stderr

    rows = [
        {**row, "item": f"{one.task.name}/{row['item']}", "doc_id": number}
        for number, (one, row) in enumerate((one, row) for one in own for _, row in read_jsonl(one.measured.predictions))
    ]
    metrics = []
    for first in results[0].metrics:
        if all(_is_mean(first.name, one, result) for one, result in zip(own, results, strict=True)):
            values = [row["correct"][first.name] for row in rows]
            stderr = float(mean_stderr(values)) if len(values) > 1 else None
            better = {metric.higher_is_better for result in results for metric in result.metrics if metric.name == first.name}
            agreed = first.higher_is_better if len(better) == 1 else None
            metrics.append(Metric(first.name, sum(values) / len(values), stderr, len(values), higher_is_better=agreed))
    if metrics:
        told = replace(
            results[0],
            metrics=tuple(metrics),
            tokens=sum(result.tokens for result in results),
            seconds=sum(result.seconds for result in results),
            shots_shown=_shots_shown(cell, own, results),
        )
        cell.measured.write(rows, [], told)


def _shots_shown(cell: Cell, own: Sequence[Cell], results: Sequence[Result]) -> float | None:
    """Over all questions; a task that keeps its 0 shows none."""
    counts = [result.metrics[0].n for result in results]
    means = [one.task.shots if result.shots_shown is None else result.shots_shown for one, result in zip(own, results, strict=True)]
    shown = sum(mean * count for mean, count in zip(means, counts, strict=True)) / sum(counts)
    return shown if shown < cell.task.shots else None


def _is_mean(name: str, cell: Cell, result: Result) -> bool:
    found = next((metric for metric in result.metrics if metric.name == name), None)
    values = [row["correct"].get(name) for _, row in read_jsonl(cell.measured.predictions)]
    if found is None or found.scale != 1 or None in values or not values:
        return False
    return bool(abs(found.value - sum(values) / len(values)) < ROUNDING)
