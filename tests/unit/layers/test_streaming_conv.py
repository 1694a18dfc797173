"""Fed in any pieces, the convolutions give what they give at once."""

from __future__ import annotations

from collections.abc import Callable

import torch
from hypothesis import given
from hypothesis import strategies as st
from rhapsode_server.layers.snake import Snake
from rhapsode_server.layers.streaming_conv import (
    CausalConv,
    CausalTransposedConv,
    Tails,
    name_streaming,
)
from torch import Tensor, nn
from torch.nn import functional as F

PIECES = st.lists(st.integers(1, 7), min_size=1, max_size=6)


class Stack(nn.Module):
    """One convolution under a name."""

    def __init__(self, conv: CausalConv | CausalTransposedConv) -> None:
        super().__init__()
        self.inner = conv
        self.shapes = name_streaming(self)

    def held(self) -> dict[str, Tensor]:
        return {name: torch.zeros(2, *shape) for name, shape in self.shapes.items()}


def fed(stack: Stack, x: Tensor, sizes: list[int]) -> Tensor:
    held, parts = stack.held(), []
    for piece in torch.split(x, sizes, 2):
        tails = Tails(held)
        parts.append(stack.inner(piece, tails))
        held = {**held, **tails.new}
    return torch.cat(parts, 2)


def agree(
    make: Callable[[], CausalConv | CausalTransposedConv],
    sizes: list[int],
    offline: Callable[[nn.Module, Tensor], Tensor],
) -> None:
    torch.manual_seed(sum(sizes))
    stack = Stack(make()).requires_grad_(False)
    x = torch.randn(2, 3, sum(sizes))
    wanted = offline(stack.inner.conv, x)
    assert (fed(stack, x, sizes) - wanted).abs().max() < 1e-6
    assert (fed(stack, x, [sum(sizes)]) - wanted).abs().max() < 1e-6


@given(sizes=PIECES, kernel=st.integers(1, 5), dilation=st.integers(1, 3))
def test_causal_convolution(sizes: list[int], kernel: int, dilation: int) -> None:
    agree(
        lambda: CausalConv(3, 4, kernel, dilation=dilation),
        sizes,
        lambda conv, x: conv(F.pad(x, ((kernel - 1) * dilation, 0))),
    )


@given(sizes=PIECES, stride=st.integers(1, 4), extra=st.integers(0, 5))
def test_transposed_convolution(sizes: list[int], stride: int, extra: int) -> None:
    agree(
        lambda: CausalTransposedConv(3, 4, stride + extra, stride),
        sizes,
        lambda conv, x: conv(x)[:, :, : x.shape[2] * stride],
    )


def test_only_what_remembers_is_named() -> None:
    stack = nn.ModuleList(
        [CausalConv(3, 4, 1), CausalConv(3, 4, 7, dilation=3), CausalTransposedConv(3, 4, 2, 2)]
    )
    assert name_streaming(stack) == {"1": (3, 18)}


def test_a_call_leaves_what_it_was_given() -> None:
    stack = Stack(CausalConv(3, 4, 3))
    held = stack.held()
    stack.inner(torch.ones(2, 3, 5), Tails(held))
    assert float(held["inner"].abs().max()) == 0.0


def test_snake() -> None:
    snake = Snake(2).requires_grad_(False)
    snake.frequency.copy_(torch.tensor([1.0, 3.0]))
    snake.inverse.copy_(torch.tensor([0.5, 2.0]))
    x = torch.linspace(-2, 2, 9).expand(1, 2, -1)
    wanted = torch.stack([x[0, 0] + 0.5 * x[0, 0].sin() ** 2, x[0, 1] + 2 * (3 * x[0, 1]).sin() ** 2])
    assert torch.allclose(snake(x)[0], wanted, atol=1e-6)
