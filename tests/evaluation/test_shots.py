"""Shots: never the question itself, only whole ones, no more than the student can read."""

import json
from pathlib import Path
from typing import Any

import pytest
from transformers import AutoModelForCausalLM, AutoTokenizer
from word_students import write_checkpoint

from teacherlm.engines.bodies.transformers import TransformersEngine
from teacherlm.evaluation.harness import EngineLM
from teacherlm.evaluation.loading import TaskOptions, load_tasks
from teacherlm.evaluation.shots import whole_shots
from teacherlm.stages.evaluate import EvaluateConfig, evaluate
from teacherlm.store.files import read_jsonl

SUMS = """
task: sums
custom_dataset: !function _sums.dataset
output_type: {kind}
validation_split: validation
fewshot_split: validation
doc_to_text: "How much is {{{{number}}}} plus 1? A:"
{answers}
"""
LETTERS = 'doc_to_choice: ["one", "two"]\ndoc_to_target: "{{number % 2}}"'
WRITTEN = 'doc_to_target: "{{number + 1}}"\ngeneration_kwargs: {until: ["\\n"], max_gen_toks: 8}'


@pytest.fixture(params=["multiple_choice", "generate_until"])
def tasks(request: pytest.FixtureRequest, tmp_path: Path) -> Path:
    """A task whose shots come from the split that is measured."""
    return write_sums(tmp_path, SUMS.format(kind=request.param, answers=LETTERS if request.param == "multiple_choice" else WRITTEN))


def write_sums(folder: Path, task: str) -> Path:
    (folder / "_sums.py").write_text(
        "import datasets\n\ndef dataset(**_):\n    rows = [{'number': n} for n in range(6)]\n"
        "    return {'validation': datasets.Dataset.from_list(rows)}\n"
    )
    (folder / "sums.yaml").write_text(task)
    return folder


def questions_of(prompt: str) -> list[int]:
    return [int(part.split(" plus")[0]) for part in prompt.split("How much is ")[1:]]


def prompts(loaded: Any) -> dict[int, list[int]]:
    """By question: the numbers asked for in its prompt, its own last."""
    return {instance.doc_id: questions_of(instance.args[0]) for instance in loaded.task.instances}


def test_a_question_is_never_among_its_own_shots(tasks: Path) -> None:
    [loaded] = load_tasks(["sums"], [tasks], TaskOptions(shots=4))
    for number, asked in prompts(loaded).items():
        assert asked[-1] == number and number not in asked[:-1]
        assert len(set(asked)) == 5


def test_where_all_other_rows_are_shots_there_is_one_less(tasks: Path) -> None:
    [loaded] = load_tasks(["sums"], [tasks], TaskOptions(shots=6))
    for number, asked in prompts(loaded).items():
        assert sorted(asked) == list(range(6)) and asked[-1] == number


@pytest.mark.real
@pytest.mark.parametrize(("context", "shots"), [(512, 4), (60, 2), (25, 0)])
def test_only_whole_shots_are_given_as_many_as_fit(tasks: Path, stories260k: Path, context: int, shots: int) -> None:
    model, tokenizer = AutoModelForCausalLM.from_pretrained(stories260k), AutoTokenizer.from_pretrained(stories260k)
    model.config.max_position_embeddings = context
    student = EngineLM(TransformersEngine(model, tokenizer, "student"), 4)
    [loaded] = load_tasks(["sums"], [tasks], TaskOptions(shots=4))
    before = prompts(loaded)
    with whole_shots(loaded, student):
        found = prompts(loaded)
        for number, asked in found.items():
            assert asked == before[number][4 - (len(asked) - 1) :]  # the first ones are left out
        room = 8 if loaded.task.get_config("output_type") == "generate_until" else 2
        texts = [instance.args[0] for instance in loaded.task.instances]
        assert all(len(tokenizer(text)["input_ids"]) + room <= context for text in texts) or shots == 0
        assert abs(max(len(asked) - 1 for asked in found.values()) - shots) <= (1 if shots == 2 else 0)
    assert prompts(loaded) == before
    json.dumps(before)


@pytest.mark.parametrize(("more", "shown"), [("", None), (" much is much is", 3.0)])
def test_a_long_answer_takes_half_the_context_at_most_and_the_row_says_how_many_shots_a_question_had(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], more: str, shown: float | None
) -> None:
    task = SUMS.format(kind="generate_until", answers=WRITTEN.replace("8", "120"))
    write_sums(tmp_path, task.replace("How much is", f"How much is{more}"))
    student = write_checkpoint(tmp_path / "run", 10)  # a context of 128
    output = tmp_path / "out"
    evaluate(EvaluateConfig(input=str(student), output=output, tasks=["sums"], include_path=[tmp_path], shots=5))
    [row] = [row for _, row in read_jsonl(output / "results.jsonl")]
    assert row["shots"] == 5 and row.get("shots_shown") == shown
    asked = [row["prompt"].count("plus") - 1 for _, row in read_jsonl(output / row["predictions"])]
    assert asked == [shown or 5] * 6
    told = "warning: checkpoint-10 sums: 3.00 of 5 shots stand before a question on average; the first are left out where not all fit."
    assert capsys.readouterr().err.count(told) == bool(shown)
