"""A linear layer for decoding: weights packed once for the CPU's matrix kernels, an activation fused in.

What must not live here: training, quantisation, a checkpoint's names.

A decode step multiplies few rows by large matrices, so most of its time is reading weights. PyTorch
hands them to the BLAS in their plain layout at every call; oneDNN's packed layout is read about 1.5
times as fast (Zen 4, 16 rows: 83 against 50 GFLOP/s on one core). The packing operators are those that
torch.compile uses; where a build of torch lacks them, the plain product is taken.
"""

from __future__ import annotations

from typing import Literal

import torch
from torch import Tensor
from torch.nn import functional as F

Activation = Literal["none", "relu", "gelu"]

INVARIANT_ROWS = 4
"""From this many rows on a row's result does not depend on how many rows there are beside it.

Fewer rows take other kernels (matrix times vector) that sum in another order. Padding a batch up to
this costs nothing that can be measured, for the time goes into reading the weights.
"""


class Linear:
    """y = activation(x W^T + b), weight [outputs, inputs]."""

    def __init__(self, weight: Tensor, bias: Tensor | None = None, activation: Activation = "none") -> None:
        self.inputs, self.outputs = weight.shape[1], weight.shape[0]
        self._bias = bias
        self._activation = activation
        self._packed = packable(weight)
        self._weight = _pack(weight) if self._packed else weight.contiguous()

    def __call__(self, x: Tensor) -> Tensor:
        """[..., inputs] -> [..., outputs]."""
        if self._packed:
            return self._fused(x.contiguous())
        return _activate(F.linear(x, self._weight, self._bias), self._activation)

    def _fused(self, x: Tensor) -> Tensor:
        fused: Tensor = torch.ops.mkldnn._linear_pointwise(
            x, self._weight, self._bias, self._activation, [], "none"
        )
        return fused


def packable(weight: Tensor) -> bool:
    """Whether this build of torch can pack such a weight."""
    return (
        weight.device.type == "cpu"
        and weight.dtype in (torch.float32, torch.bfloat16)
        and torch.backends.mkldnn.is_available()  # type: ignore[no-untyped-call]
        and hasattr(torch.ops.mkldnn, "_linear_pointwise")
        and hasattr(torch.ops.mkldnn, "_reorder_linear_weight")
    )


def pad_rows(x: Tensor) -> Tensor:
    """[B, ...] -> [max(B, INVARIANT_ROWS), ...], zeros after the real rows."""
    missing = INVARIANT_ROWS - x.shape[0]
    return x if missing <= 0 else torch.cat((x, x.new_zeros(missing, *x.shape[1:])))


def _pack(weight: Tensor) -> Tensor:
    packed: Tensor = torch.ops.mkldnn._reorder_linear_weight(weight.contiguous(), None)
    return packed


def _activate(y: Tensor, activation: Activation) -> Tensor:
    if activation == "relu":
        return torch.relu_(y)
    return F.gelu(y) if activation == "gelu" else y
