"""Is a difference between two students real? Paired statistics over the same questions.

Scores are fractions from 0 to 1 per question (0 or 1 for accuracy), arrays of shape (seeds, questions). Questions are what is
drawn at random: an interval speaks about other questions of the same kind, with these trained students.
"""

import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy.stats import binomtest

Floats = NDArray[np.float64]
RESAMPLES = 10_000
DRAWS_AT_ONCE = 4_000_000
"""Bounds the memory of a resampling to some 32 MB, whatever the number of questions."""


@dataclass(frozen=True)
class Aligned:
    """Scores of two sides on the questions that every seed of both answered."""

    items: tuple[str, ...]
    baseline: Floats
    """(seeds of the baseline, questions)"""
    candidate: Floats
    """(seeds of the candidate, questions)"""
    unmatched: int
    """Questions that at least one seed of either side lacks; they are left out."""


@dataclass(frozen=True)
class Paired:
    """`difference` = candidate - baseline, as a fraction; the interval is the 95% bootstrap interval over questions."""

    difference: float
    ci_low: float
    ci_high: float
    p_value: float
    test: str
    """"exact McNemar" or "paired sign-flip permutation"."""
    n: int
    gained: int
    """Questions on which the candidate (mean of its seeds) is better."""
    lost: int


def align(baseline: Sequence[Mapping[str, float]], candidate: Sequence[Mapping[str, float]]) -> Aligned:
    """Match two sides by question; each side has one mapping question -> score per seed.

    Raises: ValueError when a side has no seed, or no question is common to all.
    """
    sides = [*baseline, *candidate]
    if not baseline or not candidate:
        raise ValueError("a comparison needs at least one seed on each side")
    everywhere = set(sides[0]).intersection(*sides[1:])
    if not everywhere:
        raise ValueError("the two sides have no question in common")
    items = tuple(item for item in sides[0] if item in everywhere)
    first, second = (np.array([[seed[item] for item in items] for seed in side], dtype=np.float64) for side in (baseline, candidate))
    return Aligned(items, first, second, len(set().union(*sides)) - len(items))


def compare(aligned: Aligned, resamples: int = RESAMPLES, seed: int = 0) -> Paired:
    """Difference, interval and p-value of two sides on the same questions; seeds are averaged inside each question.

    Exact McNemar where each side is one seed of rights and wrongs; otherwise sign-flip permutation of the question's differences.
    """
    before, after = aligned.baseline, aligned.candidate
    _require_scores(before)
    _require_scores(after)
    differences = np.round(after.mean(axis=0) - before.mean(axis=0), 12)  # 1/3 + 1/3 - 2/3 is a tie, not 1e-17
    gained, lost = int((differences > 0).sum()), int((differences < 0).sum())
    low, high = bootstrap_interval(differences, resamples, seed)
    if len(before) == len(after) == 1 and np.isin(np.concatenate([before, after]), (0.0, 1.0)).all():
        test, p_value = "exact McNemar", mcnemar(gained, lost)
    else:
        test, p_value = "paired sign-flip permutation", sign_flip(differences, resamples, seed)
    return Paired(math.fsum(differences) / differences.size, low, high, p_value, test, differences.size, gained, lost)


