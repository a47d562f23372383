"""ECQA: CommonsenseQA with explanations that people wrote. (CDLA-Sharing-1.0; Aggarwal et al. 2021)

    "",q_no,q_concept,q_text,q_op1,q_op2,q_op3,q_op4,q_op5,q_ans,taskA_pos,taskA_neg,taskB
    0,af836abc58e0daf36df1d8d6830b70c5,applying for job,What does someone typically feel when applying for a job?,horror,anxiety and fear,
    rejection,increased workload,being employed,anxiety and fear,"Anxiety is the feeling of fear when doing something with an uncertain
    outcome.⏎Applying for a job has an uncertain outcome.","Horror is an intense feeling of fear or shock.⏎...","Anxiety
    is the feeling of fear when doing something with an uncertain outcome and applying for a job has an uncertain outcome. So one would ..."

Published as cqa_data_train.csv, cqa_data_val.csv and cqa_data_test.csv; the hub has the same columns. The answer is an option's text,
so where two options have it, CommonsenseQA's key has to say which is meant. taskA_pos: facts for the answer, taskA_neg: facts against the
other options, one a line; taskB: an explanation in free text. The authors' own ecqa.jsonl ({"id", "positives", "negatives",
"explanation"}) holds no questions: they are CommonsenseQA's, from which the authors make the tables.
"""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, Literal

from teacherlm.catalog import ChosenSettings
from teacherlm.dataset import Dataset, Splits, read_questions
from teacherlm.datasets._choices import require_gold, stem_and_choices, texts_of
from teacherlm.datasets._options import as_letter
from teacherlm.datasets._texts import as_rationale, as_sentences, as_text
from teacherlm.errors import UserError
from teacherlm.prompts import LETTERS
from teacherlm.records import Question
from teacherlm.stage import Input
from teacherlm.store.sources import Origin, require

FILES = {"cqa_data_train.csv": "train", "cqa_data_val.csv": "validation", "cqa_data_test.csv": "test", "ecqa.jsonl": "train"}
KEYS = ("train_rand_split.jsonl", "dev_rand_split.jsonl")
OPTIONS = ("q_op1", "q_op2", "q_op3", "q_op4", "q_op5")
FACTS = ("taskA_pos", "taskA_neg")

Key = Mapping[str, Mapping[str, Any]]
"""CommonsenseQA's rows with answers by their id."""


class EcqaSettings(ChosenSettings):
    name: Literal["ecqa"] = "ecqa"
    answer_key: Input | None = None
    """CommonsenseQA's .jsonl with answers, or a folder of them: decides where two options have the text of the answer, and gives the
    questions of ecqa.jsonl. Its train_rand_split.jsonl is found where it lies beside the tables."""
    explanation: Literal["taskB", "taskA_pos", "taskA_neg"] = "taskB"
    """taskB: free text; taskA_pos: the facts for the answer; taskA_neg: the facts against the other options."""


def read(settings: EcqaSettings, origin: Origin | None, seed: int) -> Splits:
    assert origin is not None
    place = settings.answer_key or _key_beside(Path(origin.place))
    key = read_key(Origin(str(place))) if place else None

    def question(row: dict[str, Any], where: str) -> Question:
        return _question(row, settings, key, where)

    return {split: read_questions(table, question) for split, table in origin.tables(FILES).items()}


def read_key(origin: Origin) -> Key:
    """Of every file that has answers. Raises: UserError where none has."""
    rows = (row for table in origin.tables().values() for _, row in table.rows())
    key = {as_text(row["id"]): row for row in rows if row.get("id") and row.get("answerKey")}
    if not key:
        raise UserError(f"{origin.place}: holds no rows with 'id' and 'answerKey', as CommonsenseQA's files with answers do.")
    return key


def _key_beside(place: Path) -> Path | None:
    """CommonsenseQA's file with answers, where it lies in the folder of the tables."""
    folder = place if place.is_dir() else place.parent
    return next((folder / name for name in KEYS if (folder / name).is_file()), None)


def _question(published: dict[str, Any], settings: EcqaSettings, key: Key | None, where: str) -> Question:
    row = _joined(published, key, where) if "positives" in published else published
    options = tuple(as_text(require(row, column, where)) for column in OPTIONS)
    return Question(
        question=as_text(require(row, "q_text", where)),
        answer=_letter(row, options, key, where),
        choices=options,
        answer_rule="letter",
        explanation=_explanation(row, settings, where),
        source_id=as_text(row.get("q_no")),
        raw=published,
        where=where,
    )


def _joined(row: Mapping[str, Any], key: Key | None, where: str) -> dict[str, Any]:
    """A row of ecqa.jsonl in the columns of the tables. Raises: UserError for a question that the key does not have."""
    if key is None:
        raise UserError(f"{where}: there is no question in this file; give `answer_key`, CommonsenseQA's .jsonl with answers.")
    name = as_text(require(row, "id", where))
    if name not in key:
        raise UserError(f"{where}: the answer key has no id {name!r}.")
    stem, options = stem_and_choices(key[name], where)
    letter = as_letter(key[name]["answerKey"], options, "letter", True, where)
    facts = {task: "\n".join(texts_of(row, column, where)) for task, column in (("taskA_pos", "positives"), ("taskA_neg", "negatives"))}
    chosen = {"q_no": name, "q_text": stem, "q_ans": options.texts[LETTERS.index(letter)], "taskB": row.get("explanation")}
    return {**chosen, **dict(zip(OPTIONS, options.texts, strict=False)), **facts}


def _letter(row: Mapping[str, Any], options: Sequence[str], key: Key | None, where: str) -> str:
    """By the text, and by the key where that is the text of several options."""
    gold = as_text(require_gold(row, "q_ans", where))
    meant = _letters_of(gold, options)
    if len(meant) == 1:
        return meant
    if not meant:
        raise UserError(f"{where}: q_ans {gold!r} is none of the options: {'; '.join(options)}.")
    either = " or ".join(f"({letter})" for letter in meant)
    ambiguous = f"{where}: q_ans {gold!r} is ambiguous, it could mean {either}"
    if key is None:
        ways = "evaluate: --set metadata.answer_key=FILE; prepare may leave such rows out: --on-bad-row drop"
        raise UserError(f"{ambiguous}; give `answer_key`, CommonsenseQA's .jsonl with answers ({ways}).")
    letter = as_text(key.get(as_text(row.get("q_no")), {}).get("answerKey"))
    if not letter or letter not in meant:
        found = f"says ({letter})" if letter else f"has no id {row.get('q_no')!r}"
        raise UserError(f"{ambiguous}, and the answer key {found}.")
    return letter


def _letters_of(gold: str, options: Sequence[str]) -> str:
    """`BD` where options B and D have this text; outer blanks and capitals count only where they tell options apart."""
    for same in (str, str.strip, lambda text: text.strip().lower()):
        meant = "".join(letter for letter, option in zip(LETTERS, options, strict=False) if same(option) == same(gold))
        if meant:
            return meant
    return ""


def _explanation(row: Mapping[str, Any], settings: EcqaSettings, where: str) -> str:
    if settings.explanation not in FACTS:
        return as_rationale(row.get(settings.explanation))
    return as_sentences(as_text(require(row, settings.explanation, where)).splitlines())


DATASET = Dataset(EcqaSettings, read, title="ECQA", hub="yangdong/ecqa", licence="cdla-sharing-1.0")
