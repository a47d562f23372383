"""Rows of BIG-bench task files: `input` with `target` (one or several right answers) or `target_scores` (choices)."""

import random
import re
from collections.abc import Mapping

from teacherlm.answers.numbers import NUMBER
from teacherlm.datasets._texts import as_text
from teacherlm.datasets._unified import Build, Row, letter
from teacherlm.errors import UserError
from teacherlm.prompts import LETTERS
from teacherlm.records import Question, content_id
from teacherlm.store.sources import require


def task_question(row: Row, where: str, seed: int, opening: str = "") -> Question:
    """`opening` stands before every question of the task (`task_prefix`)."""
    text = f"{opening}{as_text(require(row, 'input', where))}"
    if "target_scores" in row:
        return _choice_question(row, text, where, seed)
    given = require(row, "target", where)
    right = tuple(as_text(one).strip() for one in (given if isinstance(given, list) else [given]))
    if not any(right):
        raise UserError(f"{where}: there is no target; a split without labels cannot be prepared.")
    return Question(text, right[0], answer_rule=_rule_for(right), raw=row, where=where, references=right if len(right) > 1 else ())


def letter_or_scores(seed: int) -> Build:
    """For datasets that are published both ways: choices in the question, or `target_scores`."""
    return lambda row, where: task_question(row, where, seed) if "target_scores" in row else letter(row, where)


def _choice_question(row: Row, text: str, where: str, seed: int) -> Question:
    """The choices are put in an order of their own: most task files name the right one first."""
    scores = row["target_scores"]
    if not isinstance(scores, Mapping) or not all(isinstance(score, (int, float)) for score in scores.values()):
        raise UserError(f"{where}: target_scores must be {{choice: number}}, found {scores!r}.")
    if not 2 <= len(scores) <= len(LETTERS):
        raise UserError(f"{where}: expected 2 to {len(LETTERS)} choices in target_scores, found {len(scores)}.")
    best = [choice for choice, score in scores.items() if score == max(scores.values())]
    if len(best) > 1:
        raise UserError(f"{where}: {len(best)} choices share the best score in target_scores: {'; '.join(best)}.")
    published = Question(text, best[0], tuple(scores), "letter", raw=row, where=where)
    drawn = list(scores)
    random.Random(f"{seed}/{text}").shuffle(drawn)
    gold = LETTERS[drawn.index(best[0])]
    return Question(text, gold, tuple(drawn), "letter", source_id=content_id(published), raw=_plain(row), where=where)


def _plain(row: Row) -> Row:
    """Choices as a list: as keys they would become columns of a table, one for each choice of any question."""
    scores = [{"choice": choice, "score": float(score)} for choice, score in row["target_scores"].items()]
    return {**row, "target_scores": scores}


def _rule_for(right: tuple[str, ...]) -> str:
    if all(re.fullmatch(NUMBER, answer) for answer in right):
        return "number"
    return "yes_no" if all(answer.lower() in ("yes", "no") for answer in right) else "exact"