def bootstrap_interval(differences: Floats, resamples: int = RESAMPLES, seed: int = 0, level: float = 0.95) -> tuple[float, float]:
    """Percentile interval of the mean (Efron & Tibshirani 1993, ch. 13). `differences`: (questions,), each within -1..1.

    Drawing n questions with replacement only decides how often each distinct value is drawn, which is one multinomial draw:
    the same bootstrap, at a cost that does not grow with n for rights and wrongs.
    Two imagined questions are added, half a gain, half a loss and one tie (Agresti & Min 2005): without them the interval of few
    disagreements is too narrow (simulated at 20 of 400: covers 92.5%; with them 93.5%), and that of none has no width.
    """
    _require_scores(differences)
    values, places = np.unique(np.concatenate([differences, [-1.0, 0.0, 1.0]]), return_inverse=True)
    counts = np.bincount(places, weights=[*np.ones(differences.size), 0.5, 1.0, 0.5])
    random = np.random.default_rng(seed)
    at_once = max(1, DRAWS_AT_ONCE // values.size)
    sizes = [min(at_once, resamples - start) for start in range(0, resamples, at_once)]
    share = counts / counts.sum()
    means = np.concatenate([random.multinomial(differences.size, share, size=size) @ values for size in sizes]) / differences.size
    low, high = np.quantile(means, [(1 - level) / 2, (1 + level) / 2])
    return float(low), float(high)


def mcnemar(gained: int, lost: int) -> float:
    """Exact two-sided p-value (McNemar 1947, binomial form): is `gained` against `lost` unlike a fair coin? 1 without either."""
    return float(binomtest(gained, gained + lost).pvalue) if gained + lost else 1.0


def sign_flip(differences: Floats, resamples: int = RESAMPLES, seed: int = 0) -> float:
    """Two-sided p-value of a mean difference of 0: under it, each question's difference is as likely with the other sign.

    Never below 1 / (resamples + 1): the observed signs count as one of the permutations (Phipson & Smyth 2010).
    """
    _require_scores(differences)
    sizes, counts = np.unique(np.abs(differences[differences != 0]), return_counts=True)
    random = np.random.default_rng(seed)
    totals = np.zeros(resamples)
    for size, count in zip(sizes, counts, strict=True):
        totals += size * (2 * random.binomial(count, 0.5, size=resamples) - count)
    as_far = int((np.abs(totals) >= abs(differences.sum()) - 1e-9).sum())
    return (as_far + 1) / (resamples + 1)


def wilson_interval(right: float, n: int) -> tuple[float, float]:
    """95% interval of one accuracy, `right` of `n` (Wilson 1927); stays within 0..1 and is honest at 0 and n."""
    if n <= 0 or not 0 <= right <= n:
        raise ValueError(f"an accuracy needs 0 <= right <= n and n > 0, got {right} of {n}")
    z, share = 1.959963984540054, right / n
    middle = (share + z**2 / (2 * n)) / (1 + z**2 / n)
    half = z / (1 + z**2 / n) * ((share * (1 - share) + z**2 / (4 * n)) / n) ** 0.5
    return max(0.0, middle - half), min(1.0, middle + half)


def holm(p_values: Sequence[float]) -> list[float]:
    """P-values adjusted for having made all these comparisons (Holm 1979), in the order given."""
    adjusted, worst = [0.0] * len(p_values), 0.0
    for rank, index in enumerate(sorted(range(len(p_values)), key=lambda i: p_values[i])):
        worst = max(worst, min(1.0, p_values[index] * (len(p_values) - rank)))
        adjusted[index] = worst
    return adjusted


def majority(golds: Iterable[str]) -> tuple[str, float]:
    """The most frequent gold answer (the first in the alphabet of equally frequent ones) and its share of all."""
    answers, counts = np.unique(np.array(list(golds), dtype=str), return_counts=True)
    if not answers.size:
        raise ValueError("no gold answers to take a majority of")
    best = int(counts.argmax())
    return str(answers[best]), float(counts[best] / counts.sum())


def mean_of(values: Sequence[float]) -> float | None:
    """None without values: there is no mean of nothing."""
    return math.fsum(values) / len(values) if values else None


def spread_of(values: Sequence[float]) -> float | None:
    """Sample standard deviation, of seeds for instance; None for fewer than two values."""
    return float(np.std(values, ddof=1)) if len(values) > 1 else None


def _require_scores(scores: Floats) -> None:
    if scores.size == 0:
        raise ValueError("no scores: a comparison needs at least one question")
    if not np.isfinite(scores).all():
        raise ValueError("a score is not a number (NaN or infinite)")
