"""Scores from 0 to 1, for lm-eval: the rows, the score in two log-likelihoods, and how scores are compared with targets.

Pairs are (target, score). A target or score above 0.5 is a yes. Where a number is not defined it says that nothing was found: a
correlation with something constant is 0 (p 1), the AUC of a single class 0.5.
"""

import json
import math
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from datasets import Dataset, DatasetDict, load_from_disk

from teacherlm.evaluation.tasks._questions import read_lines

Pair = tuple[float, float]
WORDS = (" no", " yes")
THRESHOLD = 0.5
BINS = 10


def dataset(
    data: str | None = None,
    split: str | None = None,
    words: Sequence[str] = WORDS,
    input: str = "prompt",
    target: str = "target",
    renormalise: Sequence[float] = (0.0, 1.0),
    **_: Any,
) -> dict[str, Dataset]:
    """The split `test` with `id`, `prompt`, `target` (0 to 1), `words`, `orig_d` (the row as JSON) and every other column of the rows.

    `data` is the folder written by `prepare`, or a .jsonl with a prompt and a target in each row. `split` names what is measured; without
    it, it is the only split, else `test`, else `validation`. `renormalise`: the lowest and the highest target.
    Raises: ValueError naming what is missing, and the row whose target is outside its range.
    """
    if data is None:
        raise ValueError("`data` is missing: give the folder written by `prepare`, or a .jsonl with prompt and target.")
    rows = _rows(Path(data), split)
    if not rows:
        raise ValueError(f"{data}: there are no rows.")
    return {"test": Dataset.from_list([_doc(row, i, data, (input, target), words, renormalise) for i, row in enumerate(rows)])}


def _rows(path: Path, split: str | None) -> list[dict[str, Any]]:
    if path.is_file():
        return [row for _, row in read_lines(path)]
    if not (path / "dataset_dict.json").is_file():
        raise ValueError(f"{path}: expected a folder written by `prepare` (it holds dataset_dict.json), or a .jsonl.")
    splits: DatasetDict = load_from_disk(str(path))
    wanted = [split] if split else [*splits] if len(splits) == 1 else ["test", "validation"]
    found = next((name for name in wanted if name in splits), None)
    if found is None:
        raise ValueError(f"{path}: has no split {' or '.join(repr(name) for name in wanted)} (found: {', '.join(splits)}).")
    return list(splits[found])


def _doc(row: dict[str, Any], i: int, data: str, columns: tuple[str, str], words: Sequence[str], ends: Sequence[float]) -> dict[str, Any]:
    for column in columns:
        if column not in row:
            raise ValueError(f"{data}: row {i} has no column '{column}' (found: {', '.join(row)}).")
    (low, high), text, value = ends, row[columns[0]], row[columns[1]]
    if not isinstance(text, str) or not text.strip():
        raise ValueError(f"{data}: row {i}: '{columns[0]}' is {text!r:.80}, expected text.")
    if isinstance(value, bool) or not isinstance(value, (int, float)) or not low <= value <= high:
        raise ValueError(f"{data}: row {i}: '{columns[1]}' is {value!r:.80}, expected a number from {low:g} to {high:g}.")
    # The word brings its own space, as in training.
    told = {"id": str(row.get("id", i)), "prompt": text.rstrip(), "target": (value - low) / (high - low), "words": list(words)}
    return {**row, **told, "orig_d": json.dumps(row, ensure_ascii=False, default=str)}


def gold(doc: dict[str, Any]) -> int:
    return int(doc["target"] > THRESHOLD)


def score(doc: dict[str, Any], results: Sequence[tuple[float, bool]]) -> dict[str, Any]:
    """Of each pair of log-likelihoods the score; what is compared over all rows carries the pair (target, score)."""
    (no, _), (yes, _) = results
    found = 0.5 * (1 + math.tanh((yes - no) / 2))  # the sigmoid, without overflow
    pair = (doc["target"], found)
    together = ("spearman", "spearman_p", "pearson", "rmse", "auc", "optimal_acc", "optimal_threshold", "calibration_error")
    return {**dict.fromkeys(together, pair), "acc": float(gold(doc) == (found > THRESHOLD)), "score": found}


def spearman(pairs: Sequence[Pair]) -> float:
    from scipy.stats import spearmanr

    return float(spearmanr(*zip(*pairs, strict=True)).statistic) if _both_vary(pairs) else 0.0


def spearman_p(pairs: Sequence[Pair]) -> float:
    """Of scipy's t-test; nothing can be said of fewer than three rows."""
    from scipy.stats import spearmanr

    return float(spearmanr(*zip(*pairs, strict=True)).pvalue) if _both_vary(pairs) and len(pairs) > 2 else 1.0


def pearson(pairs: Sequence[Pair]) -> float:
    from scipy.stats import pearsonr

    return float(pearsonr(*zip(*pairs, strict=True)).statistic) if _both_vary(pairs) else 0.0


def _both_vary(pairs: Sequence[Pair]) -> bool:
    return all(len(set(values)) > 1 for values in zip(*pairs, strict=True))


def rmse(pairs: Sequence[Pair]) -> float:
    return math.sqrt(math.fsum((target - found) ** 2 for target, found in pairs) / len(pairs))


def auc(pairs: Sequence[Pair]) -> float:
    """How often a text above 0.5 has a higher score than one that is not, ties counting half."""
    from sklearn.metrics import roc_auc_score

    truth = [target > THRESHOLD for target, _ in pairs]
    return float(roc_auc_score(truth, [found for _, found in pairs])) if len(set(truth)) > 1 else 0.5


def optimal_acc(pairs: Sequence[Pair]) -> float:
    """Share of right answers at the best threshold. It is chosen on the same rows, so it is an upper bound."""
    return _best(pairs)[0]


def optimal_threshold(pairs: Sequence[Pair]) -> float:
    """Scores of at least so much are a yes; the lowest of several that do equally well, and infinity would be none: then 1."""
    return _best(pairs)[1]


def _best(pairs: Sequence[Pair]) -> tuple[float, float]:
    """(accuracy, threshold): every score is tried as a threshold, and none at all."""
    ordered = sorted((found, target > THRESHOLD) for target, found in pairs)
    right = sum(truth for _, truth in ordered)  # everything is a yes
    best, threshold = right, ordered[0][0]
    for i, (_, truth) in enumerate(ordered, start=1):
        right += 1 - 2 * truth
        last = i == len(ordered)
        if right > best and (last or ordered[i][0] != ordered[i - 1][0]):
            best, threshold = right, 1.0 if last else ordered[i][0]
    return best / len(ordered), threshold


def calibration_map(pairs: Sequence[Pair], bins: int = BINS) -> list[dict[str, float]]:
    """By tenths of the score: {from, to, n, score, target}, the last two the means in it; empty ones are left out."""
    inside: dict[int, list[Pair]] = {}
    for pair in pairs:
        inside.setdefault(min(bins - 1, int(pair[1] * bins)), []).append(pair)
    return [
        {
            "from": place / bins,
            "to": (place + 1) / bins,
            "n": len(found),
            "score": math.fsum(one for _, one in found) / len(found),
            "target": math.fsum(one for one, _ in found) / len(found),
        }
        for place, found in sorted(inside.items())
    ]


def calibration_error(pairs: Sequence[Pair]) -> float:
    """Mean distance of score and target over the calibration map, each tenth by its rows (expected calibration error)."""
    return math.fsum(one["n"] * abs(one["score"] - one["target"]) for one in calibration_map(pairs)) / len(pairs)
