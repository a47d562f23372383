"""The answer in a text: found, normalised, compared. One rule each for verification, for scoring and for generative evaluation.

`letter`, `number`, `yes_no` and `exact` look for a stated answer ("The answer is (B)."), `text` takes all that is written; the rules
named after a dataset of Fine-tune-CoT cut the answer out as that system did.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from teacherlm.answers.cleansing import CLEANSING, DIALECTS
from teacherlm.answers.rule import AnswerRule
from teacherlm.answers.stated import EXACT, LETTER, NUMERIC, YES_NO
from teacherlm.answers.thinking import spoken
from teacherlm.answers.whole import TEXT
from teacherlm.errors import unknown

__all__ = ["RULES", "AnswerRule", "Candidates", "as_rule", "find_answer", "find_candidates", "normalise", "rule", "same"]

RULES: Mapping[str, AnswerRule] = {r.name: r for r in (LETTER, NUMERIC, YES_NO, EXACT, TEXT, *CLEANSING)}


@dataclass(frozen=True)
class Candidates:
    """What in a text may be the answer, normalised."""

    all: tuple[str, ...]
    prefix_found: bool
    """False where a prefix was asked for and is not there: then the last candidate counts, not the first."""

    @property
    def chosen(self) -> str | None:
        """None where there is none, or where nothing is left of it."""
        return (self.all[0 if self.prefix_found else -1] or None) if self.all else None


def find_candidates(text: str, rule: str | AnswerRule, prefix: str | Sequence[str] = (), choices: Sequence[str] = ()) -> Candidates:
    """`prefix` is what must stand before an answer (several: the first one in the text counts); `choices` are the question's.

    An empty one among several: where none of the others is there, the text begins with its answer. Thoughts (`<think>`) state none.
    """
    chosen, text = as_rule(rule), spoken(text)
    prefixes = (prefix,) if isinstance(prefix, str) and prefix else tuple(prefix)
    behind = _behind(text, prefixes)
    found = chosen.candidates(text, choices) if behind is None else chosen.candidates_after_prefix(behind, choices)
    return Candidates(tuple(chosen.normalise(answer) for answer in found), prefix_found=behind is not None or not prefixes)


def find_answer(
    text: str, rule: str | AnswerRule, *, prefix: str | Sequence[str] = (), choices: Sequence[str] = (), stops: Sequence[str] = ()
) -> str | None:
    """The normalised answer that a model stated in free text; None when it stated none.

    Where the choices are known, the rule `letter` also takes the text of a choice: "The answer is True." is A or B. What is said ends
    before the first of `stops` that stands behind the thoughts.
    """
    said = spoken(text)
    ends = [place for stop in stops if (place := said.find(stop)) >= 0]
    return find_candidates(said[: min(ends, default=None)], rule, prefix, choices).chosen


def same(one: str, other: str, rule: str | AnswerRule) -> bool:
    """Whether two answers mean the same under the rule: `51.0` and `51`, `1,234` and `1234`, `(B)` and `B`."""
    chosen = as_rule(rule)
    return chosen.equal(chosen.normalise(one), chosen.normalise(other))


def normalise(answer: str, rule: str | AnswerRule) -> str:
    return as_rule(rule).normalise(answer)


def rule(name: str) -> AnswerRule:
    """Raises: UserError for an unknown name."""
    known = DIALECTS.get(name, name)
    if known not in RULES:
        raise unknown("answer rule", name, RULES)
    return RULES[known]


def as_rule(given: str | AnswerRule) -> AnswerRule:
    return given if isinstance(given, AnswerRule) else rule(given)


def _behind(text: str, prefixes: Sequence[str]) -> str | None:
    """What follows the prefix that comes first; None where none is there. An empty one is everywhere, and counts after all others."""
    found = min(((text.index(prefix), prefix) for prefix in prefixes if prefix and prefix in text), default=None)
    if found is None:
        return text if "" in prefixes else None
    return text[found[0] + len(found[1]) :]
