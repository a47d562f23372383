"""How many questions are read or answered at once changes no item, and the letters of a question are read together."""

from pathlib import Path
from typing import Any

import pytest

from teacherlm.evaluation.harness import CPU_TOKENS, EngineLM
from teacherlm.parsing import parse_config
from teacherlm.stages.evaluate import EvaluateConfig, evaluate
from teacherlm.store.files import read_jsonl

QUESTIONS = 40


def answered(model: Path, data: Path, output: Path, **values: Any) -> list[dict[str, Any]]:
    words = {"input": str(model), "data": data, "output": output, "dtype": "float32", "device": "cpu", "limit": QUESTIONS}
    evaluate(parse_config(EvaluateConfig, {**words, "split": "validation", "max_new_tokens": 40, **values}))
    row = next(row for _, row in read_jsonl(output / "results.jsonl"))
    return [row for _, row in read_jsonl(output / row["predictions"])]


@pytest.mark.slow
@pytest.mark.parametrize("task", ["creak", "creak_generate"])
def test_no_item_flips_between_one_question_at_a_time_and_thirty_two(tmp_path: Path, stories260k: Path, creak: Path, task: str) -> None:
    one, many = (answered(stories260k, creak, tmp_path / str(size), tasks=task, batch_size=size) for size in (1, 32))
    assert len(one) == len(many) == QUESTIONS and [row["item"] for row in one] == [row["item"] for row in many]
    assert [row["correct"] for row in one] == [row["correct"] for row in many]
    if task == "creak":
        for alone, together in zip(one, many, strict=True):
            assert alone["output"] == pytest.approx(together["output"], abs=1e-4)
    else:
        texts = [row["output"] for row in one]
        assert texts == [row["output"] for row in many] and len(set(texts)) > 10, "it wrote different texts"


@pytest.mark.parametrize("batch_size", [1, 32])
def test_the_letters_of_a_question_are_read_in_one_forward_pass(
    tmp_path: Path, stories260k: Path, creak: Path, monkeypatch: pytest.MonkeyPatch, batch_size: int
) -> None:
    read: list[int] = []
    forward = EngineLM._model_call

    def counting(self: EngineLM, rows: Any, **more: Any) -> Any:
        read.append(len(rows))
        assert rows.numel() <= CPU_TOKENS
        return forward(self, rows, **more)

    monkeypatch.setattr(EngineLM, "_model_call", counting)
    rows = answered(stories260k, creak, tmp_path / "out", tasks="creak", batch_size=batch_size)
    assert all(len(row["output"]) == 2 for row in rows), "two letters were weighed for each question"
    assert sum(read) == QUESTIONS and max(read) <= batch_size
    assert (len(read) < QUESTIONS / 4) == (batch_size > 1), "several questions share a pass"
