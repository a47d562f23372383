"""Tokens of (context, continuation), for the next student that reads by the same tokenizer: a question is not tokenised twice."""

from array import array
from collections.abc import Callable
from dataclasses import dataclass, field
from hashlib import blake2b
from typing import Any

MOST = 20_000_000
"""Tokens that are held, in 80 MB; what comes after them is encoded anew each time."""
Ids = tuple[list[int], list[int]]


@dataclass
class Pairs:
    known: dict[Any, tuple[Any, Any]] = field(default_factory=dict)
    """Arrays, which take a fourth of what lists do."""
    room: int = MOST

    def of(self, key: Any, encode: Callable[[], Ids]) -> Ids:
        """`key` holds both texts and whatever else decides their tokens."""
        found = self.known.get(key)
        if found is not None:
            return found[0].tolist(), found[1].tolist()
        context, continuation = encode()
        if (more := len(context) + len(continuation)) <= self.room:
            self.known[key] = array("i", context), array("i", continuation)
            self.room -= more
        return context, continuation


@dataclass
class PairsByTokenizer:
    """Those of the tokenizer in use."""

    name: str = ""
    pairs: Pairs = field(default_factory=Pairs)

    def of(self, tokenizer: Any) -> Pairs:
        name = name_of(tokenizer)
        if not name or name != self.name:
            self.name, self.pairs = name, Pairs()
        return self.pairs


def name_of(tokenizer: Any) -> str:
    """Two tokenizers of one name give the same tokens; "" for one that is written in Python, whose rules cannot be compared."""
    if not getattr(tokenizer, "is_fast", False):
        return ""
    told = f"{tokenizer.special_tokens_map}{tokenizer.backend_tokenizer.to_str()}"
    return blake2b(told.encode(), digest_size=16).hexdigest()
