"""Every task of ours, found by listing: what states the right answer in its template's words scores 100%, what states a wrong one 0%."""

import json
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import pytest
from datasets import Dataset, DatasetDict
from lm_eval.tasks._yaml_loader import load_yaml

from teacherlm.evaluation.content import OURS
from teacherlm.evaluation.loading import LoadedTask, TaskOptions, load_tasks
from teacherlm.evaluation.scoring import Answer, score
from teacherlm.prompts import letters, template
from teacherlm.records import Question

Row = dict[str, Any]

JUDGING = ("acc", "acc_norm", "exact_match", "contains_answer", "rouge1", "rougeL", "mc1", "mc2")
"""Metrics by which an answer is right or wrong; each task has at least one."""
OWN_WORDS = (
    "arc_challenge",
    "arc_easy",
    "hellaswag",
    "truthfulqa_gen",
    "truthfulqa_mc1",
    "truthfulqa_mc2",
    "winogrande",
)
"""Tasks in lm-eval's words, which read published files alone: `test_weighed_tasks.py` compares them with lm-eval's own."""
RATIONALE = " It follows from what is asked."
KINDS: Mapping[str, str] = {
    **dict.fromkeys(("single_eq", "addsub", "multiarith", "gsm8k", "svamp"), "number"),
    **dict.fromkeys(("strategy_qa", "coin_flip"), "yes_no"),
    "last_letter_concatenation": "exact",
}
"""What is answered in the datasets of Fine-tune-CoT that have no choices."""


def names() -> list[str]:
    """Of a folder of many that differ in their subject alone, the first and the last."""
    found: dict[Path, list[str]] = {}
    for path in sorted(OURS.rglob("*.yaml")):
        task = load_yaml(path, resolve_func=False).get("task")
        if isinstance(task, str) and not path.name.startswith("_") and task not in OWN_WORDS:
            found.setdefault(path.parent, []).append(task)
    return [name for folder, inside in found.items() for name in (inside if folder == OURS else [inside[0], inside[-1]])]


def answers_of(kind: str) -> list[str]:
    return {"number": ["7", "1,008", "-3.5"], "yes_no": ["yes", "no", "yes"], "exact": ["yajo", "nn", "abc"], "letter": ["A", "C", "B"]}[
        kind
    ]


def unified(folder: Path, key: str) -> Path:
    """A dataset of Fine-tune-CoT in its unified form, every row of it a test row."""
    kind = KINDS.get(key, "letter")
    choices = " Answer choices: (A) a cat, (B) two dogs, (C) three cows." if kind == "letter" else ""
    rows = [{"question": f"What is it of {n}?{choices}", "answer": answer} for n, answer in enumerate(answers_of(kind))]
    write(folder / "dataset" / f"{key}.json", rows)
    write(folder / "split" / f"{key}__default.json", {"test": [0, 1, 2]})
    return folder


def prepared(folder: Path, kind: str, **more: str) -> Path:
    """A folder as `prepare` writes it, the same rows in every split."""
    words, choices = template("teacherlm"), ["a cat", "two dogs", "three cows"] if kind == "letter" else []
    rows = [
        {
            "id": f"q{n}",
            "prompt": words.prompt(Question(f"What is it of {n}?", answer, tuple(choices))),
            "choices": choices,
            "answer": answer,
            "answer_rule": kind,
            "template": "teacherlm",
            **more,
        }
        for n, answer in enumerate(answers_of(kind))
    ]
    DatasetDict({split: Dataset.from_list(rows) for split in ("train", "validation", "test")}).save_to_disk(folder)
    return folder


def creak(folder: Path) -> Path:
    rows = [{"ex_id": str(n), "sentence": f"Claim {n}.", "label": label, "explanation": "So."} for n, label in enumerate(("true", "false"))]
    (folder / "dev.json").write_text("".join(json.dumps(row) + "\n" for row in rows))
    return folder


def regression(folder: Path) -> Path:
    rows = [{"id": str(n), "prompt": f"Text {n}.", "target": target} for n, target in enumerate((0.0, 0.2, 0.9, 1.0))]
    (folder / "rows.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    return folder / "rows.jsonl"


def natural_instructions(folder: Path) -> Path:
    instances = [{"id": str(n), "input": f"Which is {n}?", "output": [f"answer {n}", f"reply number{n}"]} for n in range(3)]
    content = {"Categories": ["Word Analogy"], "Definition": ["Do it."], "Positive Examples": [], "Negative Examples": []}
    write(folder / "task1.json", {**content, "Instances": instances})
    return folder


def write(path: Path, content: Any) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps(content), encoding="utf-8")


SPECS = ("teacherlm", 'ft_cot_token{"stop":"END"}', "ft_cot_natural", "ft_natural", "tk_instruct", 'blocks{"answer":"letter"}', "chat")
DATA: Mapping[str, Callable[[Path], Path]] = {
    "creak": creak,
    "creak_generate": creak,
    "gsm8k": lambda folder: prepared(folder, "number"),
    "natural_instructions": natural_instructions,
    "questions": lambda folder: prepared(folder, "exact"),
    "regression": regression,
}
"""What a task is measured on here; the others read a folder of questions with choices."""


