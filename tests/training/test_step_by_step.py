"""step_by_step: two tasks of each row, weighed token by token over the whole step."""

import json
from typing import Any

import pytest
import torch
from datasets import Dataset

from teacherlm.errors import UserError
from teacherlm.stages.finetune import FinetuneConfig, finetune
from teacherlm.store.checkpoints import find_checkpoints
from teacherlm.training.batches import MicroBatches, Rows, cut
from teacherlm.training.families import Causal
from teacherlm.training.objective import Example
from teacherlm.training.step_by_step import StepByStep, build_tasks, label_prefix
from teacherlm.training.texts import Reader, read_table
from teacherlm.training.tokens import texts_of
from tests.steps import furthest_apart, one_step, write_rows

ALPHA = 0.3
TASKS = [
    ([3, 4], [5, 6], "label"),
    ([3, 4, 9], [7, 8, 9, 10], "rationale"),
    ([11], [12, 13, 14], "label"),
    ([11, 9], [15], "rationale"),
    ([16, 17, 18], [19], "label"),
]
"""Three questions in tokens; the third has no rationale."""


def encoded(objective: StepByStep) -> list[dict[str, Any]]:
    return [row for prompt, target, part in TASKS for row in objective.encode(Example(prompt, target, part), Causal().join)]


def by_hand(model: Any) -> float:
    """alpha * mean over the labels' tokens + (1 - alpha) * mean over the rationales', each row on its own, unpadded."""
    losses: dict[str, list[float]] = {"label": [], "rationale": []}
    for prompt, target, part in TASKS:
        scores = model(torch.tensor([[*prompt, *target]])).logits[0].log_softmax(-1)
        losses[part] += [-float(scores[len(prompt) + i - 1, token].detach()) for i, token in enumerate(target)]
    means = {part: sum(found) / len(found) for part, found in losses.items()}
    assert {part: len(found) for part, found in losses.items()} == {"label": 6, "rationale": 5}
    return ALPHA * means["label"] + (1 - ALPHA) * means["rationale"]


@pytest.mark.parametrize("micro", [1, 2, 3, 5])
def test_the_loss_is_the_one_by_hand_however_the_step_is_cut_up(tiny_llama, tmp_path, micro):
    objective = StepByStep(Causal(), ALPHA)
    loss, _ = one_step(tiny_llama, objective, encoded(objective), micro, tmp_path)
    assert loss == pytest.approx(by_hand(tiny_llama), abs=1e-12)


@pytest.mark.slow
def test_gradients_do_not_depend_on_the_cut(tiny_llama, tmp_path):
    objective = StepByStep(Causal(), ALPHA)
    _, whole = one_step(tiny_llama, objective, encoded(objective), 5, tmp_path)
    for micro in (1, 2, 3):
        assert furthest_apart(whole, one_step(tiny_llama, objective, encoded(objective), micro, tmp_path)[1]) < 1e-12


def test_alpha_one_is_sft_on_the_labels_alone(tiny_llama, tmp_path):
    labels = [row for row, (_, _, part) in zip(encoded(StepByStep(Causal(), 1.0)), TASKS, strict=True) if part == "label"]
    both, _ = one_step(tiny_llama, StepByStep(Causal(), 1.0), encoded(StepByStep(Causal(), 1.0)), 2, tmp_path)
    alone, _ = one_step(tiny_llama, StepByStep(Causal(), 1.0), labels, 2, tmp_path)
    assert both == pytest.approx(alone, abs=1e-12)


@pytest.mark.parametrize("group", [True, False])
def test_the_two_tasks_of_a_question_share_a_batch(group):
    rows = []
    for i in range(40):
        rows += [{"input_ids": [0] * 3, "labels": [0] * 3, "follows": 0}, {"input_ids": [0] * (10 + i), "labels": [0] * 9, "follows": 1}]
    table = Rows(rows, Causal())
    batches = MicroBatches(table.lengths(), cut(8, None, None, 1), 0, 0, group, table.together())
    for batch in batches.batches():
        assert {i + 1 for i in batch if i % 2 == 0} == {i for i in batch if i % 2}
    assert sorted(i for batch in batches.batches() for i in batch) == list(range(80))


def questions(count: int = 6) -> list[dict[str, Any]]:
    return [
        {
            "id": f"q{i}",
            "prompt": f"Q: What is {i} plus 1? A:",
            "text": f"Q: What is {i} plus 1? A: The answer is {i + 1}.",
            "cot": f" {i} and 1 make {i + 1}.",
            "template": "teacherlm",
        }
        for i in range(count)
    ]


