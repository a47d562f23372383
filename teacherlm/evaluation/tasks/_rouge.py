"""The measures of Super-NaturalInstructions (Wang et al. 2022): exact match, ROUGE-1 and ROUGE-L against the best of several references.

Each is a fraction from 0 to 1 for one prediction; over many it is their mean in percent, with four decimals.
"""

import math
from collections.abc import Callable, Mapping, Sequence
from functools import lru_cache
from typing import Any

from teacherlm.answers import normalise

METRICS = ("exact_match", "rouge1", "rougeL")
BY_EXACT_MATCH = (
    "Textual Entailment",
    "Cause Effect Classification",
    "Coreference Resolution",
    "Dialogue Act Recognition",
    "Answerability Classification",
    "Word Analogy",
)
BY_ROUGE = (
    "Overlap Extraction",
    "Keyword Tagging",
    "Question Rewriting",
    "Title Generation",
    "Data to Text",
    "Grammar Error Correction",
)


def group_name(category: str) -> str:
    """`Textual Entailment` -> `textual_entailment`, as the metrics are called."""
    return "_".join(category.lower().split())


METRIC_OF_CATEGORY: Mapping[str, str] = {
    **{group_name(category): "exact_match" for category in BY_EXACT_MATCH},
    **{group_name(category): "rougeL" for category in BY_ROUGE},
}
"""By which metric the paper judges each category of its test tasks."""


class GPT2Tokens:
    """Of texts in any language: GPT-2's byte-level tokens, without the mark of a space before them."""

    def __init__(self, folder: str) -> None:
        from transformers import AutoTokenizer

        self.tokenizer = AutoTokenizer.from_pretrained(folder)

    def tokenize(self, text: str) -> list[str]:
        return [token.lstrip("Ġ") for token in self.tokenizer.tokenize(text, verbose=False)]


@lru_cache(maxsize=4)
def build_scorer(gpt2: str | None = None) -> Callable[[str, str], Mapping[str, float]]:
    """(prediction, reference) -> metric -> score. Words are stemmed; with `gpt2`, the folder of its tokenizer, they are GPT-2's tokens.

    Raises: OSError or ValueError where there is no tokenizer.
    """
    from rouge_score.rouge_scorer import RougeScorer

    names = [name for name in METRICS if name.startswith("rouge")]
    scorer = RougeScorer(names, tokenizer=GPT2Tokens(gpt2)) if gpt2 else RougeScorer(names, use_stemmer=True)

    def score(prediction: str, reference: str) -> dict[str, float]:
        found = scorer.score(target=reference, prediction=prediction)
        exact = normalise(prediction, "text") == normalise(reference, "text")
        return {"exact_match": float(exact), **{name: float(found[name].fmeasure) for name in names}}

    return score


@lru_cache(maxsize=100_000)
def best_scores(prediction: str, references: tuple[str, ...], gpt2: str | None = None) -> Mapping[str, float]:
    """Of every metric the score against the reference that suits it best. Remembered: what copies a task is scored for every student."""
    scores = [build_scorer(gpt2)(prediction, reference) for reference in references]
    return {name: max(one[name] for one in scores) for name in METRICS}


def percent(values: Sequence[float]) -> float:
    """The mean, times 100, with four decimals."""
    return round(100 * math.fsum(values) / len(values), 4)


class InPercent(dict[str, Any]):
    """Aggregation of every metric, however it is called: those of a group are known only when its questions are."""

    scale = 100
    """What the values of all are, where those of one item are from 0 to 1."""

    def __missing__(self, metric: str) -> Any:
        return percent

    def get(self, metric: str, default: Any = None) -> Any:
        return self[metric]
