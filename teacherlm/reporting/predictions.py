"""The answers of one checkpoint to the questions of a task: numbers of all of them in arrays, texts read again where they are shown."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import orjson
from numpy.typing import NDArray

from teacherlm.errors import UserError
from teacherlm.store.files import read_jsonl_from

Floats = NDArray[np.float64]
ROUNDING = 1e-3
"""How far a value that was written with few digits may be from the mean of its questions."""
SHARES = ("acc", "acc_norm", "exact_match")
"""Metrics whose score of a question is from 0 to 1, whatever else a task may call so."""


class Prediction(NamedTuple):
    """One question as one checkpoint answered it."""

    item: str
    prompt: str
    gold: str
    answer: str
    """What was understood as its answer; "" when nothing was."""
    output: str
    correct: Mapping[str, float]
    """Metric -> score."""
    tokens: int | None = None


@dataclass(frozen=True)
class Predictions:
    """The file of one measurement, read once; the arrays have one entry per question, in its order."""

    path: Path
    items: tuple[str, ...] = field(repr=False)
    golds: tuple[str, ...] = field(repr=False)
    choices: tuple[int, ...] = field(repr=False)
    """How many answers there are to choose from; 0 where that is not known."""
    tokens: tuple[int | None, ...] = field(repr=False)
    """Tokens written."""
    values: Mapping[str, Floats] = field(repr=False)
    """Metric -> scores (questions,); NaN where a row has none."""
    partial: frozenset[str] = field(repr=False)
    """Metrics that some rows do not name: those of a category, or of one kind of question."""
    places: tuple[tuple[int, int], ...] = field(repr=False)
    """Line number and byte offset behind the row."""

    @cached_property
    def numbers(self) -> dict[str, int]:
        """Question -> its place in the arrays."""
        return {item: number for number, item in enumerate(self.items)}

    @cached_property
    def known_choices(self) -> tuple[int, ...]:
        return self.choices if self.choices and all(self.choices) else ()

    def has(self, metric: str) -> bool:
        """Whether all single questions have a score; a correlation stands over all of them at once. A share of right answers has to."""
        return metric in self.values and (metric.split(",")[0] in SHARES or metric not in self.partial)

    def is_mean(self, metric: str, value: float, n: int) -> bool:
        """Whether a value of n questions is the mean of these; a task may weigh them otherwise. Rows that were lost are said elsewhere."""
        return n != len(self.items) or abs(float(self.scores(metric).mean()) - value) <= ROUNDING * max(1.0, abs(value))

    def scores(self, metric: str) -> Floats:
        """(questions,). Raises: UserError naming file and line for a row without a score, and for one that cannot be."""
        found = self.values.get(metric)
        bad = 0 if found is None else next(iter(np.flatnonzero(~np.isfinite(found))), None)
        if found is None or bad is not None:
            raise self._without_score(int(bad or 0), metric)
        if metric.split(",")[0] in SHARES:
            outside = np.flatnonzero((found < 0) | (found > 1))
            if outside.size:
                at = int(outside[0])
                raise UserError(
                    f"{self._line(at)}: the score '{metric}' of item '{self.items[at]}' is {found[at]}; it must be from 0 to 1."
                )
        return found

    def is_share(self, metric: str) -> bool:
        """Whether the metric is a share of right answers: every question scored 0 or 1."""
        return metric in self.values and bool(np.isin(self.values[metric], (0.0, 1.0)).all())

    def row(self, item: str) -> Prediction:
        """With its texts, read from the file."""
        number = self.numbers[item]
        with self.path.open("rb") as file:
            file.seek(self._begin(number))
            return _prediction(orjson.loads(file.read(self.places[number][1] - self._begin(number))))

    def _begin(self, number: int) -> int:
        return self.places[number - 1][1] if number else 0

    def _line(self, number: int) -> str:
        return f"{self.path}:{self.places[number][0]}"

    def _without_score(self, number: int, metric: str) -> UserError:
        correct = self.row(self.items[number]).correct
        if metric not in correct:
            return UserError(f"{self._line(number)}: key '{metric}' is missing (found: {', '.join(correct)}).")
        return UserError(f"{self._line(number)}: the score '{metric}' of item '{self.items[number]}' is nan; it must be a number.")


def read_predictions(path: Path) -> Predictions:
    """Raises: UserError naming file and line for a row without item, prompt, gold or scores, or an item that comes twice."""
    items, golds, choices, tokens, corrects, places = [], [], [], [], [], []
    for line, end, row in read_jsonl_from(path):
        try:
            items.append(str(row["item"]))
            golds.append(str(row["gold"]))
            corrects.append(row["correct"])
            row["prompt"]
        except KeyError as missing:
            raise UserError(f"{path}:{line}: key {missing} is missing (found: {', '.join(row)}).") from None
        choices.append(_count_choices(row))
        tokens.append(row.get("tokens"))
        places.append((line, end))
    if not items:
        raise UserError(f"{path}: the file has no rows.")
    if len(set(items)) < len(items):
        seen: set[str] = set()
        again = next(i for i, item in enumerate(items) if item in seen or seen.add(item))  # type: ignore[func-returns-value]
        raise UserError(f"{path}:{places[again][0]}: item '{items[again]}' comes twice; items must be unique to be compared.")
    return Predictions(
        path, tuple(items), tuple(golds), tuple(choices), tuple(tokens), _arrays(corrects), _partial(corrects), tuple(places)
    )


def _arrays(corrects: Sequence[Mapping[str, Any]]) -> dict[str, Floats]:
    """A task may have a metric for each of hundreds of categories, which most questions lack."""
    first = corrects[0].keys()
    if all(correct.keys() == first for correct in corrects):
        return {name: np.array([correct[name] for correct in corrects], dtype=np.float64) for name in first}
    found: dict[str, Floats] = {}
    for number, correct in enumerate(corrects):
        for name, score in correct.items():
            if name not in found:
                found[name] = np.full(len(corrects), np.nan)
            found[name][number] = np.nan if score is None else score
    return found


def _partial(corrects: Sequence[Mapping[str, Any]]) -> frozenset[str]:
    kinds = {frozenset(correct) for correct in corrects}
    return frozenset().union(*kinds) - frozenset.intersection(*kinds)


def _count_choices(row: Mapping[str, Any]) -> int:
    if isinstance(given := row.get("choices"), (int, list)):
        return given if isinstance(given, int) else len(given)
    output = row.get("output")
    return len(output) if isinstance(output, list) and output and isinstance(output[0], float) else 0


def _prediction(row: Mapping[str, Any]) -> Prediction:
    answer = "" if row.get("answer") is None else str(row["answer"])
    return Prediction(
        str(row["item"]), str(row["prompt"]), str(row["gold"]), answer, _shown(row.get("output")), row["correct"], row.get("tokens")
    )


def _shown(output: Any) -> str:
    """What a model wrote, or the log-likelihoods it gave to the choices, as one text."""
    if isinstance(output, list) and output and all(isinstance(value, float) for value in output):
        return "log-likelihood of each choice: " + ", ".join(f"{value:.2f}" for value in output)
    return "\n".join(map(str, output)) if isinstance(output, list) else str(output or "")


class Shelf:
    """Every file of predictions is read once, by whoever asks first."""

    def __init__(self) -> None:
        self._read: dict[Path, Predictions] = {}

    def take(self, path: Path) -> Predictions:
        if path not in self._read:
            self._read[path] = read_predictions(path)
        return self._read[path]
