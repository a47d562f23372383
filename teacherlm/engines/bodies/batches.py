"""What a model keeps of several rows while they are written: one batch of a decoder-only model, one of an encoder-decoder."""

import inspect
from collections.abc import Sequence
from typing import Any

import torch
from transformers import DynamicCache, EncoderDecoderCache
from transformers.modeling_outputs import BaseModelOutput

from teacherlm.engines.bodies.caches import Change, GrowingCache, find_growing_cache
from teacherlm.engines.bodies.prefixes import Group, find_groups, pays_off

READ_AT_ONCE = 2048
"""Prompt tokens, about: more would only make the intermediate results larger."""


class CausalModel:
    """A decoder-only model, and how it wants to be called."""

    def __init__(self, model: Any, pad: int) -> None:
        self.model, self.pad, self.device = model, pad, device_of(model)
        inner = model.get_base_model() if hasattr(model, "get_base_model") else model  # an adapter's own forward names no positions
        accepted = inspect.signature(inner.forward).parameters
        self.counts_positions = "position_ids" in accepted
        self.keeps_logits = "logits_to_keep" in accepted
        self.grows = find_growing_cache(model) is not None

    def begin(self, lines: Sequence[list[int]]) -> "CausalBatch":
        scores, cache = self.read_lines(lines)
        return CausalBatch(self, cache, _counts(lines, self.device), scores[:, -1])

    def parts(self, lines: Sequence[list[int]]) -> list[list[int]]:
        """Rows to be read together: those that share their beginning, then the others; not many tokens at once, like lengths together."""
        if not self.grows:
            return [list(range(len(lines)))]
        parts: list[list[int]] = []
        tokens, last = READ_AT_ONCE, None
        for group in sorted(find_groups(lines), key=lambda group: (not group.shared, -max(len(lines[row]) for row in group.rows))):
            for row in sorted(group.rows, key=lambda row: -len(lines[row])):
                rest = len(lines[row]) - group.shared
                if last is None or tokens + rest > READ_AT_ONCE or bool(last.shared) != bool(group.shared):
                    parts.append([])
                    tokens, last = 0, None
                tokens += rest + (0 if group is last else group.shared)
                last = group
                parts[-1].append(row)
        return parts

    def read_lines(self, lines: Sequence[list[int]], last: int = 1, shareable: Sequence[int] | None = None) -> tuple[torch.Tensor, Any]:
        """(scores after each line's `last` tokens [rows, last, vocabulary], what was read); common beginnings are read once."""
        lengths = _counts(lines, self.device)
        groups = find_groups(lines, shareable) if self.grows else []
        if groups and pays_off(lines, groups):
            rest = max(len(lines[row]) - group.shared for group in groups for row in group.rows)
            cache = self._read_beginnings(lines, groups, rest)
        else:
            rest = max(map(len, lines))
            cache = find_growing_cache(self.model) or DynamicCache(config=self.model.config)
        return self.read(self._padded([line[-rest:] for line in lines]), lengths, cache, last), cache

    def read(self, ids: torch.Tensor, lengths: torch.Tensor, cache: Any, last: int = 1) -> torch.Tensor:
        """Adds `ids` to the cache; `lengths` counts each row's tokens with them. Returns: the scores after the last columns."""
        columns = ids.shape[1]
        width = int(cache.get_seq_length()) + columns
        mask = (torch.arange(width, device=ids.device) >= (width - lengths)[:, None]).long()
        given: dict[str, Any] = {"logits_to_keep": last} if self.keeps_logits else {}
        if self.counts_positions:
            given["position_ids"] = (torch.arange(columns, device=ids.device) + (lengths - columns)[:, None]).clamp_min(0)
        out = self.model(input_ids=ids, attention_mask=mask, past_key_values=cache, use_cache=True, **given)
        scores: torch.Tensor = out.logits[:, -last:]
        return scores

    def _read_beginnings(self, lines: Sequence[list[int]], groups: Sequence[Group], rest: int) -> GrowingCache:
        """Every row's tokens but the last `rest`, from one reading per group.

        A row whose own rest is shorter than the longest takes less of the beginning: its tokens are read again instead of padding,
        so that no row has a gap.
        """
        taken = [max(len(line) - rest, 0) for line in lines]
        sharing = [group for group in groups if any(taken[row] for row in group.rows)]
        beginnings = [lines[group.rows[0]][: max(taken[row] for row in group.rows)] for group in sharing]
        cache = find_growing_cache(self.model)
        assert cache is not None
        device = self.device
        self.read(self._padded(beginnings), _counts(beginnings, device), cache)
        longest, width = max(map(len, beginnings)), max(taken)
        owner, shift = [0] * len(lines), [0] * len(lines)
        for place, group in enumerate(sharing):
            for row in group.rows:
                owner[row], shift[row] = place, (longest - len(beginnings[place])) - (width - taken[row])
        columns = torch.arange(width, device=device) + torch.tensor(shift, device=device)[:, None]
        return cache.spread(torch.tensor(owner, device=device), columns.clamp_(0, longest - 1))

    def _padded(self, lines: Sequence[list[int]]) -> torch.Tensor:
        """[rows, longest], padded at the left."""
        longest = max(map(len, lines))
        return torch.tensor([[self.pad] * (longest - len(line)) + line for line in lines], device=self.device)


