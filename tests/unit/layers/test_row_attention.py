"""Attention of rows at different times against the formula, one row at a time."""

from __future__ import annotations

import math
from dataclasses import replace

import pytest
import torch
from rhapsode_server.layers.row_attention import RowCache, Rows, _mask

HEADS, WIDTH, CAPACITY, SLOTS = 3, 8, 11, 5
CPU = torch.device("cpu")


def drawn(*shape: int, seed: int = 0) -> torch.Tensor:
    return torch.randn(shape, generator=torch.Generator().manual_seed(seed))


@pytest.fixture
def cache() -> RowCache:
    cache = RowCache(SLOTS, HEADS, CAPACITY, WIDTH, dtype=torch.float32, device=CPU)
    cache.keys.copy_(drawn(SLOTS, HEADS, CAPACITY, WIDTH, seed=1))
    cache.values.copy_(drawn(SLOTS, HEADS, CAPACITY, WIDTH, seed=2))
    return cache


def by_formula(cache: RowCache, query: torch.Tensor, slot: int, length: int) -> torch.Tensor:
    keys, values = cache.keys[slot, :, :length], cache.values[slot, :, :length]
    weights = torch.softmax((keys @ query.unsqueeze(2)).squeeze(2) / math.sqrt(WIDTH), 1)
    return torch.einsum("hn,hnd->hd", weights, values)


@pytest.mark.parametrize("masked", [False, True])
@pytest.mark.parametrize(
    ("slots", "lengths"), [([2], [1]), ([4, 0, 3], [11, 1, 6]), ([0, 1, 2, 3, 4], [5, 5, 5, 5, 5])]
)
def test_each_row_sees_its_own_past(
    cache: RowCache, masked: bool, slots: list[int], lengths: list[int]
) -> None:
    query = drawn(len(slots), HEADS, WIDTH, seed=3)
    rows = Rows.of(slots, lengths, CPU)
    if masked:  # the way of an accelerator
        rows = replace(rows, mask=_mask(lengths, CPU))
    got = cache.attend(query, rows)
    for row, (slot, length) in enumerate(zip(slots, lengths, strict=True)):
        torch.testing.assert_close(got[row], by_formula(cache, query[row], slot, length))


def test_nothing_beyond_a_row_is_read_and_neighbours_do_not_matter(cache: RowCache) -> None:
    query = drawn(2, HEADS, WIDTH, seed=3)
    alone = cache.attend(query[:1], Rows.of([1], [4], CPU))
    cache.keys[1, :, 4:] = torch.nan
    cache.values[1, :, 4:] = torch.nan
    assert torch.equal(cache.attend(query, Rows.of([1, 3], [4, 9], CPU))[:1], alone)


def test_what_is_written_is_found(cache: RowCache) -> None:
    before = cache.keys.clone()
    cache.fill(3, drawn(HEADS, 6, WIDTH, seed=4), drawn(HEADS, 6, WIDTH, seed=5))
    assert torch.equal(cache.keys[3, :, :6], drawn(HEADS, 6, WIDTH, seed=4))
    assert torch.equal(cache.values[3, :, :6], drawn(HEADS, 6, WIDTH, seed=5))
    new = drawn(2, HEADS, WIDTH, seed=6)
    cache.append(torch.tensor([3, 0]), torch.tensor([6, 2]), new, new + 1)
    assert torch.equal(cache.keys[3, :, 6], new[0])
    assert torch.equal(cache.values[0, :, 2], new[1] + 1)
    untouched = [1, 2, 4]
    assert torch.equal(cache.keys[untouched], before[untouched])
