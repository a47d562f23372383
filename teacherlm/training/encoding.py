"""Texts as training rows: tokens, EOS at the end, cut to length without losing the completion."""

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from itertools import islice, takewhile
from pathlib import Path
from typing import Any

from teacherlm.errors import UserError
from teacherlm.training.families import IGNORE, Family, Row, Seq2Seq
from teacherlm.training.flat_rows import FlatRows, FlatWriter
from teacherlm.training.objective import Example, Join, Objective
from teacherlm.training.texts import Text

CHUNK = 1000
"""Texts tokenised in one call: tokenizers work on a batch in parallel."""


@dataclass(frozen=True)
class Encoded:
    rows: FlatRows
    truncated: int = 0
    """Rows longer than the limit, which lost a part of their prompt."""
    completions_cut: int = 0
    """Of these, rows whose completion alone is longer than its limit: its first tokens stay, its end goes."""
    tokens: int = 0

    def counts(self) -> dict[str, int]:
        return {"truncated": self.truncated, "completions_cut": self.completions_cut, "tokens": self.tokens}

    def about_truncation(self, limit: int, family: Family) -> str:
        """For people: what was cut, and where."""
        what = f"{limit} tokens (prompt) or {family.target_limit} (completion)" if isinstance(family, Seq2Seq) else f"{limit} tokens"
        lost = "first" if family.truncation_side == "left" else "last"
        ends = f"; {self.completions_cut} completions lose their end" if self.completions_cut else ""
        return f"{self.truncated} of {len(self.rows)} rows are longer than {what}: their prompts lose the {lost} ones{ends}."


def encode(texts: Iterable[Text], tokenizer: Any, objective: Objective, family: Family, limit: int, folder: Path | None = None) -> Encoded:
    """The rows of all texts, none longer than `limit` tokens (of an encoder-decoder none with a longer prompt); written to a folder
    where one is given, else in memory.

    Raises: UserError naming a text of which nothing would carry loss.
    """
    rows, truncated, completions_cut, size = FlatWriter(folder), 0, 0, 0
    for text, tokens in _with_tokens(texts, tokenizer, family.apart):
        prompt, target = family.fit(tokens.prompt, tokens.target, limit)
        truncated += (len(prompt), len(target)) != (len(tokens.prompt), len(tokens.target))
        completions_cut += len(target) < len(tokens.target)
        join = _silencing(family.join, tokens.silent) if tokens.silent else family.join
        for row in objective.encode(Example(prompt, target, text.part, text.score, text.row), join):
            if not (row["labels"] != IGNORE).any():
                raise UserError(f"{text.where}: none of its tokens carries loss, once it is cut to {limit} tokens; leave the row out.")
            cost = family.length(row)
            size += cost
            rows.add(row, cost)
    return Encoded(rows.finish(), truncated, completions_cut, size)


def _with_tokens(texts: Iterable[Text], tokenizer: Any, apart: bool) -> Iterator[tuple[Text, "Tokens"]]:
    stream = iter(texts)
    while chunk := list(islice(stream, CHUNK)):
        yield from zip(chunk, tokenised(chunk, tokenizer, apart), strict=True)


def _silencing(join: Join, silent: Sequence[int]) -> Join:
    """Joins as a family does, but these tokens of the target carry no loss."""

    def joined(prompt: Sequence[int], target: Sequence[int]) -> Row:
        row = join(prompt, target)
        labels = row["labels"][len(row["labels"]) - len(target) :]
        labels[[place for place in silent if place < len(target)]] = IGNORE
        return row

    return joined


@dataclass(frozen=True, slots=True)
class Tokens:
    prompt: list[int]
    """Carries no loss."""
    target: list[int]
    """Carries loss, and ends in EOS."""
    silent: list[int] = field(default_factory=list)
    """Places in the target that carry none: in a chat, what others say between the assistant's turns."""


