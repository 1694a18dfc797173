"""Keys and values that attention remembers, in the three shapes that decoders here need.

What must not live here: a position's meaning, a mask, a model. Every tensor's first dimension is the slot
(or, in `Scratch`, the row of one batch).

All tensors are [rows, kv_heads, positions, head_dim]; `extend(layer, keys, values)` takes what is new,
[B, kv_heads, T, head_dim], remembers it and returns all that this call may attend to.
"""

from __future__ import annotations

from typing import Protocol

import torch
from torch import Tensor

Pair = tuple[Tensor, Tensor]


class Memory(Protocol):
    """What a decoder layer needs of a cache."""

    def extend(self, layer: int, keys: Tensor, values: Tensor) -> Pair:
        """Remember the new keys and values; returns those to attend to."""
        ...


class SlottedCache:
    """`slots` rows of `capacity` positions for each of `layers` layers."""

    def __init__(
        self,
        layers: int,
        slots: int,
        kv_heads: int,
        capacity: int,
        head_dim: int,
        *,
        dtype: torch.dtype,
        device: torch.device | str,
    ) -> None:
        shape = (slots, kv_heads, capacity, head_dim)
        self.capacity = capacity
        self.keys = [torch.zeros(shape, dtype=dtype, device=device) for _ in range(layers)]
        self.values = [torch.zeros(shape, dtype=dtype, device=device) for _ in range(layers)]

    def clear(self, slots: Tensor) -> None:
        """Make the rows `slots` [N] int64 all zeros. A prefill does not need that, unless they hold NaN."""
        for tensor in (*self.keys, *self.values):
            tensor[slots] = 0

    @property
    def nbytes(self) -> int:
        """Bytes of all layers together."""
        return sum(tensor.nbytes for tensor in (*self.keys, *self.values))


class Fill:
    """Writes the first positions of whole rows (a prefill); attention sees the new keys only.

    `slots` [B] int64. A row shorter than the batch leaves what follows it undefined; the decode steps that
    come overwrite those positions before they may look at them.
    """

    def __init__(self, cache: SlottedCache, slots: Tensor) -> None:
        self._cache = cache
        self._slots = slots

    def extend(self, layer: int, keys: Tensor, values: Tensor) -> Pair:
        """Write positions 0..T-1 of the rows."""
        width = keys.shape[2]
        self._cache.keys[layer][self._slots, :, :width] = keys
        self._cache.values[layer][self._slots, :, :width] = values
        return keys, values


class Append:
    """Writes one position of each row (a decode step); attention sees the first `span` positions.

    `slots` [B] and `positions` [B] int64. `first` is given where the slots are first, first + 1, …: the
    rows are then read in place instead of being gathered.
    """

    def __init__(
        self, cache: SlottedCache, slots: Tensor, positions: Tensor, span: int, first: int | None = None
    ) -> None:
        self._cache = cache
        self._slots = slots
        self._positions = positions
        self.span = span
        self._first = first

    def extend(self, layer: int, keys: Tensor, values: Tensor) -> Pair:
        """Write the one new position of each row and show its past."""
        self._cache.keys[layer][self._slots, :, self._positions] = keys[:, :, 0]
        self._cache.values[layer][self._slots, :, self._positions] = values[:, :, 0]
        return self._past(self._cache.keys[layer]), self._past(self._cache.values[layer])

    def _past(self, rows: Tensor) -> Tensor:
        past = rows[:, :, : self.span]
        if self._first is None:
            return past.index_select(0, self._slots)
        return past[self._first : self._first + len(self._slots)]


class Scratch:
    """A short cache that lives as long as one call: positions are simply appended."""

    def __init__(self, layers: int) -> None:
        self._pairs: list[Pair | None] = [None] * layers

    def extend(self, layer: int, keys: Tensor, values: Tensor) -> Pair:
        """Append to what this layer has seen in this call."""
        past = self._pairs[layer]
        pair = (keys, values) if past is None else _joined(past, (keys, values))
        self._pairs[layer] = pair
        return pair


class SlidingTail:
    """The last `width` positions of each row, oldest first, for attention with a sliding window.

    `keys[layer]` and `values[layer]` are [B, kv_heads, width, head_dim]; after the call they hold the new
    tail, for the caller to store. Positions from before the beginning are zeros, which the mask must hide.
    """

    def __init__(self, keys: list[Tensor], values: list[Tensor]) -> None:
        self.keys = keys
        self.values = values

    def extend(self, layer: int, keys: Tensor, values: Tensor) -> Pair:
        """Show the tail and the new positions; keep the last `width` of them."""
        width = self.keys[layer].shape[2]
        pair = _joined((self.keys[layer], self.values[layer]), (keys, values))
        if width:
            self.keys[layer], self.values[layer] = pair[0][:, :, -width:], pair[1][:, :, -width:]
        return pair


def _joined(past: Pair, new: Pair) -> Pair:
    return torch.cat((past[0], new[0]), 2), torch.cat((past[1], new[1]), 2)
