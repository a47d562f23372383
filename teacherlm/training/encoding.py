"""Texts as training rows: tokens, EOS at the end, cut to length without losing the completion."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from itertools import takewhile
from typing import Any

from teacherlm.training.families import Family, Row
from teacherlm.training.objective import Objective
from teacherlm.training.texts import Text

CHUNK = 1000
"""Texts tokenised in one call: tokenizers work on a batch in parallel."""


@dataclass
class Encoded:
    rows: list[Row] = field(default_factory=list)
    truncated: int = 0
    """Rows longer than the limit, which lost the beginning of their prompt."""
    completions_cut: int = 0
    """Of these, rows whose completion alone is longer than the limit: its first tokens stay, its end and the prompt go."""
    tokens: int = 0

    def counts(self) -> dict[str, int]:
        return {"truncated": self.truncated, "completions_cut": self.completions_cut, "tokens": self.tokens}


def encode(texts: Sequence[Text], tokenizer: Any, objective: Objective, family: Family, limit: int) -> Encoded:
    """The rows of all texts, none longer than `limit` tokens."""
    encoded = Encoded()
    for prompt, target in _token_pairs(texts, tokenizer):
        if len(prompt) + len(target) > limit:
            encoded.truncated += 1
            encoded.completions_cut += len(target) > limit
            prompt, target = fit(prompt, target, limit)
        for row in objective.encode({"prompt": prompt, "target": target}, family.join):
            encoded.tokens += len(row["input_ids"])
            encoded.rows.append(row)
    return encoded


def fit(prompt: list[int], target: list[int], limit: int) -> tuple[list[int], list[int]]:
    """Drop the oldest tokens of the prompt; of a target that alone is too long, the end."""
    kept = max(0, limit - len(target))
    return prompt[len(prompt) - kept :] if kept else [], target[:limit]


def _token_pairs(texts: Sequence[Text], tokenizer: Any) -> Iterator[tuple[list[int], list[int]]]:
    """Tokens of what carries no loss, and of what does (with EOS).

    A text is tokenised as a whole, as a model would write it; its prompt is the beginning it shares with the tokens of the
    prompt alone. A token that spans the border thus belongs to the completion.
    """
    eos = tokenizer.eos_token_id
    for at in range(0, len(texts), CHUNK):
        chunk = texts[at : at + CHUNK]
        whole = tokenizer([t.text for t in chunk], verbose=False)["input_ids"]
        alone = tokenizer([t.text[: t.start] for t in chunk], verbose=False)["input_ids"]
        for text, ids, beginning in zip(chunk, whole, alone, strict=True):
            border = _shared(ids, beginning) if text.start else 0
            target = ids[border:]
            yield ids[:border], target if target[-1:] == [eos] else [*target, eos]


def _shared(one: list[int], other: list[int]) -> int:
    return sum(1 for _ in takewhile(lambda pair: pair[0] == pair[1], zip(one, other, strict=False)))