def tokenised(texts: Sequence[Text], tokenizer: Any, apart: bool = False) -> Iterator[Tokens]:
    """A text is tokenised as a whole, as a model would write it; its prompt is the beginning it shares with the tokens of the
    prompt alone. A token that spans the border thus belongs to the completion.

    `apart`: for an encoder-decoder, to which prompt and completion are two texts; each gets the special tokens of the tokenizer.
    Raises: UserError naming a row that an encoder-decoder cannot be taught.
    """
    for at in range(0, len(texts), CHUNK):
        chunk = texts[at : at + CHUNK]
        if apart:
            yield from _apart(chunk, tokenizer)
            continue
        plain = _plain([text for text in chunk if not text.spans], tokenizer)
        chats = _chats([text for text in chunk if text.spans], tokenizer)
        yield from (next(chats if text.spans else plain) for text in chunk)


def _apart(texts: Sequence[Text], tokenizer: Any) -> Iterator[Tokens]:
    if chat := next((text for text in texts if text.spans), None):
        raise UserError(f"{chat.where}: a chat, but an encoder-decoder knows no turns: prepare the rows with another template.")
    eos = tokenizer.eos_token_id
    prompts = tokenizer([text.text[: text.start] for text in texts], verbose=False)["input_ids"]
    targets = tokenizer(text_target=[text.text[text.start :] for text in texts], verbose=False)["input_ids"]
    for text, prompt, target in zip(texts, prompts, targets, strict=True):
        if not prompt:
            raise UserError(f"{text.where}: its prompt is empty, so there is nothing for the encoder to read.")
        yield Tokens(prompt, target if target[-1:] == [eos] else [*target, eos])


def _plain(texts: Sequence[Text], tokenizer: Any) -> Iterator[Tokens]:
    if not texts:
        return
    eos = tokenizer.eos_token_id
    whole = tokenizer([t.text for t in texts], verbose=False)["input_ids"]
    alone = tokenizer([t.text[: t.start] for t in texts], verbose=False)["input_ids"]
    for text, ids, beginning in zip(texts, whole, alone, strict=True):
        border = _shared(ids, beginning) if text.start else 0
        target = ids[border:]
        yield Tokens(ids[:border], target if target[-1:] == [eos] else [*target, eos])


def _chats(texts: Sequence[Text], tokenizer: Any) -> Iterator[Tokens]:
    """The special tokens are in the text. Nothing is learnt behind an EOS that ends a turn, such as the line break some templates write."""
    if not texts:
        return
    eos = tokenizer.eos_token_id
    cuts = [[t.text, *(t.text[:place] for span in t.spans for place in span)] for t in texts]
    ids = iter(tokenizer([part for parts in cuts for part in parts], verbose=False, add_special_tokens=False)["input_ids"])
    for text, parts in zip(texts, cuts, strict=True):
        whole, *beginnings = [next(ids) for _ in parts]
        borders = [
            len(whole) if place == len(text.text) else _shared(whole, beginning)
            for place, beginning in zip((place for span in text.spans for place in span), beginnings, strict=True)
        ]
        spoken = [_to_eos(whole, first, last, eos) for first, last in zip(borders[::2], borders[1::2], strict=True)]
        start, end = spoken[0].start, spoken[-1].stop
        target = whole[start:end]
        heard = {place - start for part in spoken for place in part}
        silent = [place for place in range(len(target)) if place not in heard]
        yield Tokens(whole[:start], target if target[-1:] == [eos] else [*target, eos], silent)


def _to_eos(ids: Sequence[int], first: int, last: int, eos: int) -> range:
    """Up to the last EOS among them, if there is one."""
    end = next((place + 1 for place in range(last - 1, first - 1, -1) if ids[place] == eos), last)
    return range(first, end)


def _shared(one: list[int], other: list[int]) -> int:
    return sum(1 for _ in takewhile(lambda pair: pair[0] == pair[1], zip(one, other, strict=False)))
