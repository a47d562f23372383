"""Option-order sensitivity: a student that reads the options is told from one that likes a place."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from dataset_files import prepared, write_lines
from datasets import Dataset, DatasetDict

from teacherlm.errors import UserError
from teacherlm.evaluation.loading import LoadedTask, TaskOptions, build_requests, load_tasks
from teacherlm.evaluation.measured import Metric
from teacherlm.evaluation.permuting import combined, permuted
from teacherlm.evaluation.scoring import Answer, score
from teacherlm.parsing import parse_config
from teacherlm.stages.evaluate import EvaluateConfig, evaluate
from teacherlm.store.files import read_jsonl

ROOMS = ("sea", "sky", "hut", "inn")
QUESTIONS = [
    {"id": "one", "question": "Where do fish live?", "choices": list(ROOMS), "answer": "A"},
    {"id": "two", "question": "Where do  guests sleep?", "choices": list(ROOMS), "answer": "D"},
    {"id": "three", "question": "Is snow cold?", "choices": ["yes", "no"], "answer": "A"},
]
Choose = Callable[[dict[str, Any]], str | None]
"""Row -> letter."""


@pytest.fixture
def rows(tmp_path: Path) -> Path:
    prepared(tmp_path / "out", "jsonl", write_lines(tmp_path / "rooms.jsonl", QUESTIONS))
    return tmp_path / "out"


def loaded(name: str, data: Path, **options: Any) -> LoadedTask:
    (task,) = load_tasks([name], [], TaskOptions(data=data, **options))
    return task


def measured(task: LoadedTask, choose: Choose) -> tuple[list[dict[str, Any]], dict[str, Metric]]:
    answers = []
    for instance in task.task.instances:
        letter = choose(instance.doc)
        if instance.request_type == "generate_until":
            answers.append([Answer(f" The answer is ({letter})." if letter else " Hm.", tokens=5)])
        else:
            answers.append([Answer((-1.0 if instance.args[1] == letter else -9.0, False))])
    told, metrics = combined(task, score(task, answers)[0])
    return told, {metric.name: metric for metric in metrics}


def test_letters_stay_and_texts_rotate(rows: Path) -> None:
    task = permuted(loaded("questions_letters", rows))
    contexts = list(dict.fromkeys(instance.args[0] for instance in task.task.instances))
    assert contexts[:4] == [
        f"Q: Where do fish live? (A) {a} (B) {b} (C) {c} (D) {d} A: The answer is ("
        for a, b, c, d in (ROOMS, ("sky", "hut", "inn", "sea"), ("hut", "inn", "sea", "sky"), ("inn", "sea", "sky", "hut"))
    ]
    assert contexts[8:] == ["Q: Is snow cold? (A) yes (B) no A: The answer is (", "Q: Is snow cold? (A) no (B) yes A: The answer is ("]
    golds = [instance.doc["answer"] for instance in task.task.instances if instance.idx == 0]
    assert golds == [*"ADCB", *"DCBA", *"AB"]
    assert task.turns == (*((0, turn) for turn in range(4)), *((1, turn) for turn in range(4)), (2, 0), (2, 1))


@pytest.mark.parametrize("name", ["questions_letters", "questions"])
def test_who_reads_the_options_is_consistent_and_who_likes_a_place_is_not(rows: Path, name: str) -> None:
    task = permuted(loaded(name, rows))
    told, metrics = measured(task, lambda doc: doc["answer"])
    assert [metrics[key].value for key in ("acc_permuted", "acc_spread", "consistent")] == [1, 0, 1]
    assert [row["output"] for row in told] == [["sea"] * 4, ["inn"] * 4, ["yes"] * 2] and [row["gold"] for row in told] == [
        "sea",
        "inn",
        "yes",
    ]
    assert [metrics[key].higher_is_better for key in ("acc_permuted", "acc_spread", "consistent")] == [True, False, True]
    told, metrics = measured(task, lambda doc: "A")
    assert [row["correct"] for row in told] == [{"acc_permuted": share, "consistent": 0.0} for share in (0.25, 0.25, 0.5)]
    assert metrics["acc_permuted"].value == pytest.approx(1 / 3) and metrics["consistent"].value == 0
    assert metrics["acc_spread"].value == pytest.approx(2 / 3), "of two questions 1, 0, 0, 1; of one 1, 0"
    told, metrics = measured(task, lambda doc: "ABCD"[doc["choices"].index("sky")] if "sky" in doc["choices"] else "A")
    assert [row["correct"]["consistent"] for row in told] == [1, 1, 0] and told[0]["output"] == ["sky"] * 4
    assert metrics["acc_permuted"].n == 3 and metrics["acc_permuted"].stderr == pytest.approx(1 / 6)


def test_questions_with_different_numbers_of_options_do_not_spread_by_themselves(tmp_path: Path) -> None:
    fours = [{"id": f"q{n}", "question": f"Where is {n}?", "choices": list(ROOMS), "answer": "C"} for n in range(3)]
    five = {"id": "odd", "question": "Where else?", "choices": [*ROOMS, "zoo"], "answer": "A"}
    prepared(tmp_path / "out", "jsonl", write_lines(tmp_path / "x.jsonl", [*fours, five]))
    task = permuted(loaded("questions_letters", tmp_path / "out"))
    _, metrics = measured(task, lambda doc: doc["answer"] if len(doc["choices"]) == 4 else "ABCDE"[doc["choices"].index("zoo")])
    assert metrics["acc_permuted"].value == 0.75 and metrics["acc_spread"].value == 0, "whatever the order, the same are right"
    _, metrics = measured(task, lambda doc: doc["answer"] if len(doc["choices"]) == 4 else "A")
    assert metrics["acc_spread"].value == 0.25, "of three questions 1, 1, 1, 1; of one 1, 0, 0, 0, 0"


def test_no_answer_under_every_order_is_not_the_same_answer(rows: Path) -> None:
    told, metrics = measured(permuted(loaded("questions", rows)), lambda doc: None)
    assert metrics["consistent"].value == 0 and told[0]["output"] == [None] * 4


def test_the_first_so_many_questions_are_rotated_and_shots_stay_as_they_are(rows: Path) -> None:
    assert len(permuted(loaded("questions_letters", rows, limit=2)).turns) == 8


@pytest.fixture
def claims(tmp_path: Path) -> list[dict[str, Any]]:
    questions = [{"id": f"q{n}", "question": f"Is it {n}?", "choices": [f"yes {n}", f"no {n}", f"so {n}"], "answer": "B"} for n in range(6)]
    return prepared(tmp_path / "claims", "jsonl", write_lines(tmp_path / "claims.jsonl", questions))


def saved(folder: Path, **splits: list[dict[str, Any]]) -> Path:
    DatasetDict({name: Dataset.from_list(part) for name, part in splits.items()}).save_to_disk(folder)
    return folder


@pytest.mark.parametrize("apart", [False, True])
def test_every_rotation_has_the_shots_of_the_question_as_it_stands_and_never_the_question_itself(
    tmp_path: Path, claims: list[dict[str, Any]], apart: bool
) -> None:
    data = saved(tmp_path / "rows", test=claims[:3], train=claims[3:]) if apart else saved(tmp_path / "rows", train=claims)
    plain = loaded("questions_letters", data, shots=3)
    task = permuted(plain)
    shots_of = {doc_id: shots for doc_id, (shots, _) in prompts(plain).items()}
    assert len(set(shots_of.values())) > 1
    for doc_id, (shots, question) in prompts(task).items():
        number, _ = task.turns[doc_id]
        assert shots == shots_of[number] and f"Is it {number}?" in question and f"Is it {number}?" not in shots


def test_where_one_rotation_does_not_fit_all_of_them_have_fewer_shots(tmp_path: Path, claims: list[dict[str, Any]]) -> None:
    task = permuted(loaded("questions_letters", saved(tmp_path / "rows", train=claims), shots=3))
    before = prompts(task)
    task.task.fits = lambda prompt, row: prompt.count("Q: ") < 3 or not row["choices"][0].startswith("so")
    build_requests(task.task, task.options)
    for doc_id, (shots, _) in prompts(task).items():
        assert shots.count("Q: ") == 1 and before[doc_id][0].endswith(shots), "the first ones are left out"


def prompts(task: LoadedTask) -> dict[int, tuple[str, str]]:
    """(shots, question) of each row."""
    return {one.doc_id: (shots, question) for one in task.task.instances for shots, _, question in [one.args[0].rpartition("Q: ")]}


@pytest.mark.parametrize("template", ["ft_cot_token", "zs", "chat", "ft_natural"])
def test_other_templates_list_the_rotated_options_in_their_own_words(tmp_path: Path, template: str) -> None:
    prepared(tmp_path / "out", "jsonl", write_lines(tmp_path / "x.jsonl", QUESTIONS[:1]), template=template)
    task = permuted(loaded("questions", tmp_path / "out"))
    prompts = [instance.doc["prompt"] for instance in task.task.instances]
    assert len(set(prompts)) == 4 and all(prompt.index("(A) ") < prompt.index("(B) ") for prompt in prompts)
    assert [prompt.split("(A) ")[1][:3] for prompt in prompts] == list(ROOMS)


def test_what_has_no_options_is_one_clear_line(tmp_path: Path) -> None:
    prepared(tmp_path / "free", "jsonl", write_lines(tmp_path / "x.jsonl", [{"id": "q", "question": "How much is 1 + 1?", "answer": "2"}]))
    with pytest.raises(UserError, match=r"permute_options: task 'questions', item 'q': it has no options to choose from\."):
        permuted(loaded("questions", tmp_path / "free"))
    prepared(tmp_path / "verbatim", "jsonl", write_lines(tmp_path / "y.jsonl", QUESTIONS), template="verbatim")
    with pytest.raises(UserError, match="its prompt does not end with its options as the template 'verbatim' lists them"):
        permuted(loaded("questions", tmp_path / "verbatim"))


@pytest.mark.slow
@pytest.mark.real
def test_evaluate_stores_them_beside_the_usual_measurement(tmp_path: Path, rows: Path, stories260k: Path) -> None:
    words = {"input": str(stories260k), "tasks": "questions_letters", "data": rows, "output": tmp_path / "scores", "dtype": "float32"}
    outcome = evaluate(parse_config(EvaluateConfig, {**words, "permute_options": True}))
    found = {row["metric"]: row for _, row in read_jsonl(tmp_path / "scores" / "results.jsonl")}
    assert list(found) == ["acc", "acc_permuted", "acc_spread", "consistent"] and outcome.counts["tasks"] == 1
    assert set(outcome.metrics) == {f"stories260k.questions_letters.{metric}" for metric in found}
    plain, all_orders = ([row for _, row in read_jsonl(tmp_path / "scores" / found[name]["predictions"])] for name in ("acc", "consistent"))
    assert [row["item"] for row in plain] == [row["item"] for row in all_orders] == ["one", "two", "three"]
    for row, orders in zip(plain, all_orders, strict=True):
        assert orders["prompt"] == row["prompt"] and len(orders["output"]) in (2, 4)
        assert (orders["answer"] == orders["gold"]) == bool(row["correct"]["acc"]), "the first order is the usual one"
    again = evaluate(parse_config(EvaluateConfig, {**words, "permute_options": True}))
    assert again.counts["measured"] == 0
