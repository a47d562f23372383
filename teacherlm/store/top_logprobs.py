"""What a teacher thought likely at each token it wrote: its k most likely tokens there, and how likely all others were together.

In a completion (and so in the ledger) this is one string: a line of JSON with the sizes and the teacher's vocabulary, and behind it the
numbers, in base64. 8 bytes for each token kept at each token written, a third more in base64.
"""

import base64
import binascii
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import orjson

from teacherlm.store.fingerprint import digest

UNKNOWN = ""
"""The vocabulary of a server that does not tell its tokenizer."""


@dataclass(frozen=True)
class TopLogprobs:
    tokens: Any
    """[n] int32, the tokens that were written, without an end token."""
    ids: Any
    """[n, k] int32, the most likely ones at each."""
    log_probs: Any
    """[n, k + 1] fp32, their natural logarithms of probability (at temperature 1, whatever was drawn from), the last that of all others."""
    vocabulary: str = UNKNOWN
    """As `vocabulary_of` names it."""


def vocabulary_of(tokenizer: Any) -> str:
    """The same for tokenizers that know the same token under every id."""
    vocabulary: Mapping[str, int] = tokenizer.get_vocab()
    return digest(sorted((int(place), token) for token, place in vocabulary.items()))


def from_dicts(tokens: Sequence[int], likely: Sequence[Mapping[int, float]], k: int, vocabulary: str = UNKNOWN) -> TopLogprobs:
    """`likely`: at each token {id: log-probability}, of which the k highest are kept; where there are fewer, others weigh nothing.

    Raises: ValueError where there are not as many as tokens.
    """
    ids = np.repeat(np.asarray(tokens, np.int32)[:, None], k, axis=1)
    log_probs = np.full((len(tokens), k + 1), -np.inf, np.float32)
    for row, (_, found) in enumerate(zip(tokens, likely, strict=True)):
        best = sorted(found.items(), key=lambda item: -item[1])[:k]
        ids[row, : len(best)] = [place for place, _ in best]
        log_probs[row, : len(best)] = [value for _, value in best]
        rest = 1 - math.fsum(math.exp(value) for _, value in best)
        log_probs[row, k] = math.log(rest) if rest > 0 else -np.inf
    return TopLogprobs(np.asarray(tokens, np.int32), ids, log_probs, vocabulary)


def packed(told: TopLogprobs) -> str:
    count, k = told.ids.shape
    head = orjson.dumps({"n": count, "k": k, "vocabulary": told.vocabulary}, option=orjson.OPT_APPEND_NEWLINE)
    parts = (np.asarray(told.tokens, np.int32), np.asarray(told.ids, np.int32), np.asarray(told.log_probs, np.float32))
    return base64.b64encode(head + b"".join(part.astype(part.dtype.newbyteorder("<")).tobytes() for part in parts)).decode()


def unpacked(text: str) -> TopLogprobs:
    """Raises: ValueError for what `packed` did not make."""
    try:
        head, _, numbers = base64.b64decode(text, validate=True).partition(b"\n")
        about = orjson.loads(head)
        n, k = int(about["n"]), int(about["k"])
    except (binascii.Error, orjson.JSONDecodeError, KeyError, TypeError) as error:
        raise ValueError(f"not log-probabilities ({error})") from None
    if len(numbers) != 4 * n * (2 * k + 2):
        raise ValueError(f"{len(numbers)} bytes for {n} tokens of {k}")
    whole = np.frombuffer(numbers, dtype="<i4")
    log_probs = np.frombuffer(numbers, dtype="<f4")[n + n * k :]
    return TopLogprobs(whole[:n], whole[n : n + n * k].reshape(n, k), log_probs.reshape(n, k + 1), str(about["vocabulary"]))
