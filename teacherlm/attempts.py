"""Several attempts of a teacher at one question: which say something new, how often they are right, what most of them say."""

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from teacherlm.answers import find_answer, same
from teacherlm.asking import Drop, Row
from teacherlm.prompts import clean
from teacherlm.verify import REASONING_KINDS, before_next_question


@dataclass(frozen=True)
class Attempts:
    """What is kept of the attempts at one question."""

    rows: list[Row] = field(default_factory=list)
    duplicates: int = 0
    """Attempts that said the same as an earlier one."""
    failed: list[Drop] = field(default_factory=list)


def weigh(tries: Sequence[Row | Drop], kinds: Sequence[str]) -> Attempts:
    """Distinct rows in their order. With several attempts each row says how many of all were right (`pass_rate`, of those that stated
    an answer or failed to), and what most of them say (`vote`, self-consistency: Wang et al. 2022)."""
    rows = [one for one in tries if not isinstance(one, Drop)]
    failed = [one for one in tries if isinstance(one, Drop)]
    distinct = {tuple(clean(row[kind]) for kind in kinds): row for row in reversed(rows)}
    kept = sorted(distinct.values(), key=lambda row: row["completion_index"])
    if len(tries) > 1 and rows:
        about = _about(rows)
        kept = [{**row, **about} for row in kept]
    return Attempts(kept, len(rows) - len(kept), failed)


def stated(row: Mapping[str, Any], kind: str = "cot") -> str | None:
    """The answer that a row's rationale came to."""
    if "found" in row:
        found = row["found"]
        return None if found is None else str(found)
    rule = row.get("answer_rule")
    if kind not in REASONING_KINDS or kind not in row or rule is None:
        return None
    return find_answer(before_next_question(row[kind]), rule, choices=tuple(row.get("choices", ())))


def is_wrong(row: Mapping[str, Any], kind: str) -> bool:
    """Whether it states another answer than the right one."""
    answer = stated(row, kind) if kind in REASONING_KINDS else None
    return answer is not None and not same(answer, str(row["answer"]), row["answer_rule"])


def _about(rows: Sequence[Row]) -> dict[str, Any]:
    if "answer" not in rows[0] or "answer_rule" not in rows[0]:
        return {}
    gold, rule = str(rows[0]["answer"]), rows[0]["answer_rule"]
    answers = [stated(row) for row in rows]
    right = sum(answer is not None and same(answer, gold, rule) for answer in answers)
    return {"pass_rate": right / len(rows), "vote": vote([answer for answer in answers if answer is not None], rule)}


def vote(answers: Sequence[str], rule: str) -> str | None:
    """The answer that most attempts came to, in its first spelling; of two with as many votes the one that came first."""
    votes: Counter[str] = Counter()
    for answer in answers:
        votes[next((known for known in votes if same(known, answer, rule)), answer)] += 1
    return votes.most_common(1)[0][0] if votes else None