def data_of(name: str, folder: Path) -> Path:
    if name.startswith("ft_cot_"):
        return unified(folder, name.removeprefix("ft_cot_"))
    return DATA.get(name, lambda folder: prepared(folder, "letter", subject=name.removeprefix("mmlu_")))(folder)


def load(name: str, folder: Path, **taught: Any) -> LoadedTask:
    (task,) = load_tasks([name], [], TaskOptions(data=data_of(name, folder), taught=taught))
    return task


def wrong(gold: str, rule: str, choices: list[str]) -> str:
    if choices:
        return next(letter for letter in letters(choices) if letter != gold)
    try:
        return f"{float(gold.replace(',', '')) + 1:g}"
    except ValueError:
        return {"yes": "no", "no": "yes"}.get(gold, "zzz")


def told(task: LoadedTask, doc: Row, right: bool, layout: str) -> str:
    """What a student of the template writes: the answer alone, before a rationale, or behind one."""
    words = template(doc.get("template") or task.templates[0])
    gold, choices = str(doc.get("answer") or task.task.doc_to_target(doc)), list(task.choices(doc))
    stated = words.answer(gold if right else wrong(gold, str(task.answer_rule(doc)), choices), choices)
    if layout == "text":
        return stated
    made = words.tail("", stated, "cot", RATIONALE) if layout == "cot_tail" else words.head("", stated, "cot", RATIONALE)
    return f" {made.strip()}" if stated.startswith(" ") else made


def written(task: LoadedTask, instance: Any, right: bool, layout: str) -> Answer:
    """As an engine gives it: cut off where the task says that a text ends."""
    text = told(task, instance.doc, right, layout)
    ends = [place for stop in instance.args[1]["until"] if (place := text.find(stop)) >= 0]
    return Answer(text[: min(ends, default=None)], tokens=3, finish="stop")


def weighed(task: LoadedTask, instance: Any, right: bool) -> Answer:
    """The log-likelihood that puts the right choice first, or last. A regression is told its targets, or their opposites."""
    if "target" in instance.doc:
        yes = instance.doc["target"] if right else 1 - instance.doc["target"]
        return Answer((50 * (yes - 0.5) * (1 if instance.idx else -1), False))
    gold = task.task.doc_to_target(instance.doc)
    return Answer((-0.01 if (instance.idx == gold) == right else -1000.0, False))


def answers(task: LoadedTask, right: bool, layout: str) -> list[list[Answer]]:
    return [
        [written(task, one, right, layout) if one.request_type == "generate_until" else weighed(task, one, right)]
        for one in task.task.instances
    ]


def judged(task: LoadedTask, given: list[list[Answer]]) -> dict[str, float]:
    return {metric.name: metric.value / metric.scale for metric in score(task, given)[1] if metric.name in JUDGING}


@pytest.mark.slow
@pytest.mark.parametrize("name", names())
def test_an_oracle_scores_everything_and_an_anti_oracle_nothing(name: str, tmp_path: Path) -> None:
    task = load(name, tmp_path)
    by_weight = task.task.instances[0].request_type == "loglikelihood"
    ends_itself = name not in ("natural_instructions", "questions", "ft_cot_last_letter_concatenation")
    for layout in ("text",) if by_weight else ("text", "cot_head", "cot_tail") if ends_itself else ("text",):
        best = judged(task, answers(task, True, layout))
        assert best and set(best.values()) == {1.0}, f"{layout}: {best}"
        worst = judged(task, answers(task, False, layout))
        assert set(worst.values()) == {0.0}, f"{layout}: {worst}"


@pytest.mark.slow
@pytest.mark.parametrize("spec", SPECS)
@pytest.mark.parametrize("key", ["svamp", "aqua", "coin_flip", "last_letter_concatenation"])
def test_the_same_holds_in_the_words_of_every_student(key: str, spec: str, tmp_path: Path) -> None:
    task = load(f"ft_cot_{key}", tmp_path, taught_by=spec)
    assert task.templates == (spec,)
    for layout in ("text", "cot_head") if spec != "ft_natural" else ("text",):
        assert set(judged(task, answers(task, True, layout)).values()) == {1.0}, layout
        assert set(judged(task, answers(task, False, layout)).values()) == {0.0}, layout


@pytest.mark.slow
@pytest.mark.parametrize("name", names())
def test_plain_lm_eval_measures_it_without_us(name: str, tmp_path: Path) -> None:
    from lm_eval.evaluator import evaluate
    from lm_eval.models.dummy import DummyLM
    from lm_eval.tasks import TaskManager

    manager = TaskManager(include_path=str(OURS), include_defaults=False, metadata={"data": str(data_of(name, tmp_path))})
    found = evaluate(DummyLM(), manager.load([name])["tasks"], bootstrap_iters=0, log_samples=False)
    metrics = {metric.split(",")[0]: value for metric, value in found["results"][name].items() if isinstance(value, float)}
    assert set(metrics) & set(JUDGING) and all(0 <= metrics[judging] <= 100 for judging in set(metrics) & set(JUDGING))


def test_the_listing_finds_the_tasks_and_the_metrics_are_theirs() -> None:
    found = names()
    assert {"creak", "questions", "ft_cot_coin_flip", "natural_instructions"} <= set(found) and len(found) == len(set(found))
