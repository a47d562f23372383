"""Shots: never the question itself, only whole ones, no more than the student can read."""

import json
from pathlib import Path
from typing import Any

import pytest
from transformers import AutoModelForCausalLM, AutoTokenizer

from teacherlm.engines.bodies.transformers import TransformersEngine
from teacherlm.evaluation.harness import EngineLM
from teacherlm.evaluation.loading import TaskOptions, load_tasks
from teacherlm.evaluation.shots import whole_shots

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
    (tmp_path / "_sums.py").write_text(
        "import datasets\n\ndef dataset(**_):\n    rows = [{'number': n} for n in range(6)]\n"
        "    return {'validation': datasets.Dataset.from_list(rows)}\n"
    )
    answers = LETTERS if request.param == "multiple_choice" else WRITTEN
    (tmp_path / "sums.yaml").write_text(SUMS.format(kind=request.param, answers=answers))
    return tmp_path


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