def test_a_row_is_asked_for_its_label_and_for_its_rationale(tmp_path):
    texts = build_tasks(read_table(write_rows(tmp_path / "rows.jsonl", questions(1))), "text", "cot", True, None)
    assert [(text.text[: text.start], text.text[text.start :], text.part) for text in texts] == [
        ("predict: Q: What is 0 plus 1? A:", " The answer is 1.", "label"),
        ("explain: Q: What is 0 plus 1? A:", " 0 and 1 make 1.", "rationale"),
    ]
    assert texts[0].where == texts[1].where == f"{tmp_path / 'rows.jsonl'}:1"


def test_a_saved_dataset_gives_the_same_tasks(tmp_path):
    Dataset.from_list(questions()).save_to_disk(str(tmp_path / "set"))
    saved = build_tasks(read_table(tmp_path / "set"), "text", "cot", True, None)
    lines = build_tasks(read_table(write_rows(tmp_path / "rows.jsonl", questions())), "text", "cot", True, None)
    assert [(t.text, t.start, t.part) for t in saved] == [(t.text, t.start, t.part) for t in lines]


def test_rows_without_rationale_give_the_label_alone_and_are_counted(tmp_path, capsys):
    rows = questions()
    rows[1]["cot"], rows[4]["cot"] = "", None
    texts = build_tasks(read_table(write_rows(tmp_path / "rows.jsonl", rows)), "text", "cot", True, None)
    assert [text.part for text in texts].count("label") == 6 and [text.part for text in texts].count("rationale") == 4
    assert "2 of 6 rows have no rationale ('cot' is empty): they give only the label task." in capsys.readouterr().err


def test_what_is_missing_is_named(tmp_path):
    table = read_table(write_rows(tmp_path / "rows.jsonl", [{**row, "cot": ""} for row in questions()]))
    with pytest.raises(UserError, match="column 'cot' is empty in all 6 rows, so there is nothing to explain"):
        build_tasks(table, "text", "cot", True, None)
    with pytest.raises(UserError, match="no column 'explanation' to train on; columns of text: id, prompt"):
        build_tasks(table, "text", "explanation", True, None)
    numbers = read_table(write_rows(tmp_path / "rows.jsonl", [{**row, "cot": 5} for row in questions()]))
    with pytest.raises(UserError, match=r"rows.jsonl:1: column 'cot' is int, expected text"):
        build_tasks(numbers, "text", "cot", True, None)


def test_held_out_questions_are_held_out_with_both_tasks(tmp_path):
    data = write_rows(tmp_path / "rows.jsonl", questions(20))
    config = FinetuneConfig(input=data, output=tmp_path / "run", model="any", objective="step_by_step", held_out=0.25)
    kept, held_out = texts_of(config, read_table(data), Reader(None, "any"))
    assert (len(kept), len(held_out)) == (30, 10)
    assert not {text.where for text in kept} & {text.where for text in held_out}


def test_templates_that_name_the_task_alike_give_one_prefix():
    assert label_prefix([]) == label_prefix(["teacherlm", "ft_cot_token"]) == "predict: "


def test_the_student_is_taught_both_and_its_checkpoint_says_how_to_ask(tmp_path, capsys):
    data = write_rows(tmp_path / "rows.jsonl", questions(24))
    settings = {"input": data, "output": tmp_path / "student", "scratch": {"hidden_size": 16, "layers": 1, "heads": 2, "context": 64}}
    config = FinetuneConfig(**settings, objective="step_by_step", epochs=3, batch_size=16, learning_rate=3e-3, held_out=0.25)
    assert config.train_on == "text"
    outcome = finetune(config)
    facts = find_checkpoints(tmp_path / "student")[-1].facts
    assert {name: facts[name] for name in ("objective", "alpha", "rationale", "prompt_prefix", "train_on")} == {
        "objective": "step_by_step",
        "alpha": 0.5,
        "rationale": "cot",
        "prompt_prefix": "predict: ",
        "train_on": "text",
    }
    assert outcome.counts["label"] == outcome.counts["rationale"] == 24
    losses = [c.facts["held_out_loss"] for c in find_checkpoints(tmp_path / "student")]
    assert losses == sorted(losses, reverse=True)


def test_settings_outside_their_bounds_are_one_line(tmp_path):
    data = tmp_path / "rows.jsonl"
    data.write_text(json.dumps(questions(1)[0]) + "\n")
    with pytest.raises(UserError, match=r"objective\.alpha|alpha"):
        from teacherlm.parsing import parse_config

        given = {"input": data, "output": tmp_path, "scratch": {}, "objective": {"name": "step_by_step", "alpha": 1.5}}
        parse_config(FinetuneConfig, given)
