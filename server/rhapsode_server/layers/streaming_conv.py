"""Causal convolutions that can be fed piece by piece: each remembers the few inputs its kernel reaches.

What must not live here: a model. Feeding T frames at once or one by one gives the same output, because both
are one convolution over (what is remembered, what is new); at the beginning the memory is zeros, which is
exactly the zero padding of the offline form.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping

import torch
from torch import Tensor, nn


class Tails:
    """What the convolutions of one call remember: [B, channels, width] by the module's name.

    `held` is what is remembered now. `new` fills up during the call, so that a call that fails has changed
    nothing; the caller stores it.
    """

    def __init__(self, held: Mapping[str, Tensor]) -> None:
        self.held = held
        self.new: dict[str, Tensor] = {}

    def extend(self, name: str, x: Tensor) -> Tensor:
        """What `name` remembers followed by `x` [B, channels, T]."""
        tail = self.held[name]
        joined = torch.cat((tail, x), 2)
        self.new[name] = joined[:, :, joined.shape[2] - tail.shape[2] :]
        return joined


class CausalConv(nn.Module):
    """Convolution of stride 1 whose output at t depends on inputs up to t: [B, in, T] -> [B, out, T]."""

    def __init__(
        self, inputs: int, outputs: int, kernel: int, *, dilation: int = 1, groups: int = 1, bias: bool = True
    ) -> None:
        super().__init__()
        self.conv = nn.Conv1d(inputs, outputs, kernel, dilation=dilation, groups=groups, bias=bias)
        self.name = ""
        self.tail = (inputs, (kernel - 1) * dilation)

    def forward(self, x: Tensor, tails: Tails) -> Tensor:
        """Consume `x`; the first outputs see what `tails` remembers."""
        joined = tails.extend(self.name, x) if self.tail[1] else x
        out: Tensor = self.conv(joined)
        return out


class CausalTransposedConv(nn.Module):
    """Upsampling by `stride`: [B, in, T] -> [B, out, T * stride], what spills over is dropped on the right.

    Output block t depends on inputs t - ceil((kernel - stride) / stride) to t.
    """

    def __init__(self, inputs: int, outputs: int, kernel: int, stride: int) -> None:
        super().__init__()
        self.conv = nn.ConvTranspose1d(inputs, outputs, kernel, stride)
        self.name = ""
        self.stride = stride
        self.tail = (inputs, -(-(kernel - stride) // stride))

    def forward(self, x: Tensor, tails: Tails) -> Tensor:
        """Consume `x`; bias is part of every output once, whatever the pieces."""
        back = self.tail[1]
        joined = tails.extend(self.name, x) if back else x
        out: Tensor = self.conv(joined)
        return out[:, :, back * self.stride : (back + x.shape[2]) * self.stride]


Streaming = CausalConv | CausalTransposedConv


def name_streaming(module: nn.Module) -> dict[str, tuple[int, int]]:
    """Tell every streaming convolution below `module` its name.

    Returns (channels, width) of what each remembers, without those that remember nothing.
    """
    found = {}
    for name, child in _streaming(module):
        child.name = name
        if child.tail[1]:
            found[name] = child.tail
    return found


def _streaming(module: nn.Module) -> Iterator[tuple[str, Streaming]]:
    for name, child in module.named_modules():
        if isinstance(child, (CausalConv, CausalTransposedConv)):
            yield name, child
