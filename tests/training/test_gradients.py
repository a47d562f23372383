"""Gradients do not depend on how a batch is cut up."""

import random
from pathlib import Path

import pytest
import torch

from teacherlm.training.families import Causal, Family, Seq2Seq, padded
from teacherlm.training.sft import Sft
from tests.steps import one_step

CAUSAL = Causal()


def unequal_rows(count: int, family: Family):
    dice = random.Random(1)
    words = lambda n: [dice.randrange(3, 50) for _ in range(n)]  # noqa: E731
    return [family.join(words(dice.randint(int(family.apart), 9)), words(dice.randint(1, 12))) for _ in range(count)]


def gradients_of_first_step(model, micro: int, folder: Path, family: Family = CAUSAL) -> list[torch.Tensor]:
    return one_step(model, Sft(family), unequal_rows(16, family), micro, folder, family)[1]


@pytest.mark.slow
@pytest.mark.parametrize(("dtype", "allowed"), [(torch.float64, 1e-12), (torch.float32, 1e-6)])
@pytest.mark.parametrize("micro", [4, 5, 1])
def test_accumulation_gives_the_gradients_of_the_whole_batch(tiny_llama, tmp_path, dtype, allowed, micro):
    model = tiny_llama.to(dtype)
    whole = gradients_of_first_step(model, 16, tmp_path)
    cut_up = gradients_of_first_step(model, micro, tmp_path)
    assert whole and max(float((a - b).abs().max()) for a, b in zip(whole, cut_up, strict=True)) < allowed


@pytest.mark.slow
@pytest.mark.parametrize("micro", [8, 5])
def test_accumulation_gives_an_encoder_decoder_the_gradients_of_the_whole_batch(tiny_t5, tmp_path, micro):
    family = Seq2Seq(start=0, target_limit=64)
    whole = gradients_of_first_step(tiny_t5, 16, tmp_path, family)
    cut_up = gradients_of_first_step(tiny_t5, micro, tmp_path, family)
    assert whole and max(float((a - b).abs().max()) for a, b in zip(whole, cut_up, strict=True)) < 1e-12


def test_sft_loss_is_the_mean_over_the_targets_tokens(tiny_llama):
    rows = [Causal().join([3, 4], [5, 6]), Causal().join([7], [8])]
    batch = padded(rows, pad=0)
    objective = Sft(Causal())
    by_hand = torch.zeros((), dtype=torch.float64)
    for ids, first in (([3, 4, 5, 6], 2), ([7, 8], 1)):
        scores = tiny_llama(torch.tensor([ids])).logits[0].log_softmax(-1)
        by_hand -= sum(scores[at - 1, ids[at]] for at in range(first, len(ids)))
    assert objective.counts(batch)["sft"] == 3
    torch.testing.assert_close(objective.sums(tiny_llama, batch)["sft"], by_hand)


def test_a_first_token_without_prompt_carries_no_loss():
    row = Causal().join([], [5, 6, 7])
    assert row["labels"].tolist() == [-100, 6, 7]
