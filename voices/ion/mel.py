"""Log mel spectra of the recipe: 16 kHz, window 1024, hop 256, 80 bands from 80 to 7600 Hz.

Lives here: waveform -> the scaled mel that the models are trained on. Must not live here: files.
"""

from __future__ import annotations

from functools import cache

import torch
import torch.nn.functional as F
from torch import Tensor

RATE, WINDOW, HOP, BANDS = 16_000, 1024, 256, 80
LOW, HIGH = 80.0, 7600.0
FLOOR = 1e-5
CENTRE, SPREAD = -1.25, 0.9
"""log10 of a band lies in about -5..1; these bring it to about -4..2, with a mean near 0."""


def hertz_to_mel(hertz: Tensor) -> Tensor:
    """O'Shaughnessy's formula (the HTK scale)."""
    return 2595.0 * torch.log10(1.0 + hertz / 700.0)


@cache
def filterbank() -> Tensor:
    """Triangles of height 1 [WINDOW // 2 + 1, BANDS], their corners evenly spaced in mel."""
    edges = hertz_to_mel(torch.tensor([LOW, HIGH]))
    corners = torch.linspace(float(edges[0]), float(edges[1]), BANDS + 2)
    bins = hertz_to_mel(torch.linspace(0, RATE / 2, WINDOW // 2 + 1))[:, None]
    rise = (bins - corners[:-2]) / (corners[1:-1] - corners[:-2])
    fall = (corners[2:] - bins) / (corners[2:] - corners[1:-1])
    bank = torch.minimum(rise, fall).clamp(min=0)
    return bank / bank.sum(0).clamp(min=1.0)


def log_mel(samples: Tensor) -> Tensor:
    """[n] in -1..1 -> [n // HOP, BANDS]. Frame t is centred on sample HOP * t + HOP / 2."""
    frames = samples.shape[-1] // HOP
    side = (WINDOW - HOP) // 2
    padded = F.pad(samples[: frames * HOP], (side, side))
    windows = padded.unfold(0, WINDOW, HOP) * torch.hann_window(WINDOW)
    magnitude = torch.fft.rfft(windows).abs()
    return (torch.log10(magnitude @ filterbank() + FLOOR) - CENTRE) / SPREAD