class CausalBatch:
    """Rows of a decoder-only model. `scores` [rows, vocabulary] are those of each row's next token."""

    def __init__(self, model: CausalModel, cache: Any, lengths: torch.Tensor, scores: torch.Tensor) -> None:
        self.model, self.cache, self.lengths, self.scores = model, cache, lengths, scores
        self.joinable = isinstance(cache, GrowingCache)
        self.ids = lengths[:, None]

    def extend(self, tokens: torch.Tensor) -> None:
        """Each row goes on with its token; tokens: [rows]."""
        self.ids = tokens[:, None]
        self.lengths = self.lengths + 1

    def step(self) -> None:
        self.scores = self.model.read(self.ids, self.lengths, self.cache)[:, -1]

    def keep(self, rows: Sequence[int], others: "CausalBatch | None" = None, joining: Sequence[int] = (), reserve: int = 0) -> list[int]:
        """Only these rows stay, and these of `others`, as far written as these, join; both in ascending order.

        Returns: which row has each place now, those of `others` counted on. As few as possible move.
        """
        before, device = len(self.lengths), self.lengths.device
        order = _places(before, rows, [before + index for index in joining])
        indices = torch.tensor(order, device=device)
        if isinstance(self.cache, GrowingCache):
            moved = _pairs([(place, index) for place, index in enumerate(order) if index < before and index != place], device)
            joined = _pairs([(place, index - before) for place, index in enumerate(order) if index >= before], device)
            width = int(self.lengths[torch.tensor(rows, device=device)].max()) - 1  # the newest token is not read yet
            self.cache.change(Change(len(order), moved, joined), width, reserve, others.cache if others else None)
        else:
            self.cache.reorder_cache(indices)
        ids, lengths = (self.ids, self.lengths)
        if others:
            ids, lengths = torch.cat([ids, others.ids]), torch.cat([lengths, others.lengths])
        self.ids, self.lengths = ids[indices], lengths[indices]
        return order


class Seq2SeqModel:
    """An encoder-decoder; what it reads and what it writes have lengths of their own."""

    def __init__(self, model: Any, pad: int) -> None:
        self.model, self.pad, self.device = model, pad, device_of(model)

    def begin(self, lines: Sequence[list[int]]) -> "Seq2SeqBatch":
        return Seq2SeqBatch(self, *self.encode(lines))

    def parts(self, lines: Sequence[list[int]]) -> list[list[int]]:
        return [list(range(len(lines)))]

    def encode(self, lines: Sequence[list[int]]) -> tuple[torch.Tensor, torch.Tensor]:
        """(what the encoder makes of each line, its mask), right-padded; equal lines are encoded once."""
        unique = {tuple(line): place for place, line in enumerate(dict.fromkeys(map(tuple, lines)))}
        longest = max(map(len, unique))
        ids = torch.tensor([[*line, *[self.pad] * (longest - len(line))] for line in unique], device=self.device)
        lengths = torch.tensor([len(line) for line in unique], device=ids.device)
        mask = (torch.arange(longest, device=ids.device) < lengths[:, None]).long()
        encoded = self.model.get_encoder()(input_ids=ids, attention_mask=mask).last_hidden_state
        which = torch.tensor([unique[tuple(line)] for line in lines], device=ids.device)
        return encoded[which], mask[which]

    def read(self, encoded: torch.Tensor, mask: torch.Tensor, ids: torch.Tensor, cache: Any = None) -> torch.Tensor:
        """Scores after each of `ids`, [rows, columns, vocabulary]."""
        given = {"encoder_outputs": BaseModelOutput(last_hidden_state=encoded), "attention_mask": mask, "decoder_input_ids": ids}
        scores: torch.Tensor = self.model(**given, past_key_values=cache, use_cache=cache is not None).logits
        return scores

    @property
    def start(self) -> int:
        """The token every decoder starts from."""
        return int(self.model.config.decoder_start_token_id)


class Seq2SeqBatch:
    """Rows of an encoder-decoder: all began together, because many a decoder counts positions for the whole batch."""

    joinable = False

    def __init__(self, model: Seq2SeqModel, encoded: torch.Tensor, mask: torch.Tensor) -> None:
        self.model, self.encoded, self.mask = model, encoded, mask
        config = model.model.config
        self.cache: Any = EncoderDecoderCache(DynamicCache(config=config), DynamicCache(config=config))
        self.ids = mask.new_full((len(mask), 1), model.start)
        self.step()

    def extend(self, tokens: torch.Tensor) -> None:
        self.ids = tokens[:, None]

    def step(self) -> None:
        self.scores = self.model.read(self.encoded, self.mask, self.ids, self.cache)[:, -1]

    def keep(self, rows: Sequence[int]) -> list[int]:
        indices = torch.tensor(rows, device=self.mask.device)
        self.cache.reorder_cache(indices)
        self.ids, self.mask, self.encoded = self.ids[indices], self.mask[indices], self.encoded[indices]
        return list(rows)


def device_of(model: Any) -> torch.device:
    """Where what it reads has to lie; a layer whose weights wait on the disk says where it will work."""
    if model.device.type != "meta":
        return torch.device(model.device)
    places = (getattr(getattr(module, "_hf_hook", None), "execution_device", None) for module in model.modules())
    found = next((place for place in places if place is not None), "cpu")
    return torch.device(found)


def _counts(lines: Sequence[list[int]], device: torch.device) -> torch.Tensor:
    return torch.tensor([len(line) for line in lines], device=device)


def _places(before: int, staying: Sequence[int], joining: Sequence[int]) -> list[int]:
    """Who has each place: those that stay keep theirs as far as there are so many places, the others fill the gaps."""
    count = len(staying) + len(joining)
    stays = {index for index in staying if index < count}
    filling = iter([*(index for index in staying if index >= count), *joining])
    return [place if place in stays else next(filling) for place in range(count)]


def _pairs(pairs: Sequence[tuple[int, int]], device: torch.device) -> tuple[torch.Tensor, torch.Tensor]:
    targets, sources = zip(*pairs, strict=True) if pairs else ((), ())
    return torch.tensor(targets, dtype=torch.long, device=device), torch.tensor(sources, dtype=torch.long, device=device)
