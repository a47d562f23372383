"""Completions scored against gold answers, one by one and together: the four measures of Fine-tune-CoT."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from teacherlm.answers import AnswerRule, as_rule, find_candidates


@dataclass(frozen=True)
class Score:
    """One completion."""

    correct: bool
    contains_answer: bool
    """The right answer is among the candidates."""
    correct_format: bool
    """The prefix is there, or none is asked for."""
    complete: bool | None
    """The model ended by itself (finish reason `stop`); None where nothing says how it ended."""
    found: str | None
    """The answer that counted, normalised."""


@dataclass(frozen=True)
class Summary:
    """Shares between 0 and 1 over `n` completions."""

    n: int
    accuracy: float
    contains_answer: float
    correct_format: float
    complete: float | None
    """None where nothing says how any of them ended."""


def score_completion(
    completion: str,
    answer: str,
    rule: str | AnswerRule,
    *,
    prefix: str | Sequence[str] = (),
    choices: Sequence[str] = (),
    finish_reason: str | None = None,
) -> Score:
    chosen = as_rule(rule)
    candidates = find_candidates(completion, chosen, prefix, choices)
    gold, found = chosen.normalise(answer), candidates.chosen
    return Score(
        correct=found is not None and chosen.equal(found, gold),
        contains_answer=any(chosen.equal(candidate, gold) for candidate in candidates.all if candidate),
        correct_format=candidates.prefix_found,
        complete=None if finish_reason is None else finish_reason == "stop",
        found=found,
    )


def summarise(scores: Iterable[Score]) -> Summary:
    """A completion that does not say how it ended counts as not complete beside others that do.

    Raises: ValueError for no scores at all.
    """
    all_scores = list(scores)
    n = len(all_scores)
    if not n:
        raise ValueError("no completions to summarise")
    return Summary(
        n=n,
        accuracy=sum(score.correct for score in all_scores) / n,
        contains_answer=sum(score.contains_answer for score in all_scores) / n,
        correct_format=sum(score.correct_format for score in all_scores) / n,
        complete=None if all(score.complete is None for score in all_scores) else sum(bool(score.complete) for score in all_scores) / n,
    )
