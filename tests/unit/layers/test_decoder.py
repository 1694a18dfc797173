"""The decoder over every kind of cache equals plain attention over everything."""

from __future__ import annotations

import pytest
import torch
from rhapsode_server.layers.decoder import Decoder, DecoderConfig, Rope, attend, rotate
from rhapsode_server.layers.kv_cache import Append, Fill, Scratch, SlidingTail, SlottedCache
from torch import Tensor
from torch.nn import functional as F

CONFIG = DecoderConfig(
    layers=2, hidden=24, intermediate=32, heads=4, kv_heads=2, head_dim=8, rope_theta=1e4, eps=1e-6,
    qk_norm=True,
)  # fmt: skip
CLOSE = 2e-6


@pytest.fixture
def decoder() -> Decoder:
    torch.manual_seed(0)
    made = Decoder(CONFIG).requires_grad_(False)
    for parameter in made.parameters():
        torch.nn.init.normal_(parameter, 1.0 if parameter.dim() == 1 else 0.0, 0.3)
    return made


def rows(*lengths: int) -> list[Tensor]:
    generator = torch.Generator().manual_seed(1)
    return [torch.randn(length, CONFIG.hidden, generator=generator) for length in lengths]


def whole(decoder: Decoder, x: Tensor) -> Tensor:
    """All positions in one causal pass."""
    hidden: Tensor = decoder(x[None], torch.arange(len(x))[None], Scratch(CONFIG.layers), causal=True)
    return hidden[0]


def test_grouped_heads_are_repeated_heads() -> None:
    torch.manual_seed(0)
    query, keys, values = torch.randn(3, 4, 2, 8), torch.randn(3, 2, 5, 8), torch.randn(3, 2, 5, 8)
    mask = torch.rand(3, 1, 2, 5) > 0.3
    mask[..., 0] = True
    wide_keys, wide_values = (x.repeat_interleave(2, 1) for x in (keys, values))
    wanted = F.scaled_dot_product_attention(query, wide_keys, wide_values, attn_mask=mask)
    assert torch.allclose(attend(query, keys, values, mask, causal=False), wanted, atol=1e-6)


def test_rotation_depends_on_the_distance_alone() -> None:
    rope = Rope(8, 1e4)
    torch.manual_seed(0)
    query, key = torch.randn(1, 1, 1, 8), torch.randn(1, 1, 1, 8)

    def product(at: int, other: int) -> Tensor:
        turned = [
            rotate(x, rope(torch.tensor([[place]]), torch.float32))
            for x, place in ((query, at), (key, other))
        ]
        return (turned[0] * turned[1]).sum()

    assert torch.allclose(product(3, 1), product(103, 101), atol=1e-4)
    assert not torch.allclose(product(3, 1), product(3, 2), atol=1e-2)


def test_pieces_over_a_scratch(decoder: Decoder) -> None:
    (x,) = rows(9)
    memory = Scratch(CONFIG.layers)
    first = decoder(x[None, :4], torch.arange(4)[None], memory, causal=True)
    rest = [decoder(x[None, at : at + 1], torch.tensor([[at]]), memory) for at in range(4, 9)]
    assert (torch.cat([first, *rest], 1)[0] - whole(decoder, x)).abs().max() < CLOSE


@pytest.mark.parametrize("first", [None, 1])
def test_ragged_rows_in_slots(decoder: Decoder, first: int | None) -> None:
    """Three rows of different length: prefilled together, then one step each at their own positions."""
    sequences, slots = rows(7, 3, 5), torch.tensor([1, 2, 3])
    cache = SlottedCache(2, 4, 2, 16, 8, dtype=torch.float32, device="cpu")
    for tensor in (*cache.keys, *cache.values):
        tensor.fill_(99.0)
    prefilled = torch.stack([F.pad(x[:-1], (0, 0, 0, 6 - len(x) + 1)) for x in sequences])
    decoder(prefilled, torch.arange(6).expand(3, -1), Fill(cache, slots), causal=True)
    positions = torch.tensor([len(x) - 1 for x in sequences])
    last = torch.stack([x[-1:] for x in sequences])
    seen = torch.arange(8) <= positions[:, None, None, None]
    memory = Append(cache, slots, positions, 8, first)
    got = decoder(last, positions[:, None], memory, seen)[:, 0]
    wanted = torch.stack([whole(decoder, x)[-1] for x in sequences])
    assert (got - wanted).abs().max() < CLOSE
    assert bool((cache.keys[0][0] == 99.0).all()), "no other row is touched"


def test_a_sliding_tail_is_a_band_of_attention(decoder: Decoder) -> None:
    window, (x,) = 4, rows(11)
    at = torch.arange(11)
    band = (at[:, None] - at >= 0) & (at[:, None] - at < window)
    wanted = decoder(x[None], at[None], Scratch(2), band[None, None])[0]
    empty = [torch.zeros(1, 2, window - 1, 8) for _ in range(4)]
    tail, got = SlidingTail(empty[:2], empty[2:]), []
    for begin, end in ((0, 1), (1, 3), (3, 8), (8, 11)):
        steps = torch.arange(begin, end)
        keys = torch.arange(begin - window + 1, end)
        mask = (steps[:, None] - keys >= 0) & (steps[:, None] - keys < window) & (keys >= 0)
        got.append(decoder(x[None, begin:end], steps[None], tail, mask[None, None])[0])
    assert (torch.cat(got) - wanted).abs().max() < CLOSE
    assert tail.keys[0].shape[2] == window - 1


def test_the_cache_knows_its_size() -> None:
    cache = SlottedCache(2, 3, 2, 16, 8, dtype=torch.bfloat16, device="cpu")
    assert cache.nbytes == 2 * 2 * 3 * 2 * 16 * 8 * 2
