"""Keys and values of a batch whose rows come and go, in room that is used again: a step writes one column, a newcomer one row.

Rows stand at the right: every row's last token lies in the last column, and the columns before its first token are masked. What is
masked may be anything finite, so room is made of zeros and a row may lie where another one was.
"""

from dataclasses import dataclass
from typing import Any

import torch
from transformers import Cache, DynamicCache
from transformers.cache_utils import DynamicLayer, DynamicSlidingWindowLayer

SPARE = 128
"""Columns of room made at once."""
MOVED_AT_ONCE = 8
"""Rows: to move columns within the room takes a copy of that many."""


@dataclass(frozen=True)
class Change:
    """Which rows take which places, of `rows` in all; each pair is (places, where they come from)."""

    rows: int
    moved: tuple[torch.Tensor, torch.Tensor]
    joining: tuple[torch.Tensor, torch.Tensor]


class GrowingLayer(DynamicLayer):  # type: ignore[misc]
    """One layer's keys and values: `keys` and `values` are views of the rows and columns in use of two larger tensors."""

    def __init__(self) -> None:
        super().__init__()
        self.keys: Any = None
        self.values: Any = None
        self.rooms: list[torch.Tensor] = []
        self.rows = self.start = self.end = 0

    def update(self, key_states: torch.Tensor, value_states: torch.Tensor, *args: Any, **kwargs: Any) -> tuple[torch.Tensor, torch.Tensor]:
        if not self.is_initialized:
            self.hold(key_states, value_states)
            return key_states, value_states
        more = key_states.shape[-2]
        self._make_columns(more)
        for room, new in zip(self.rooms, (key_states, value_states), strict=True):
            room[: self.rows, :, self.end : self.end + more] = new
        self.end += more
        self._view()
        return self.keys, self.values

    def hold(self, keys: torch.Tensor, values: torch.Tensor) -> None:
        """These, without room beside them yet."""
        self.dtype, self.device, self.is_initialized = keys.dtype, keys.device, True
        self.rooms, self.rows, self.start, self.end = [keys, values], keys.shape[0], 0, keys.shape[2]
        self._view()

    def change(self, change: Change, width: int, reserve: int, others: "GrowingLayer | None") -> None:
        """Its rows keep their last `width` columns; rows of `others` bring all of theirs."""
        brought = others.end - others.start if others else 0
        if change.rows > len(self.rooms[0]) or brought > self.end:
            self._enlarge(max(self.rows, change.rows, reserve), max(width, brought), max(width, brought) + SPARE)
        moved, joining = ((to.to(self.device), of.to(self.device)) for to, of in (change.moved, change.joining))
        for index, room in enumerate(self.rooms):
            if len(moved[0]):
                room[moved[0]] = room[moved[1]]
            if others and len(joining[0]):
                room[joining[0], :, self.end - brought : self.end] = others.rooms[index][joining[1], :, others.start : others.end]
        self.rows, self.start = change.rows, self.end - max(width, brought)
        self._view()

    def _view(self) -> None:
        self.keys, self.values = (room[: self.rows, :, self.start : self.end] for room in self.rooms)

    def _make_columns(self, more: int) -> None:
        held, columns = self.end - self.start, self.rooms[0].shape[2]
        if self.end + more <= columns:
            return
        if held + more + SPARE // 4 > columns:
            self._enlarge(len(self.rooms[0]), held, held + more + SPARE)
            return
        for room in self.rooms:
            for part in torch.split(room[: self.rows], MOVED_AT_ONCE):
                part[:, :, :held] = part[:, :, self.start : self.end].clone()
        self.start, self.end = 0, held

    def _enlarge(self, rows: int, end: int, columns: int) -> None:
        """Room for so many rows and columns; what is held ends at column `end`, or is cut at its left where that is too early."""
        held = min(self.end - self.start, end)
        self.keys = self.values = None
        for index, old in enumerate(self.rooms):
            new = old.new_zeros(rows, old.shape[1], columns, old.shape[3])
            new[: self.rows, :, end - held : end] = old[: self.rows, :, self.end - held : self.end]
            self.rooms[index] = new
        self.start, self.end = end - held, end


class GrowingCache(Cache):  # type: ignore[misc]
    """For models all of whose layers are attention over all columns. A sliding window is kept by the model's mask."""

    def __init__(self, layers: int) -> None:
        super().__init__(layers=[GrowingLayer() for _ in range(layers)])

    def change(self, change: Change, width: int, reserve: int, others: "GrowingCache | None") -> None:
        """See GrowingLayer.change; `others` is empty afterwards."""
        for index, layer in enumerate(self.layers):
            if layer.is_initialized:
                layer.change(change, width, reserve, others.layers[index] if others else None)
            if others:
                others.layers[index] = GrowingLayer()

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
