"""Mel spectra: the filter bank and the magnitude spectrum of frames.

What must not live here: a model's choice of parameters.
"""

from __future__ import annotations

import math

import torch
from torch import Tensor
from torch.nn import functional as F

_LINEAR_HZ_PER_MEL = 200.0 / 3.0
_BREAK_HZ = 1000.0
_LOG_STEP = math.log(6.4) / 27.0


def slaney_filters(sample_rate: int, size: int, bins: int, low: float, high: float) -> Tensor:
    """Triangular filters [bins, size // 2 + 1] of unit area (Slaney's Auditory Toolbox, 1998).

    The scale is linear up to 1 kHz and logarithmic above. `size` is that of the Fourier transform.
    """
    edges = _hertz(torch.linspace(_mel(low), _mel(high), bins + 2, dtype=torch.float64))
    frequencies = torch.linspace(0.0, sample_rate / 2, size // 2 + 1, dtype=torch.float64)
    slopes = frequencies[None] - edges[:, None]
    widths = edges.diff()
    rising = slopes[:-2] / widths[:-1, None]
    falling = -slopes[2:] / widths[1:, None]
    area = 2.0 / (edges[2:] - edges[:-2])
    return (torch.minimum(rising, falling).clamp(min=0.0) * area[:, None]).float()


def magnitudes(samples: Tensor, size: int, hop: int, floor: float) -> Tensor:
    """sqrt(|spectrum|**2 + floor) of Hann frames [B, size // 2 + 1, T] of samples [B, N].

    The first frame begins (size - hop) / 2 samples before the signal, which is continued by reflection.
    """
    padded = F.pad(samples[:, None], ((size - hop) // 2,) * 2, mode="reflect")[:, 0]
    window = torch.hann_window(size, device=samples.device)
    spectrum = torch.stft(padded, size, hop, size, window, center=False, return_complex=True)
    return torch.sqrt(torch.view_as_real(spectrum).square().sum(-1) + floor)


def _mel(hertz: float) -> float:
    if hertz < _BREAK_HZ:
        return hertz / _LINEAR_HZ_PER_MEL
    return _BREAK_HZ / _LINEAR_HZ_PER_MEL + math.log(hertz / _BREAK_HZ) / _LOG_STEP


def _hertz(mels: Tensor) -> Tensor:
    start = _BREAK_HZ / _LINEAR_HZ_PER_MEL
    linear = mels * _LINEAR_HZ_PER_MEL
    return torch.where(mels < start, linear, _BREAK_HZ * torch.exp(_LOG_STEP * (mels - start)))
