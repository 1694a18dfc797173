"""Streamed stacks of convolutions against torch's own layers on the whole."""

from __future__ import annotations

import itertools
from collections.abc import Callable

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from rhapsode_server.layers.lookahead import Conv, Delay, Flow, Residual, Room, Sum, Upsample
from torch import Tensor
from torch.nn import functional as F

Layer = Callable[[Flow, Tensor], Tensor]


def drawn(*shape: int, seed: int = 0) -> Tensor:
    return torch.randn(shape, generator=torch.Generator().manual_seed(seed))


def whole(layer: Layer, x: Tensor, size: int) -> Tensor:
    return layer(Flow(torch.full((len(x), size), torch.nan), first=True, last=True), x)


def in_pieces(layer: Layer, x: Tensor, size: int, cuts: list[int]) -> Tensor:
    """x cut before the positions `cuts`; memory that is read before it is written would show as nan."""
    rows = torch.full((len(x), size), torch.nan)
    edges = [0, *cuts, x.shape[1]]
    pieces = [
        layer(Flow(rows, first=begin == 0, last=end == x.shape[1]), x[:, begin:end])
        for begin, end in itertools.pairwise(edges)
    ]
    return torch.cat(pieces, 1)


@pytest.mark.parametrize(("kernel", "dilation"), [(1, 1), (3, 1), (7, 2), (11, 5)])
def test_conv_is_a_centred_convolution(kernel: int, dilation: int) -> None:
    weight, bias, x = drawn(5, 4, kernel), drawn(5, seed=1), drawn(2, 60, 4, seed=2)
    room = Room()
    conv = Conv(room, weight, bias, dilation, slope=0.1)
    same = F.conv1d(F.leaky_relu(x.transpose(1, 2), 0.1), weight, bias, padding="same", dilation=dilation)
    torch.testing.assert_close(whole(conv, x, room.size), same.transpose(1, 2), atol=1e-5, rtol=1e-5)


@pytest.mark.parametrize(("kernel", "stride"), [(8, 4), (4, 2), (11, 5), (16, 8), (3, 3), (9, 3), (2, 2)])
def test_upsample_is_a_transposed_convolution(kernel: int, stride: int) -> None:
    weight, bias, x = drawn(4, 3, kernel), drawn(3, seed=1), drawn(2, 23, 4, seed=2)
    room = Room()
    up = Upsample(room, weight, bias, stride)
    padding = (kernel - stride) // 2
    same = F.conv_transpose1d(x.transpose(1, 2), weight, bias, stride, padding).transpose(1, 2)
    assert same.shape[1] == 23 * stride
    torch.testing.assert_close(whole(up, x, room.size), same, atol=1e-5, rtol=1e-5)


def test_sizes_that_cannot_be_centred_are_refused() -> None:
    with pytest.raises(ValueError, match="odd kernel"):
        Conv(Room(), drawn(2, 2, 4), None)
    with pytest.raises(ValueError, match="outputs per input"):
        Upsample(Room(), drawn(2, 2, 7), drawn(2), 4)


def stack() -> tuple[Layer, int, int, int]:
    """A small HiFi-GAN: the layer, floats in a row, outputs per input, delay in outputs."""
    room = Room()
    pre = Conv(room, drawn(6, 3, 5) / 4, drawn(6, seed=1))
    up = Upsample(room, drawn(6, 4, 8, seed=2) / 4, drawn(4, seed=3), 4, 0.1)
    branches = [
        [
            Residual(
                room,
                [
                    Conv(room, drawn(4, 4, kernel, seed=kernel) / 4, drawn(4), dilation, 0.1)
                    for dilation in (2, 1)
                ],
                4,
            )
        ]
        for kernel in (3, 7)
    ]
    fusion = Sum(room, branches, 4)
    slack = Delay(room, 3, 4)
    delay = pre.delay * 4 + up.delay + fusion.delay + slack.delay

    def run(flow: Flow, x: Tensor) -> Tensor:
        return slack(flow, fusion(flow, up(flow, pre(flow, x))))

    return run, room.size, 4, delay


@given(st.data())
def test_pieces_equal_the_whole(data: st.DataObject) -> None:
    layer, size, rate, delay = stack()
    steps = data.draw(st.integers(1, 40))
    shortest = -(-delay // rate) + 1
    cuts = data.draw(st.lists(st.integers(shortest, max(shortest, steps - 1)), unique=True).map(sorted))
    cuts = [cut for cut in cuts if cut < steps]
    x = drawn(data.draw(st.integers(1, 3)), steps, 3, seed=9)
    want = whole(layer, x, size)
    assert want.shape[1] == steps * rate
    torch.testing.assert_close(in_pieces(layer, x, size, cuts), want, atol=1e-5, rtol=1e-5)


def test_a_piece_brings_all_sound_but_the_delay() -> None:
    layer, size, rate, delay = stack()
    rows = torch.zeros(1, size)
    first = layer(Flow(rows, first=True, last=False), drawn(1, 20, 3))
    assert first.shape[1] == 20 * rate - delay
    second = layer(Flow(rows, first=False, last=False), drawn(1, 7, 3, seed=1))
    assert second.shape[1] == 7 * rate
    last = layer(Flow(rows, first=False, last=True), drawn(1, 0, 3))
    assert last.shape[1] == delay


def test_the_delay_is_as_short_as_the_layers_allow() -> None:
    """The output that is `delay` behind does hear the last input, and none before it does."""
    layer, size, rate, delay = stack()
    x = drawn(1, 40, 3)
    other = x.clone()
    other[:, 30:] += 1
    moved = (whole(layer, x, size) - whole(layer, other, size)).abs().amax((0, 2)) > 0
    first_moved = int(moved.nonzero()[0])
    slack = 3
    assert first_moved == 30 * rate - (delay - slack)


def test_rows_are_independent() -> None:
    layer, size, _, _ = stack()
    x = drawn(3, 30, 3)
    together = in_pieces(layer, x, size, [12, 20])
    for row in range(3):
        alone = in_pieces(layer, x[row : row + 1], size, [12, 20])
        torch.testing.assert_close(together[row : row + 1], alone, atol=1e-5, rtol=1e-5)
