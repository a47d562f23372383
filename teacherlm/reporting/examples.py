"""Questions side by side: what each student said, what the teacher had said, what the students were taught with."""

import random
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from teacherlm.records import OUR_COLUMNS
from teacherlm.reporting.groups import Measurement
from teacherlm.reporting.history import Job
from teacherlm.reporting.predictions import Prediction
from teacherlm.store.files import read_jsonl

OUTCOMES = ("gained", "lost", "both right", "both wrong")
RATIONALES = ("cot", "error", "fundamental")
LAYOUTS = ("tail", "head", "think", "finish")
"""Endings of a kind's columns that hold no verdict of a gate."""


@dataclass(frozen=True)
class Example:
    outcome: str
    """One of OUTCOMES: the candidate of the headline beside the baseline."""
    item: str
    prompt: str
    gold: str
    rationale: str
    """The teacher's, where it wrote one for this question; else ""."""
    said: tuple[tuple[str, Prediction, bool | None], ...]
    """(trained_on, what it answered, whether that was right) of the first seed of each."""


@dataclass(frozen=True)
class Taught:
    """A row of `postprocess`: kept for training, or rejected for a reason."""

    prompt: str
    texts: Mapping[str, str]
    reason: str = ""
    verdicts: Mapping[str, str] = field(default_factory=dict)
    """What the gates said of it: `cot_agreement` -> right."""


def count_outcomes(baseline: Measurement, candidate: Measurement) -> dict[str, list[str]]:
    """Outcome -> the questions with it, in the order of the baseline's file; questions missing on a side are left out."""
    found: dict[str, list[str]] = {outcome: [] for outcome in OUTCOMES}
    after, places = candidate.scores.tolist(), candidate.answers.numbers
    for item, before in zip(baseline.answers.items, baseline.scores.tolist(), strict=True):
        if item in places:
            found[_outcome(before, after[places[item]])].append(item)
    return found


def _outcome(before: float, after: float) -> str:
    if before == after:
        return "both right" if after >= 0.5 else "both wrong"
    return "gained" if after > before else "lost"


def draw_items(outcomes: Mapping[str, Sequence[str]], count: int) -> list[tuple[str, str]]:
    """(outcome, question): drawn at random with a fixed seed, in turn from each outcome until there are `count`."""
    drawer = random.Random(0)
    piles = {outcome: drawer.sample(list(items), min(count, len(items))) for outcome, items in outcomes.items()}
    drawn = [(rank, outcome, item) for outcome, pile in piles.items() for rank, item in enumerate(pile)]
    kept = sorted(drawn, key=lambda one: (one[0], OUTCOMES.index(one[1])))[:count]
    return [(outcome, item) for _, outcome, item in sorted(kept, key=lambda one: OUTCOMES.index(one[1]))]


def build_examples(drawn: Iterable[tuple[str, str]], members: Mapping[str, Measurement], rationales: Mapping[str, str]) -> list[Example]:
    """`members`: trained_on -> one seed; a student that lacks the question is left out of that example."""
    examples = []
    for outcome, item in drawn:
        rows = {name: one.answers.row(item) for name, one in members.items() if item in one.answers.numbers}
        said = tuple((name, row, _is_right(members[name], row)) for name, row in rows.items())
        first = next(iter(rows.values()))
        examples.append(Example(outcome, item, first.prompt, first.gold, rationales.get(item, ""), said))
    return examples


def _is_right(one: Measurement, row: Prediction) -> bool | None:
    """None where the metric knows no right and wrong of a single question."""
    return row.correct[one.result.metric] >= 0.5 if one.answers.is_share(one.result.metric) else None


def find_rationales(jobs: Iterable[Job], items: Iterable[str]) -> dict[str, str]:
    """The teacher's first rationale for these questions: often none, as students are tested on what was not taught."""
    wanted, found = set(items), dict[str, str]()
    for dataset in _datasets(jobs):
        column = next((kind for kind in RATIONALES if kind in dataset.column_names), None)
        if column is None or "id" not in dataset.column_names:
            continue
        for place, item in enumerate(dataset.data.column("id").to_pylist()):
            if str(item) in wanted and str(item) not in found:
                found[str(item)] = str(dataset[place][column])
    return found


def read_taught(jobs: Sequence[Job], columns: Sequence[str], count: int) -> tuple[list[Taught], list[Taught]]:
    """The first kept rows with the texts trained on, and the first rejected ones with their reasons."""
    kept = [_taught(row, columns) for dataset in _datasets(jobs) for row in dataset.select(range(min(count, len(dataset))))]
    rejects = [job.path / "rejected.jsonl" for job in jobs if job.manifest.stage == "postprocess"]
    written = [path for path in rejects if path.is_file() and path.stat().st_size]
    rejected = [_taught(row, RATIONALES) for path in written for _, row in _first(path, count)]
    return kept[:count], rejected[:count]


def _first(path: Path, count: int) -> Iterable[tuple[int, dict[str, Any]]]:
    return (row for row, _ in zip(read_jsonl(path), range(count), strict=False))


def _taught(row: Mapping[str, Any], columns: Sequence[str]) -> Taught:
    texts = {name: str(row[name]) for name in columns if row.get(name) and name not in OUR_COLUMNS}
    prompt, reason = str(row.get("prompt") or row.get("text") or ""), str(row.get("reason") or "")
    return Taught(prompt, texts, reason, {name: row[name] for name in row if _is_verdict(name, row[name])})


def _is_verdict(column: str, value: Any) -> bool:
    """`cot_verdict`: a kind and a gate, with the word that the gate found."""
    kind, _, gate = column.partition("_")
    return kind in RATIONALES and gate not in ("", *LAYOUTS) and isinstance(value, str) and 0 < len(value) < 40


def _datasets(jobs: Iterable[Job]) -> Iterable[Any]:
    folders = [job.path for job in jobs if job.manifest.stage == "postprocess" and (job.path / "dataset_info.json").is_file()]
    if folders:
        from datasets import load_from_disk  # heavy: only where there is something to read

        yield from (load_from_disk(str(folder)) for folder in folders)
