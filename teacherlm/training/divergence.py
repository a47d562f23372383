"""How far a student's distribution of the next token is from its teacher's, token by token.

P is the teacher's, Q the student's distribution, M = beta·P + (1 - beta)·Q. The generalised Jensen-Shannon divergence of GKD (Agarwal
et al. 2023, equation 1) is

    D_beta(P, Q) = beta·KL(P || M) + (1 - beta)·KL(Q || M)

It vanishes with beta and with 1 - beta, but D_beta/beta tends to the forward KL(P || Q) and D_beta/(1 - beta) to the reverse
KL(Q || P); beta 0 and 1 stand for these, as in GKD and TRL.
"""

from dataclasses import dataclass
from math import log
from typing import Any

import torch
from torch import Tensor
from torch.utils.checkpoint import checkpoint

from teacherlm.training.sft import wide

FLOOR = -1e4
"""Least log-probability: e to its power is 0 in every precision, while 0 times infinity would be no number."""
CHUNK = 1 << 24
"""Numbers (positions x vocabulary) compared at once; the backward pass computes each chunk anew rather than keep its parts."""


@dataclass(frozen=True)
class TopK:
    """What is kept of a teacher: its k most likely tokens at N positions, and how likely all others are together."""

    log_probs: Tensor
    """[N, k + 1], the last column for the rest; rows sum to 1 when exponentiated."""
    ids: Tensor
    """[N, k]."""


Target = Tensor | TopK
"""A teacher's logits [N, vocabulary], or what is kept of them."""


def divergence(student: Tensor, teacher: Tensor, beta: float) -> Tensor:
    """D_beta of each row [N] from log-probabilities [N, categories]."""
    p, q = teacher.clamp(min=FLOOR), student.clamp(min=FLOOR)
    if beta == 0:
        return _kl(p, q)
    if beta == 1:
        return _kl(q, p)
    middle = torch.logaddexp(p + log(beta), q + log(1 - beta))
    return beta * _kl(p, middle) + (1 - beta) * _kl(q, middle)


def _kl(p: Tensor, q: Tensor) -> Tensor:
    return (p.exp() * (p - q)).sum(-1)


def bucketed(log_probs: Tensor, ids: Tensor) -> Tensor:
    """[N, vocabulary] -> [N, k + 1]: the chosen tokens' log-probabilities, and that of all others together."""
    rest = log_probs.scatter(1, ids, -torch.inf).logsumexp(1, keepdim=True)
    return torch.cat([log_probs.gather(1, ids), rest], dim=1)


def top_k(logits: Tensor, k: int, temperature: float) -> TopK:
    """The k most likely of a teacher's logits [N, vocabulary]; at least one token is left for the rest."""
    log_probs = (wide(logits) / temperature).log_softmax(-1)
    ids = log_probs.topk(min(k, log_probs.shape[1] - 1), dim=1).indices
    return TopK(bucketed(log_probs, ids), ids)


def summed_divergence(student: Tensor, teacher: Target, beta: float, temperature: float = 1.0) -> Tensor:
    """Σ of D_beta over all positions (0-dim), both distributions at this temperature; gradients reach the student alone.

    `student`: logits [N, vocabulary]. Of a `TopK` teacher, D_beta is that of k + 1 categories: its k most likely tokens, and one for
    all others together, which is at most the divergence of the whole vocabulary.
    """
    step = max(1, CHUNK // max(1, student.shape[1]))
    if len(student) <= step:
        return _summed(student, teacher, beta, temperature)
    parts = [
        checkpoint(_summed, student[at : at + step], _rows(teacher, at, step), beta, temperature, use_reentrant=False)
        for at in range(0, len(student), step)
    ]
    return torch.stack(parts).sum()


def _summed(student: Tensor, teacher: Target, beta: float, temperature: float) -> Tensor:
    own: Any = (wide(student) / temperature).log_softmax(-1)
    if isinstance(teacher, TopK):
        own, theirs = bucketed(own, teacher.ids), teacher.log_probs
    else:
        theirs = (wide(teacher) / temperature).log_softmax(-1)
    return divergence(own, theirs.detach().to(own.dtype), beta).sum()


def _rows(teacher: Target, at: int, count: int) -> Target:
    if isinstance(teacher, TopK):
        return TopK(teacher.log_probs[at : at + count], teacher.ids[at : at + count])
    return teacher[at : at + count]
