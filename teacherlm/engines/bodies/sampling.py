"""The next token of each row: the most likely one, or a drawn one that does not depend on what else is in the batch.

Gumbel-max: argmax(log p + g) with independent g = -log(-log u) is a draw from p (Gumbel 1954; Maddison et al. 2014). Here u is a
hash of (row's seed, position, token id), computed in integers, so it is the same in every batch, on every device, at every restart.
"""

import hashlib

import torch
from transformers import TemperatureLogitsWarper, TopKLogitsWarper, TopPLogitsWarper

from teacherlm.records import Sampling

# The constants of splitmix64 (Steele, Lea, Flood 2014), as signed 64-bit integers: torch multiplies modulo 2^64.
GOLDEN = 0x9E3779B97F4A7C15 - (1 << 64)
MIX_1 = 0xBF58476D1CE4E5B9 - (1 << 64)
MIX_2 = 0x94D049BB133111EB - (1 << 64)


def seed_of(key: str) -> int:
    """A signed 64-bit seed for a request's key."""
    return int.from_bytes(hashlib.blake2b(key.encode(), digest_size=8).digest(), "big", signed=True)


def choose(logits: torch.Tensor, sampling: Sampling, seeds: torch.Tensor, positions: torch.Tensor) -> torch.Tensor:
    """logits [rows, vocabulary], seeds and positions [rows] (int64; tokens written so far) -> token ids [rows]."""
    if sampling.temperature == 0:
        return logits.argmax(-1)
    scores: torch.Tensor = TemperatureLogitsWarper(sampling.temperature)(None, logits.float())
    if 0 < sampling.top_k < logits.shape[-1]:
        scores = TopKLogitsWarper(sampling.top_k)(None, scores)
    if sampling.top_p < 1:
        scores = TopPLogitsWarper(sampling.top_p)(None, scores)
    return (scores + gumbel(seeds, positions, logits.shape[-1])).argmax(-1)


def gumbel(seeds: torch.Tensor, positions: torch.Tensor, vocabulary: int) -> torch.Tensor:
    """Standard Gumbel noise [rows, vocabulary] in float32."""
    start = _mixed(seeds + positions * GOLDEN)[:, None]
    bits = _mixed(start + torch.arange(1, vocabulary + 1, device=seeds.device) * GOLDEN)
    # 23 bits and a half: the largest value is the last float32 below 1, so that both logarithms stay finite.
    uniform = (_shifted(bits, 41).float() + 0.5) * 2.0**-23
    return -torch.log(-torch.log(uniform))


def _mixed(x: torch.Tensor) -> torch.Tensor:
    """splitmix64's finaliser."""
    x = (x ^ _shifted(x, 30)) * MIX_1
    x = (x ^ _shifted(x, 27)) * MIX_2
    return x ^ _shifted(x, 31)


def _shifted(x: torch.Tensor, by: int) -> torch.Tensor:
    """Logical shift to the right; torch's own keeps the sign."""
    return (x >> by) & ((1 << (64 - by)) - 1)
