"""What both trainings share: learning rate, averaged weights, checkpoints that can be resumed. No loss lives
here.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from pathlib import Path

import torch
from paths import RUNS
from torch import nn


def rate(step: int, steps: int, peak: float, warm: int = 300) -> float:
    """Learning rate: a straight climb, then half a cosine down to a fiftieth of the peak."""
    if step < warm:
        return peak * (step + 1) / warm
    share = min(1.0, (step - warm) / max(1, steps - warm))
    return peak * (0.02 + 0.98 * 0.5 * (1 + math.cos(math.pi * share)))


class Average:
    """Exponential moving average of the weights, slow to start so that it forgets the beginning."""

    def __init__(self, module: nn.Module, decay: float = 0.998) -> None:
        self.decay = decay
        self.weights = {name: value.detach().clone() for name, value in module.state_dict().items()}

    @torch.no_grad()
    def update(self, module: nn.Module, step: int) -> None:
        """Fold the present weights in."""
        decay = min(self.decay, (1 + step) / (10 + step))
        for name, value in module.state_dict().items():
            self.weights[name].lerp_(value, 1 - decay)


@dataclass(slots=True)
class Run:
    """A training in progress under RUNS/name: parts with a state_dict each, and the step reached."""

    name: str
    parts: dict[str, nn.Module | torch.optim.Optimizer]
    average: Average
    step: int = 0

    @property
    def path(self) -> Path:
        """The checkpoint. torch's own format: it is read back by this recipe only, never shipped."""
        return RUNS / f"{self.name}.ckpt"

    def save(self) -> None:
        """Write the checkpoint, whole or not at all."""
        RUNS.mkdir(parents=True, exist_ok=True)
        states = {name: part.state_dict() for name, part in self.parts.items()}
        draft = self.path.with_suffix(".tmp")
        torch.save({"step": self.step, "average": self.average.weights, "parts": states}, draft)
        draft.rename(self.path)

    def resume(self) -> bool:
        """Go on from the checkpoint, if there is one."""
        if not self.path.exists():
            return False
        saved = torch.load(self.path, weights_only=True)
        for name, part in self.parts.items():
            part.load_state_dict(saved["parts"][name])
        self.average.weights, self.step = saved["average"], saved["step"]
        return True
