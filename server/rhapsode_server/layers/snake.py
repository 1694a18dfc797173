"""Periodic activations of neural vocoders.

What must not live here: how checkpoints store their parameters.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn


class Snake(nn.Module):
    """x + sin(a * x)**2 / b with a frequency and a magnitude per channel (arXiv 2006.08195, 2206.04658).

    `frequency` is a, `inverse` is 1 / b, both [channels].
    """

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.frequency = nn.Parameter(torch.ones(channels))
        self.inverse = nn.Parameter(torch.ones(channels))

    def forward(self, x: Tensor) -> Tensor:
        """[B, channels, T] -> the same shape."""
        wave = torch.sin(x * self.frequency[:, None])
        return torch.addcmul(x, wave * wave, self.inverse[:, None])
