"""Attention of one new query per row over what that row remembers, each row at its own length.

What must not live here: a position's meaning, projections, a model.

On the CPU every row is attended by itself, in place: no gather (copying the keys costs more than
reading them), no padding to the longest row, and a result that cannot depend on the neighbours. On an
accelerator one masked call over gathered rows is taken instead.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Self

import torch
from torch import Tensor
from torch.nn import functional as F


@dataclass(frozen=True, slots=True)
class Rows:
    """Which rows a call is about and how much of each is remembered; made once, used by every layer.

    index [B] int64. mask [B, 1, 1, longest] bool (True: may look), None where rows are attended one by one.
    """

    slots: list[int]
    lengths: list[int]
    index: Tensor
    mask: Tensor | None

    @classmethod
    def of(cls, slots: list[int], lengths: list[int], device: torch.device) -> Self:
        """Rows on that device."""
        index = torch.tensor(slots, device=device)
        mask = None if device.type == "cpu" else _mask(lengths, device)
        return cls(slots, lengths, index, mask)


def _mask(lengths: list[int], device: torch.device) -> Tensor:
    longest = torch.arange(max(lengths), device=device)
    return (longest < torch.tensor(lengths, device=device)[:, None])[:, None, None]


class RowCache:
    """Keys and values of one layer, [slots, heads, capacity, head_dim] each.

    On the CPU the memory is only reserved: a page is touched when a row first grows into it, and nothing
    beyond a row's length is ever read. Elsewhere it is zeros, for what a mask hides must still be finite.
    """

    def __init__(
        self,
        slots: int,
        heads: int,
        capacity: int,
        head_dim: int,
        *,
        dtype: torch.dtype,
        device: torch.device,
    ) -> None:
        shape = (slots, heads, capacity, head_dim)
        make = torch.empty if device.type == "cpu" else torch.zeros
        self.keys = make(shape, dtype=dtype, device=device)
        self.values = make(shape, dtype=dtype, device=device)

    def fill(self, slot: int, keys: Tensor, values: Tensor) -> None:
        """Write positions 0..T-1 of one row; keys and values [heads, T, head_dim]."""
        self.keys[slot, :, : keys.shape[1]] = keys
        self.values[slot, :, : values.shape[1]] = values

    def append(self, slots: Tensor, positions: Tensor, keys: Tensor, values: Tensor) -> None:
        """Write one position of each row.

        slots and positions [B] int64, keys and values [B, heads, head_dim].
        """
        self.keys[slots, :, positions] = keys
        self.values[slots, :, positions] = values

    def attend(self, query: Tensor, rows: Rows) -> Tensor:
        """Mix the values that each row remembers: query [B, heads, head_dim] -> the same shape."""
        return self._each(query, rows) if rows.mask is None else self._together(query, rows, rows.mask)

    def _each(self, query: Tensor, rows: Rows) -> Tensor:
        asked = query.unsqueeze(1).unsqueeze(3)  # [B, 1, heads, 1, head_dim]: a batch of one for each row
        heard = [
            F.scaled_dot_product_attention(
                asked[row],
                self.keys[slot : slot + 1, :, :length],
                self.values[slot : slot + 1, :, :length],
            )
            for row, (slot, length) in enumerate(zip(rows.slots, rows.lengths, strict=True))
        ]
        return torch.cat(heard).squeeze(2)

    def _together(self, query: Tensor, rows: Rows, mask: Tensor) -> Tensor:
        span = mask.shape[3]
        keys, values = self.keys[:, :, :span][rows.index], self.values[:, :, :span][rows.index]
        return F.scaled_dot_product_attention(query.unsqueeze(2), keys, values, attn_mask=mask).squeeze(2)
