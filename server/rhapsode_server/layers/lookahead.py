"""Convolutions that look ahead, streamed exactly: every output is computed once, as soon as it can be.

What must not live here: a model's layout, causal layers, a checkpoint's names.

A stack of centred convolutions has a receptive field on both sides. Recomputing it as context for each
window costs more than the window; here each layer keeps the last inputs it still needs instead, and
runs `delay` positions behind what it was given. Edges are those of the whole utterance: at its first
window each layer sees its own zero padding before it, at its last after it. So the pieces equal the whole.

Tensors are [B, T, channels]: time before channels, which is the layout the CPU's convolutions want.
The remembered inputs of all layers of a request lie in one row of floats, so that batches are gathered
and stored by one copy each.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor
from torch.nn import functional as F


@dataclass(frozen=True, slots=True)
class Tail:
    """Where the last `length` inputs [B, length, channels] of one layer lie in a row."""

    offset: int
    length: int
    channels: int

    def of(self, rows: Tensor) -> Tensor:
        """View of the tail in rows [B, size]."""
        flat = rows[:, self.offset : self.offset + self.length * self.channels]
        return flat.view(rows.shape[0], self.length, self.channels)


class Room:
    """Hands out places in a row; `size` floats are taken so far."""

    def __init__(self) -> None:
        self.size = 0

    def tail(self, length: int, channels: int) -> Tail:
        """A place of its own for one layer."""
        tail = Tail(self.size, length, channels)
        self.size += length * channels
        return tail


@dataclass(slots=True)
class Flow:
    """One call for a batch of rows [B, size], all at the same edge: `first` and `last` windows, or neither.

    `rows` are updated in place, except at the last window, after which nothing follows.
    """

    rows: Tensor
    first: bool
    last: bool

    def extend(self, tail: Tail, x: Tensor, before: int = 0, after: int = 0, slope: float = 1.0) -> Tensor:
        """What the layer remembers, then x [B, T, channels], passed through a leaky ReLU of that slope.

        At the first window `before` zeros stand for the memory; at the last one `after` zeros follow.
        """
        head, foot = before if self.first else tail.length, after if self.last else 0
        batch, steps, channels = x.shape
        whole = x.new_empty(batch, head + steps + foot, channels)
        _activate_into(whole[:, head : head + steps], x, slope)
        whole[:, head + steps :] = 0.0
        whole[:, :head] = 0.0 if self.first else tail.of(self.rows)
        if not self.last and tail.length:
            tail.of(self.rows).copy_(whole[:, -tail.length :])
        return whole


def _activate_into(out: Tensor, x: Tensor, slope: float) -> None:
    if slope == 1.0:
        out.copy_(x)
    else:
        torch.ops.aten.leaky_relu.out(x, slope, out=out)


class Conv:
    """A centred convolution; weight [out, in, kernel] with an odd kernel. `slope`: leaky ReLU before it."""

    def __init__(
        self, room: Room, weight: Tensor, bias: Tensor | None, dilation: int = 1, slope: float = 1.0
    ) -> None:
        kernel = weight.shape[2]
        if kernel % 2 == 0:
            raise ValueError(f"a centred convolution needs an odd kernel, not {kernel}")
        self.delay = (kernel - 1) // 2 * dilation
        self._tail = room.tail(2 * self.delay, weight.shape[1])
        self._weight = _time_major(weight)
        self._bias = bias
        self._dilation = dilation
        self._slope = slope

    def __call__(self, flow: Flow, x: Tensor) -> Tensor:
        """[B, T, in] -> [B, T', out], `delay` positions behind."""
        whole = flow.extend(self._tail, x, self.delay, self.delay, self._slope)
        return _convolve(whole, self._weight, self._bias, self._dilation)


class Upsample:
    """A transposed convolution with `stride` outputs per input; weight [in, out, kernel].

    It is computed as a plain convolution that makes the `stride` outputs of one input side by side; with
    channels last, setting them one after the other is a change of shape, not a copy. `padding` outputs
    are cut at both edges; kernel - stride == 2 * padding keeps the length a multiple of the stride.
    """

    def __init__(self, room: Room, weight: Tensor, bias: Tensor, stride: int, slope: float = 1.0) -> None:
        inputs, _, kernel = weight.shape
        if kernel < stride or (kernel - stride) % 2:
            raise ValueError(f"kernel {kernel} and stride {stride} do not give {stride} outputs per input")
        self.delay = (kernel - stride) // 2
        self._stride = stride
        self._taps = -(-kernel // stride)
        self._after = -(-self.delay // stride)
        self._tail = room.tail(self._taps - 1, inputs)
        self._weight = _time_major(_phases(weight, stride, self._taps))
        self._bias = bias.repeat(stride)
        self._slope = slope

    def __call__(self, flow: Flow, x: Tensor) -> Tensor:
        """[B, T, in] -> [B, about T * stride, out], `delay` outputs behind."""
        whole = flow.extend(self._tail, x, self._taps - 1, self._after, self._slope)
        phases = _convolve(whole, self._weight, self._bias, 1)
        batch, steps, channels = phases.shape
        made = phases.reshape(batch, steps * self._stride, channels // self._stride)
        end = made.shape[1] - (self._after * self._stride - self.delay if flow.last else 0)
        return made[:, self.delay if flow.first else 0 : end]


class Delay:
    """Lets x through `delay` positions later, to meet a branch that is that far behind."""

    def __init__(self, room: Room, delay: int, channels: int) -> None:
        self.delay = delay
        self._tail = room.tail(delay, channels)

    def __call__(self, flow: Flow, x: Tensor) -> Tensor:
        """[B, T, channels] -> [B, T', channels]."""
        if not self.delay:
            return x
        whole = flow.extend(self._tail, x)
        return whole if flow.last else whole[:, : whole.shape[1] - self.delay]


class Residual:
    """x + layers(x), x delayed as the layers are."""

    def __init__(self, room: Room, layers: list[Conv], channels: int) -> None:
        self.delay = sum(layer.delay for layer in layers)
        self._layers = layers
        self._skip = Delay(room, self.delay, channels)

    def __call__(self, flow: Flow, x: Tensor) -> Tensor:
        """[B, T, channels] -> [B, T', channels]."""
        y = x
        for layer in self._layers:
            y = layer(flow, y)
        return y.add_(self._skip(flow, x))


class Sum:
    """The sum of several branches, each delayed to the slowest. Every branch is a chain of residuals."""

    def __init__(self, room: Room, branches: list[list[Residual]], channels: int) -> None:
        delays = [sum(layer.delay for layer in branch) for branch in branches]
        self.delay = max(delays)
        self._branches = branches
        self._waits = [Delay(room, self.delay - delay, channels) for delay in delays]

    def __call__(self, flow: Flow, x: Tensor) -> Tensor:
        """[B, T, channels] -> [B, T', channels]."""
        ends = [_chain(flow, branch, x) for branch in self._branches]
        total, *others = (wait(flow, end) for wait, end in zip(self._waits, ends, strict=True))
        for other in others:
            total = total.add_(other)
        return total


def _chain(flow: Flow, layers: list[Residual], x: Tensor) -> Tensor:
    for layer in layers:
        x = layer(flow, x)
    return x


def _time_major(weight: Tensor) -> Tensor:
    """[out, in, kernel] -> [out, in, 1, kernel] with channels innermost in memory."""
    return weight.unsqueeze(2).contiguous(memory_format=torch.channels_last)


def _phases(weight: Tensor, stride: int, taps: int) -> Tensor:
    """[in, out, kernel] -> [stride * out, in, taps].

    Output p of the `stride` that belong to input t takes w[p + stride * q] of input t - q, q = 0 … taps - 1.
    """
    inputs, outputs, kernel = weight.shape
    padded = F.pad(weight, (0, taps * stride - kernel)).view(inputs, outputs, taps, stride)
    return padded.flip(2).permute(3, 1, 0, 2).reshape(stride * outputs, inputs, taps)


def _convolve(x: Tensor, weight: Tensor, bias: Tensor | None, dilation: int) -> Tensor:
    """[B, T, in] -> [B, T - (kernel - 1) * dilation, out]; T may be too short for any output."""
    if x.shape[1] <= (weight.shape[3] - 1) * dilation:
        return x.new_empty(x.shape[0], 0, weight.shape[0])
    y = F.conv2d(x.transpose(1, 2).unsqueeze(2), weight, bias, dilation=(1, dilation))
    return y.squeeze(2).transpose(1, 2)
