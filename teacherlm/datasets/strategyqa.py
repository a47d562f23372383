"""StrategyQA: yes/no questions whose steps are not named, with the facts that decide them. (MIT; Geva et al. 2021)

    {"qid": "2bc9c4f9c19c167187f2", "term": "Genghis Khan", "description": "founder and first Great Khan of the Mongol Empire",
     "question": "Are more people today related to Genghis Khan than Julius Caesar?", "answer": true,
     "facts": ["Julius Caesar had three children.", "Genghis Khan had sixteen children.", "Modern geneticists have determined that  ..."],
     "decomposition": ["How many kids did Julius Caesar have?", "How many kids did Genghis Khan have?", "Is #2 greater than #1?"],
     "evidence": [[[["Caesarion-2", "Julia (daughter of Caesar)-1"]], [["Alakhai Bekhi-1", "Tolui-1"], "no_evidence"], ["operation"]], ...]}

Published as strategyqa_train.json (elsewhere train.json and dev.json), one JSON list, and a test file without answers, which cannot be
prepared. The explanation are the facts. `evidence` mixes texts and lists as no column can: it is kept as JSON text.
strategy_qa.json, the unified file of Fine-tune-CoT, is read too.
"""

from collections.abc import Sequence
from typing import Any, Literal

import orjson

from teacherlm.catalog import ChosenSettings
from teacherlm.dataset import Dataset, Splits, read_questions
from teacherlm.datasets._choices import require_gold
from teacherlm.datasets._splits import labelled
from teacherlm.datasets._texts import as_sentences, as_text, tidy_line
from teacherlm.datasets._unified import find_unified, yes_no
from teacherlm.errors import UserError
from teacherlm.records import Question
from teacherlm.store.sources import Origin, require

FILES = {
    "strategyqa_train.json": "train",
    "train.json": "train",
    "dev.json": "validation",
    "strategyqa_test.json": "test",
    "test.json": "test",
}
CHOICES = ("True", "False")
TRUE, FALSE = ("true", "yes"), ("false", "no")


class StrategyQaSettings(ChosenSettings):
    name: Literal["strategyqa"] = "strategyqa"
    facts: bool = False
    """Put the facts before the question, as TeacherLM's evaluation does: `Fact 1: ... Fact 2: ... Given these facts above, is it so?`"""


def read(settings: StrategyQaSettings, origin: Origin | None, seed: int) -> Splits:
    assert origin is not None
    if (unified := find_unified(origin, "strategy_qa", yes_no)) is not None:
        return unified

    def question(row: dict[str, Any], where: str) -> Question:
        return _question(row, settings, where)

    return {split: read_questions(table, question) for split, table in labelled(origin.tables(FILES), "answer").items()}


def _question(row: dict[str, Any], settings: StrategyQaSettings, where: str) -> Question:
    text, facts = as_text(require(row, "question", where)).strip(), _facts(row, where)
    if settings.facts and not facts:
        raise UserError(f"{where}: there are no facts to put into the question; leave out `facts`.")
    return Question(
        question=_with_facts(text, facts) if settings.facts else text,
        answer=_letter(require_gold(row, "answer", where), where),
        choices=CHOICES,
        answer_rule="letter",
        explanation=as_sentences(facts),
        source_id=as_text(row.get("qid")),
        raw=_raw(row),
        where=where,
    )


def _facts(row: dict[str, Any], where: str) -> Sequence[str]:
    """The hub has them as one text."""
    given = row.get("facts") or []
    facts = [given] if isinstance(given, str) else given
    if not isinstance(facts, list):
        raise UserError(f"{where}: column 'facts' must be a list of texts, found {type(facts).__name__}.")
    return [tidy for fact in facts if (tidy := tidy_line(fact))]


def _with_facts(question: str, facts: Sequence[str]) -> str:
    numbered = " ".join(f"Fact {number}: {fact}" for number, fact in enumerate(facts, start=1))
    return f"{numbered} Given these facts above, {question.rstrip('?').rstrip()}?"


def _letter(answer: Any, where: str) -> str:
    word = as_text(answer).strip().lower()
    if word not in TRUE + FALSE:
        raise UserError(f"{where}: answer {answer!r} is neither true nor false.")
    return "A" if word in TRUE else "B"


def _raw(row: dict[str, Any]) -> dict[str, Any]:
    if not isinstance(row.get("evidence"), list):
        return row
    return {**row, "evidence": orjson.dumps(row["evidence"]).decode()}


DATASET = Dataset(StrategyQaSettings, read, title="StrategyQA", hub="ChilleD/StrategyQA", licence="mit")
