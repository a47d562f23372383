"""How much of what a student computes is padding, and that packing leaves none."""

import json
from pathlib import Path

import pytest

from teacherlm.errors import UserError
from teacherlm.stages.finetune import FinetuneConfig, finetune
from teacherlm.training.families import Causal, Seq2Seq
from tests.trainings import SETTINGS, write_rows


def unequal_rows(folder: Path) -> Path:
    prompts = [f"Q:{' please' * (i % 5)} {i} plus 1? A:" for i in range(48)]
    path = folder / "rows.jsonl"
    path.write_text("".join(json.dumps({"prompt": p, "text": f"{p} The answer is {i + 1}."}) + "\n" for i, p in enumerate(prompts)))
    return path


@pytest.mark.slow
def test_packing_leaves_no_padding_and_changes_nothing_else(tmp_path):
    data, outcomes, rows = unequal_rows(tmp_path), {}, {}
    settings = {**SETTINGS, "epochs": 2, "group_by_length": False, "input": data}
    for packing in (False, True):
        output = tmp_path / f"packing {packing}"
        outcomes[packing] = finetune(FinetuneConfig(**settings, output=output, packing=packing))
        rows[packing] = [json.loads(line) for line in (output / "metrics.jsonl").read_text().splitlines()]
    padded, packed = outcomes[False].metrics, outcomes[True].metrics
    assert packed["padding"] == 0 < padded["padding"] < 0.2
    assert packed["read_tokens"] == padded["read_tokens"] == 2 * outcomes[False].counts["tokens"]
    assert [row["loss"] for row in rows[True]] == pytest.approx([row["loss"] for row in rows[False]], rel=1e-5)
    assert packed["held_out_loss"] == pytest.approx(padded["held_out_loss"], rel=1e-5)
    assert rows[True][-1]["padding"] == 0 and rows[False][-1]["read_tokens"] == padded["read_tokens"]


def test_places_are_counted_for_each_family():
    rows = [Causal().join([3, 4], [5, 6]), Causal().join([7], [8])]
    assert Causal().places(Causal().batch(rows, 0)) == (6, 8)
    packing = Causal(packing=True)
    assert packing.places(packing.batch(rows, 0)) == (6, 6)
    family = Seq2Seq(start=0, target_limit=9)
    pairs = [family.join([3, 4, 2], [5, 6]), family.join([7], [8])]
    assert family.places(family.batch(pairs, 0)) == (7, 10)


def test_packing_an_encoder_decoder_is_refused(tmp_path):
    scratch = {"architecture": "t5", "hidden_size": 8, "layers": 1, "heads": 2, "context": 64}
    with pytest.raises(UserError, match="packing: an encoder-decoder reads one prompt at a time"):
        finetune(FinetuneConfig(**{**SETTINGS, "scratch": scratch}, input=write_rows(tmp_path), output=tmp_path / "run", packing=True))
