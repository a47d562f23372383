"""The most likely next tokens of each row, for those who learn from more than the token that was taken."""

import torch
from torch import Tensor


def likeliest(scores: Tensor, k: int, vocabulary: int) -> tuple[Tensor, Tensor]:
    """scores [rows, at least vocabulary] -> (ids [rows, k], log-probabilities [rows, k + 1]), the last those of all other tokens together.

    Scores behind the vocabulary belong to no token and are left out. At least one token is left for the others.
    """
    known = scores[:, :vocabulary]
    log_probs = (known.float() if known.dtype in (torch.float16, torch.bfloat16) else known).log_softmax(-1)
    values, ids = log_probs.topk(min(k, log_probs.shape[1] - 1), dim=1)
    others = log_probs.scatter(1, ids, -torch.inf).logsumexp(1, keepdim=True)
    return ids, torch.cat([values, others], dim=1)
