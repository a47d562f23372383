"""Keys and values of a batch whose rows come and go: a step writes one column into room kept for it, instead of copying all.

Rows stand at the right: every row's last token lies in the last column, the columns before its first token are masked.
"""

from typing import Any

import torch
from transformers import Cache, DynamicCache
from transformers.cache_utils import DynamicLayer, DynamicSlidingWindowLayer

SPARE = 64
"""Columns of room made at once."""


class GrowingLayer(DynamicLayer):  # type: ignore[misc]
    """One layer's keys and values: `keys` and `values` are views of the columns in use of two larger tensors."""

    def __init__(self) -> None:
        super().__init__()
        self.keys: Any = None
        self.values: Any = None
        self.rooms: tuple[torch.Tensor, ...] = ()

    def update(self, key_states: torch.Tensor, value_states: torch.Tensor, *args: Any, **kwargs: Any) -> tuple[torch.Tensor, torch.Tensor]:
        if not self.is_initialized:
            self.hold(key_states, value_states)
            return key_states, value_states
        used, more = self.keys.shape[-2], key_states.shape[-2]
        if not self.rooms or used + more > self.rooms[0].shape[-2]:
            self.rooms = tuple(_roomy(old, len(old), used + more) for old in (self.keys, self.values))
            for room, old in zip(self.rooms, (self.keys, self.values), strict=True):
                room[:, :, :used] = old
        for room, new in zip(self.rooms, (key_states, value_states), strict=True):
            room[:, :, used : used + more] = new
        self.keys, self.values = (room[:, :, : used + more] for room in self.rooms)
        return self.keys, self.values

    def hold(self, keys: torch.Tensor, values: torch.Tensor) -> None:
        """These, without room beside them yet."""
        self.dtype, self.device, self.is_initialized = keys.dtype, keys.device, True
        self.keys, self.values, self.rooms = keys, values, ()


class GrowingCache(Cache):  # type: ignore[misc]
    """For models all of whose layers are attention over all columns. A sliding window is kept by the model's mask."""

    def __init__(self, layers: int) -> None:
        super().__init__(layers=[GrowingLayer() for _ in range(layers)])

    def keep(self, rows: torch.Tensor, width: int, others: "GrowingCache | None" = None) -> None:
        """Only these rows with their last `width` columns remain; all rows of `others` join below them, and `others` is empty then."""
        for layer, other in zip(self.layers, others.layers if others else [None] * len(self.layers), strict=True):
            if not layer.is_initialized:
                continue
            chosen = rows.to(layer.device)
            joining = (other.keys, other.values) if other else (None, None)
            layer.rooms = ()
            rooms = []
            for name, new in zip(("keys", "values"), joining, strict=True):
                old = getattr(layer, name)
                setattr(layer, name, None)
                rooms.append(_stacked(old, chosen, width, new))
            used = max(width, 0 if other is None else other.keys.shape[-2])
            layer.rooms = tuple(rooms)
            layer.keys, layer.values = (room[:, :, :used] for room in rooms)
            if other:
                other.keys = other.values = None

    def spread(self, rows: torch.Tensor, columns: torch.Tensor) -> "GrowingCache":
        """Another cache, whose row i has of this one's row `rows[i]` the columns `columns[i]`; columns: [rows, new width]."""
        made = GrowingCache(len(self.layers))
        for layer, new in zip(self.layers, made.layers, strict=True):
            if layer.is_initialized:
                which = (rows.to(layer.device)[:, None], columns.to(layer.device))
                new.hold(*(old.transpose(1, 2)[which].transpose(1, 2) for old in (layer.keys, layer.values)))
        return made


def find_growing_cache(model: Any) -> GrowingCache | None:
    """None for a model with other states than keys and values (linear attention, convolutions)."""
    layers = DynamicCache(config=model.config).layers
    plain = all(type(layer) in (DynamicLayer, DynamicSlidingWindowLayer) for layer in layers)
    return GrowingCache(len(layers)) if plain and layers else None


def _roomy(like: torch.Tensor, rows: int, columns: int) -> torch.Tensor:
    return like.new_empty(rows, like.shape[1], columns + SPARE, like.shape[3])


def _stacked(old: torch.Tensor, rows: torch.Tensor, width: int, new: torch.Tensor | None) -> torch.Tensor:
    """Rows of `old`, below them `new`, both at the right of the columns in use. What is masked has to be a number: zero."""
    columns = max(width, 0 if new is None else new.shape[2])
    room = _roomy(old, len(rows) + (0 if new is None else len(new)), columns)
    for place, part in ((slice(None, len(rows)), old[:, :, old.shape[2] - width :].index_select(0, rows)), (slice(len(rows), None), new)):
        if part is not None and len(part):
            room[place, :, : columns - part.shape[2]] = 0
            room[place, :, columns - part.shape[2] : columns] = part
    return room
