"""CommonsenseQA: common sense in five choices. (MIT; Talmor et al. 2019)

    {"answerKey": "A", "id": "075e483d21c29a511267ef62bedc0461",
     "question": {"question_concept": "punishing",
                  "choices": [{"label": "A", "text": "ignore"}, {"label": "B", "text": "enforce"}, {"label": "C", "text": "authoritarian"},
                              {"label": "D", "text": "yell at"}, {"label": "E", "text": "avoid"}],
                  "stem": "The sanctions against the school were a punishing blow, and they seemed to what the efforts the school had
                           made to change?"}}

Published as train_rand_split.jsonl, dev_rand_split.jsonl and a test file without answers, which cannot be prepared. The hub has
the same flat: `question` is the stem, `choices` {"label": [...], "text": [...]}. Choices of equal text do no harm: the key is a letter.
commonsense_qa.json, the unified file of Fine-tune-CoT, is read too.
"""

from typing import Any, Literal

from teacherlm.catalog import ChosenSettings
from teacherlm.dataset import Dataset, Splits, read_questions
from teacherlm.datasets._choices import require_gold, stem_and_choices
from teacherlm.datasets._options import as_letter
from teacherlm.datasets._splits import labelled
from teacherlm.datasets._texts import as_text
from teacherlm.datasets._unified import find_unified, letter
from teacherlm.records import Question
from teacherlm.store.sources import Origin

FILES = {
    "train_rand_split.jsonl": "train",
    "dev_rand_split.jsonl": "validation",
    "test_rand_split.jsonl": "test",
    "test_rand_split_no_answers.jsonl": "test",
    "train_qtoken_split.jsonl": "train",
    "dev_qtoken_split.jsonl": "validation",
    "test_qtoken_split_no_answers.jsonl": "test",
}


class CommonsenseQaSettings(ChosenSettings):
    name: Literal["commonsense_qa"] = "commonsense_qa"


def read(settings: CommonsenseQaSettings, origin: Origin | None, seed: int) -> Splits:
    assert origin is not None
    if (unified := find_unified(origin, "commonsense_qa", letter)) is not None:
        return unified
    return {split: read_questions(table, _question) for split, table in labelled(origin.tables(FILES), "answerKey").items()}


def _question(row: dict[str, Any], where: str) -> Question:
    stem, options = stem_and_choices(row, where)
    return Question(
        question=stem,
        answer=as_letter(require_gold(row, "answerKey", where), options, "letter", True, where),
        choices=options.texts,
        answer_rule="letter",
        source_id=as_text(row.get("id")),
        raw=row,
        where=where,
    )


DATASET = Dataset(CommonsenseQaSettings, read, title="CommonsenseQA", hub="tau/commonsense_qa", licence="mit")
