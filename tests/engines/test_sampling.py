import math

import torch

from teacherlm.engines.bodies.sampling import choose, gumbel, seed_of
from teacherlm.records import Sampling


def drawn(logits: list[float], sampling: Sampling, count: int = 40_000) -> torch.Tensor:
    """Relative frequency of each token over `count` seeds."""
    seeds = torch.tensor([seed_of(f"{i:032x}") for i in range(count)])
    tokens = choose(torch.tensor(logits).expand(count, -1), sampling, seeds, torch.zeros_like(seeds))
    return torch.bincount(tokens, minlength=len(logits)) / count


def test_temperature_0_takes_the_most_likely_token():
    logits = torch.tensor([[0.1, 2.0, -1.0], [5.0, 2.0, -1.0]])
    assert choose(logits, Sampling(), torch.tensor([1, 2]), torch.tensor([0, 0])).tolist() == [1, 0]


def test_tokens_are_drawn_with_their_probabilities():
    logits = [0.0, 1.0, 2.0, -1.0, 0.5]
    for temperature in (1.0, 0.5, 2.0):
        expected = torch.softmax(torch.tensor(logits) / temperature, -1)
        found = drawn(logits, Sampling(temperature=temperature))
        error = 4 * (expected * (1 - expected) / 40_000).sqrt()
        assert bool((found - expected).abs().le(error).all()), (temperature, found, expected)


def test_top_k_and_top_p_leave_out_the_unlikely():
    logits = [0.0, 1.0, 2.0, -1.0, 0.5]
    assert drawn(logits, Sampling(temperature=1.0, top_k=2)).gt(0).tolist() == [False, True, True, False, False]
    assert drawn(logits, Sampling(temperature=1.0, top_p=0.5)).gt(0).tolist() == [False, False, True, False, False]
    assert drawn(logits, Sampling(temperature=1.0, top_k=99)).gt(0).all()


def test_the_noise_is_gumbel_and_independent_of_the_rows_beside_it():
    seeds, positions = torch.tensor([3, -5, 7]), torch.tensor([0, 4, 4])
    noise = gumbel(seeds, positions, 100_000)
    assert torch.equal(noise[1:2], gumbel(seeds[1:2], positions[1:2], 100_000))
    assert torch.isfinite(noise).all()
    assert abs(noise.mean().item() - 0.5772) < 0.01
    assert abs(noise.var().item() - math.pi**2 / 6) < 0.02
    correlated = torch.corrcoef(torch.cat([noise, gumbel(seeds, positions + 1, 100_000)]))
    assert (correlated - torch.eye(6)).abs().max() < 0.02


def test_a_larger_vocabulary_keeps_the_noise_of_the_smaller():
    seeds, positions = torch.tensor([11]), torch.tensor([2])
    assert torch.equal(gumbel(seeds, positions, 50), gumbel(seeds, positions, 90)[:, :50])
