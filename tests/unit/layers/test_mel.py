"""Mel filters and magnitudes against their definitions."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from rhapsode_server.layers.mel import magnitudes, slaney_filters


def test_filters_have_unit_area_and_overlap_to_a_whole() -> None:
    filters = slaney_filters(24_000, 4096, 40, 0.0, 12_000.0)
    areas = filters.sum(1) * (24_000 / 4096)
    assert filters.shape == (40, 2049)
    assert torch.allclose(areas[5:], torch.ones(35), atol=0.02)
    assert bool((filters >= 0).all())


@pytest.mark.parametrize(("bins", "last"), [(128, 11_700.0), (80, 11_600.0)])
def test_peaks_rise_evenly_then_by_a_factor(bins: int, last: float) -> None:
    filters = slaney_filters(24_000, 16_384, bins, 0.0, 12_000.0)
    peaks = filters.argmax(1).double() * 24_000 / 16_384
    steps = peaks.diff()
    low = steps[: int((peaks < 900).sum()) - 1]
    assert float(low.max() - low.min()) < 4.0
    factors = peaks[-20:][1:] / peaks[-20:][:-1]
    assert float(factors.max() - factors.min()) < 2e-3
    assert abs(float(peaks[-1]) - last) < 200


def test_magnitudes_are_those_of_numpy() -> None:
    generator = np.random.default_rng(0)
    samples = generator.normal(size=2000).astype(np.float32)
    got = magnitudes(torch.from_numpy(samples)[None], 256, 64, 1e-9)[0]
    padded = np.pad(samples, 96, mode="reflect")
    window = 0.5 - 0.5 * np.cos(2 * np.pi * np.arange(256) / 256)
    frames = np.stack([padded[at : at + 256] * window for at in range(0, len(padded) - 255, 64)])
    wanted = np.sqrt(np.abs(np.fft.rfft(frames)) ** 2 + 1e-9).T
    assert got.shape == wanted.shape
    assert np.abs(got.numpy() - wanted).max() < 1e-4
