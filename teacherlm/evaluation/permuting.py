"""Does a student choose an option, or a place in the list? Every question under each rotation of its options.

A question with k options is asked k times: letters stay in their order, texts move on by one place each time. Its shots are drawn once, as
those of the question as it stands, so that nothing but the order of its options differs.
"""

import copy
from collections import Counter, defaultdict
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from typing import TYPE_CHECKING, Any

from teacherlm.errors import UserError
from teacherlm.evaluation.measured import Metric
from teacherlm.evaluation.shots import Asked
from teacherlm.prompts import LETTERS, find_template, short_name
from teacherlm.records import Question

if TYPE_CHECKING:
    from teacherlm.evaluation.loading import LoadedTask

NEEDED = ("prompt", "choices", "answer", "template")
ASKED = "?"
Row = Mapping[str, Any]


def permuted(loaded: "LoadedTask") -> "LoadedTask":
    """The task with every question under each rotation of its options, by question, then by rotation.

    Raises: UserError for a task whose questions do not list options in a prompt of ours.
    """
    from datasets import Dataset

    from teacherlm.evaluation.content import task_content
    from teacherlm.evaluation.loading import build_requests
    from teacherlm.evaluation.tasks._questions import worded

    docs = list({instance.doc_id: instance.doc for instance in loaded.task.instances}.values())
    split = str(loaded.task.get_config("test_split"))
    if not docs or not all(isinstance(doc, dict) and set(NEEDED) <= set(doc) for doc in docs) or split not in loaded.task.dataset:
        raise UserError(f"permute_options: task '{loaded.name}': its questions list no options that could be put in another order.")
    turns = [(number, turn) for number, doc in enumerate(docs) for turn in range(len(doc["choices"]) or 1)]
    rows = [_rotated(docs[number], turn, loaded) for number, turn in turns]
    task = copy.copy(loaded.task)
    task.dataset = {**task.dataset, split: worded(Dataset.from_list(rows, features=task.dataset[split].features))}
    task.asked = _asked(docs, turns, list(task.eval_docs), loaded)
    options = replace(loaded.options, limit=None)
    build_requests(task, options)
    return replace(loaded, task=task, content=task_content(loaded.name, task, options.metadata), options=options, turns=tuple(turns))


def _asked(docs: Sequence[Row], turns: Sequence[tuple[int, int]], rows: Sequence[Row], loaded: "LoadedTask") -> Callable[[Row], Asked]:
    """Row -> its question, for the drawing of shots."""

    def key(row: Row) -> tuple[str, str]:
        return loaded.item_id(row, 0), row["prompt"]

    of_question: dict[int, list[Row]] = defaultdict(list)
    for (number, _), row in zip(turns, rows, strict=True):
        of_question[number].append(row)
    found = {key(row): Asked(docs[number], own) for number, own in of_question.items() for row in own}
    return lambda row: found[key(row)]


def _rotated(doc: Row, turn: int, loaded: "LoadedTask") -> dict[str, Any]:
    """Raises: UserError for a question without options, or whose prompt lists them in words that the template does not know."""
    where = f"permute_options: task '{loaded.name}', item '{loaded.item_id(doc, 0)}'"
    choices, gold = list(doc["choices"]), LETTERS.find(doc["answer"])
    if len(choices) < 2 or not 0 <= gold < len(choices):
        raise UserError(f"{where}: it has no options to choose from.")
    other = choices[turn:] + choices[:turn]
    before, after = _listed(doc["template"], choices), _listed(doc["template"], other)
    if not before or not doc["prompt"].endswith(before) or (before == after and choices != other):
        raise UserError(f"{where}: its prompt does not end with its options as the template '{short_name(doc['template'])}' lists them.")
    letter = LETTERS[(gold - turn) % len(choices)]
    prompt = doc["prompt"].removesuffix(before) + after
    return {**doc, "prompt": prompt, "choices": other, "answer": letter, "references": [letter]}


def _listed(spec: str, choices: Sequence[str]) -> str:
    """What the template writes behind a question that has these options; "" where it is none of ours."""
    chosen = find_template(spec)
    return chosen.prompt(Question(ASKED, "A", tuple(choices))).partition(ASKED)[2] if chosen else ""


def differ_in_options(loaded: "LoadedTask") -> bool:
    """Whether some questions of a permuted task have more options than others."""
    return len(set(Counter(number for number, _ in loaded.turns).values())) > 1


def combined(loaded: "LoadedTask", rows: Sequence[Row]) -> tuple[list[dict[str, Any]], tuple[Metric, ...]]:
    """One row for each question, of its rows under all rotations; and over all questions

    - `acc_permuted`: share of right answers, the mean over a question's rotations, then over questions;
    - `acc_spread`: the accuracy of the best rotation less that of the worst, from 0 to 1; where questions have different numbers of
      options among those with as many, as only these are asked under the same rotations, and of that the mean over questions;
    - `consistent`: share of questions whose answer is the same text under every rotation. No answer at all is not the same.
    """
    from lm_eval.api.metrics import mean_stderr

    docs = {instance.doc_id: instance.doc for instance in loaded.task.instances}
    by_question: dict[int, list[Row]] = defaultdict(list)
    for row in rows:
        number, _ = loaded.turns[row["doc_id"]]
        by_question[number].append(row)
    told = [_question(loaded, number, own, [docs[row["doc_id"]] for row in own]) for number, own in by_question.items()]
    names = [row["item"] for row in told]
    told = told if len(set(names)) == len(names) else [{**row, "item": str(row["doc_id"])} for row in told]
    metrics = []
    for name in ("acc_permuted", "consistent"):
        values = [row["correct"][name] for row in told]
        stderr = float(mean_stderr(values)) if len(values) > 1 else None
        metrics.append(Metric(name, _mean(values), stderr, len(values), higher_is_better=True))
    spread = _spread([[row["correct"]["acc"] for row in own] for own in by_question.values()])
    return told, (metrics[0], Metric("acc_spread", spread, None, len(told), higher_is_better=False), metrics[1])


def _spread(questions: Sequence[Sequence[float]]) -> float:
    """Of what each question scored, rotation by rotation."""
    alike: dict[int, list[Sequence[float]]] = defaultdict(list)
    for scores in questions:
        alike[len(scores)].append(scores)
    total = 0.0
    for group in alike.values():
        means = [_mean(scores) for scores in zip(*group, strict=True)]
        total += (max(means) - min(means)) * len(group)
    return total / len(questions)


def _question(loaded: "LoadedTask", number: int, rows: Sequence[Row], docs: Sequence[Row]) -> dict[str, Any]:
    """`output` has the text of the option chosen under each rotation."""
    said = [_text(row["answer"], doc) for row, doc in zip(rows, docs, strict=True)]
    scores = {"acc_permuted": _mean([row["correct"]["acc"] for row in rows]), "consistent": float(len(set(said)) == 1 and None not in said)}
    return {
        "item": loaded.item_id(docs[0], number),
        "doc_id": number,
        "prompt": rows[0]["prompt"],
        "gold": docs[0]["choices"][LETTERS.index(docs[0]["answer"])],
        "answer": said[0],
        "output": said,
        "correct": scores,
        "tokens": sum(row["tokens"] for row in rows),
    }


def _text(answer: str | None, doc: Row) -> str | None:
    """Of a letter the option's text; an answer that is no letter stands for itself."""
    place = LETTERS.find(answer) if answer and len(answer) == 1 else -1
    return doc["choices"][place] if 0 <= place < len(doc["choices"]) else answer


def _mean(values: Sequence[float]) -> float:
    return sum(values) / len(values)
