"""Linear layers of a loaded module, packed for the CPU where that pays.

What must not live here: training, other devices: there nothing changes. A packed layer always multiplies at
least INVARIANT_ROWS rows, so that a row's result does not depend on how many others there are beside it,
to the last bit.
"""

from __future__ import annotations

from torch import Tensor, nn
from torch.nn import functional as F

from rhapsode_server.layers.linear import INVARIANT_ROWS, Linear, packable


class Projection(nn.Module):
    """y = x W^T + b with a packed weight [outputs, inputs]."""

    def __init__(self, weight: Tensor, bias: Tensor | None = None) -> None:
        super().__init__()
        self._packed = Linear(weight, bias)

    def forward(self, x: Tensor) -> Tensor:
        """[..., inputs] -> [..., outputs]."""
        rows = x.reshape(-1, self._packed.inputs)
        missing = max(0, INVARIANT_ROWS - len(rows))
        product = self._packed(F.pad(rows, (0, 0, 0, missing)) if missing else rows)
        return product[: len(rows)].view(*x.shape[:-1], self._packed.outputs)


def pack(module: nn.Module, leave: tuple[str, ...] = ()) -> nn.Module:
    """Replace every linear layer below `module` that can be packed, but for those in its children named in
    `leave`; returns the module.
    """
    for name, child in module.named_children():
        if name in leave:
            continue
        if isinstance(child, nn.Linear) and packable(child.weight):
            setattr(module, name, Projection(child.weight, child.bias))
        else:
            pack(child)
    return module
