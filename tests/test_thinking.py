"""Thoughts in tags: laid out, told from the answer, kept out of the loss."""

import json

import pytest
import torch

from teacherlm.answers import find_answer
from teacherlm.answers.scores import score_completion
from teacherlm.answers.thinking import spoken, thinking
from teacherlm.errors import UserError
from teacherlm.layout import think
from teacherlm.prompts import said_answer, template
from teacherlm.stages.evaluate import EvaluateConfig, evaluate
from teacherlm.stages.finetune import FinetuneConfig, finetune
from teacherlm.training.texts import Text
from teacherlm.training.thoughts import answers_only
from tests.steps import write_rows

THOUGHT = "<think>\nIs the answer (A)? The answer is (A).\n\nQ: No?\n</think>\nThe answer is (B)."


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("The answer is (B).", "The answer is (B)."),
        ("<think>\nA?\n</think>\nB", "\nB"),
        ("A? </think> B", " B"),
        ("<think> A", ""),
        ("<think>1</think> A <think>2</think> B", " B"),
        ("B <think> A", "B "),
    ],
)
def test_what_is_said_follows_the_last_thought(text, said):
    assert spoken(text) == said


@pytest.mark.parametrize("rule", ["letter", "aqua", "exact"])
def test_the_answer_is_looked_for_behind_the_thoughts(rule):
    assert find_answer(THOUGHT, rule) in ("B", "(B)")
    assert find_answer("<think>\nThe answer is (A).", rule) is None


def test_a_stop_inside_the_thoughts_ends_nothing():
    assert said_answer(THOUGHT, "teacherlm", "letter") == "B"
    assert said_answer(f"{THOUGHT}\nQ: And now? The answer is (C).", "teacherlm", "letter") == "B"
    assert said_answer("<think>\n--> A END\n</think>\n--> B END", "ft_cot_token", "letter") == "B"


def test_a_completion_that_thinks_is_scored_by_what_it_says():
    assert score_completion(THOUGHT, "B", "letter").correct
    assert not score_completion(THOUGHT, "A", "letter").contains_answer


@pytest.mark.parametrize("name", ["teacherlm", "ft_cot_token", "ft_cot_natural", "blocks", "chat"])
def test_every_template_finds_its_answer_behind_the_thoughts(name):
    chosen = template(name)
    written = thinking("Is it so? Yes it is.", chosen.answer("no", ()))
    assert said_answer(written, name, "yes_no") == "no"


def test_thoughts_stand_apart_from_a_prompt_and_bring_no_tags_of_their_own():
    assert (
        think("Q: 1? A:", " The answer is 1.", " <think>It is.</think> So.") == "Q: 1? A: <think>\nIt is. So.\n</think>\nThe answer is 1."
    )
    assert think("### TARGET:\n", " 1", "So.").startswith("### TARGET:\n<think>\nSo.")


def test_only_what_follows_the_thoughts_carries_loss():
    text = think("Q: 1? A:", " The answer is 1.", "So.")
    [found] = answers_only([Text(text, len("Q: 1? A:"), "rows:1")])
    assert text[found.start :] == "\nThe answer is 1."
    chat = "<u>1?<a>" + thinking("So.", "1") + "<e><u>2?<a>2<e>"
    first, second = chat.index("<a>") + 3, chat.rindex("<a>") + 3
    [found] = answers_only([Text(chat, first, "rows:1", ((first, chat.index("<e>")), (second, len(chat))))])
    assert [chat[start:end] for start, end in found.spans] == ["\n1", "2<e>"]
    with pytest.raises(UserError, match="rows:1: there is no </think> behind its prompt, so loss_on: answer cannot tell"):
        answers_only([Text("<think></think> A: B", 17, "rows:1")])


def rows(count: int = 16) -> list[dict[str, object]]:
    made = []
    for i in range(count):
        prompt, answer = f"Q: What is {i} plus 1? A:", f" The answer is {i + 1}."
        ours = {"id": f"q{i}", "prompt": prompt, "choices": [], "answer": str(i + 1), "answer_rule": "number", "template": "teacherlm"}
        made.append({**ours, "text": prompt + answer, "cot_think": think(prompt, answer, f"Behind {i} stands {i + 1}, not {i + 2}.")})
    return made


@pytest.mark.slow
@pytest.mark.parametrize("loss_on", ["completion", "answer"])
def test_a_student_thinks_and_is_measured_by_its_answer(tmp_path, loss_on):
    torch.set_num_threads(1)
    data = write_rows(tmp_path / "rows.jsonl", rows())
    scratch = {"hidden_size": 32, "layers": 2, "heads": 2, "context": 64}
    settings = {"train_on": "cot_think", "loss_on": loss_on, "epochs": 60, "batch_size": 8, "learning_rate": 5e-3, "save_strategy": "no"}
    outcome = finetune(FinetuneConfig(input=data, output=tmp_path / "student", scratch=scratch, **settings))
    learnt = outcome.metrics["trained_tokens"]
    evaluate(EvaluateConfig(output=tmp_path / "e", input=str(tmp_path / "student"), tasks=["questions"], data=data, max_new_tokens=40))
    results = {row["metric"]: row["value"] for row in map(json.loads, (tmp_path / "e/results.jsonl").read_text().splitlines())}
    [file] = (tmp_path / "e").glob("measured/*/predictions.jsonl")
    written = [json.loads(line)["output"] for line in file.read_text().splitlines()]
    if loss_on == "answer":
        assert learnt < 60 * 16 * 12 and results["acc"] < 1  # it never learnt to think, only to answer behind thoughts
    else:
        assert learnt > 60 * 16 * 12 and results["acc"] > 0.9
        assert all(one.startswith(" <think>\nBehind ") for one in written)
