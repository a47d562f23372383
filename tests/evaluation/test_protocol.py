"""How a question and a letter become tokens: as plain lm-eval does, or as TeacherLM's own evaluation did."""

import json
from pathlib import Path
from typing import Any

import pytest
import torch
from transformers import AutoModelForCausalLM, AutoTokenizer

from teacherlm.parsing import parse_config
from teacherlm.stages.evaluate import EvaluateConfig, evaluate
from teacherlm.store.files import read_jsonl

CLAIMS = ("Eating soup means eating only solids.", "Paris is in France.", "The Moon is made of cheese.")


@pytest.fixture
def claims(tmp_path: Path) -> Path:
    path = tmp_path / "dev.json"
    rows = [{"ex_id": f"c{n}", "sentence": sentence, "label": "true" if n == 1 else "false"} for n, sentence in enumerate(CLAIMS)]
    path.write_text("".join(json.dumps(row) + "\n" for row in rows), encoding="utf-8")
    return path


def measured(model: Path, data: Path, output: Path, **values: Any) -> tuple[dict[str, Any], list[dict[str, Any]]]:
    words = {"input": str(model), "tasks": "creak", "data": data, "output": output, "dtype": "float32", "device": "cpu"}
    evaluate(parse_config(EvaluateConfig, {**words, **values}))
    row = next(row for _, row in read_jsonl(output / "results.jsonl"))
    return row, [row for _, row in read_jsonl(output / row["predictions"])]


def weighed_by_hand(model: Path, prompt: str) -> list[float]:
    """The letters' log-likelihoods behind the bare tokens of the prompt."""
    tokenizer, student = AutoTokenizer.from_pretrained(model), AutoModelForCausalLM.from_pretrained(model, dtype=torch.float32)
    found = []
    for letter in "AB":
        asked, said = (tokenizer(text, add_special_tokens=False)["input_ids"] for text in (prompt, letter))
        with torch.no_grad():
            told = student(torch.tensor([asked + said])).logits[0].log_softmax(-1)
        found.append(sum(float(told[len(asked) - 1 + i, token]) for i, token in enumerate(said)))
    return found


@pytest.mark.real
def test_teacherlms_protocol_encodes_apart_and_without_bos_and_says_so(tmp_path: Path, claims: Path, stories260k: Path) -> None:
    out = tmp_path / "out"
    usual, plain = measured(stories260k, claims, out)
    other, bare = measured(stories260k, claims, out, protocol="teacherlm")
    assert (usual["encoding"], other["encoding"]) == ("together, BOS", "apart, no BOS")
    for row in bare:
        assert row["output"] == pytest.approx(weighed_by_hand(stories260k, row["prompt"]), abs=1e-4)
    assert [row["prompt"] for row in plain] == [row["prompt"] for row in bare]
    assert all(one["output"] != pytest.approx(two["output"], abs=1e-3) for one, two in zip(plain, bare, strict=True))
    assert len(list((out / "measured").iterdir())) == 2, "neither counts as the other"
    again, _ = measured(stories260k, claims, out, protocol="lm_eval")
    assert {**again, "seconds": 0} == {**usual, "seconds": 0}


@pytest.mark.real
def test_what_a_student_writes_is_the_same_measurement_in_both_protocols(tmp_path: Path, claims: Path, stories260k: Path) -> None:
    words = {"tasks": "creak_generate", "max_new_tokens": 4}
    one, _ = measured(stories260k, claims, tmp_path / "out", **words)
    two, _ = measured(stories260k, claims, tmp_path / "out", **words, protocol="teacherlm")
    assert one == two and "encoding" not in one
