"""Recordings from outside: every format that is promised, every bound."""

from __future__ import annotations

import io

import numpy as np
import pytest
import soundfile
from hypothesis import given
from hypothesis import strategies as st
from numpy.typing import NDArray
from rhapsode_server.audio.clip import read_clip
from rhapsode_server.errors import InvalidRequest


def encoded(samples: NDArray[np.float32], rate: int, form: str = "WAV", subtype: str | None = None) -> bytes:
    out = io.BytesIO()
    soundfile.write(out, samples, rate, format=form, subtype=subtype)
    return out.getvalue()


def tone(seconds: float, rate: int, hertz: float = 440.0) -> NDArray[np.float32]:
    return (0.5 * np.sin(2 * np.pi * hertz * np.arange(int(seconds * rate)) / rate)).astype(np.float32)


def read(data: bytes, rate: int = 24_000) -> NDArray[np.float32]:
    return read_clip(data, rate, shortest=0.5, longest=2.0)


@pytest.mark.parametrize("form", ["WAV", "FLAC", "OGG", "MP3"])
def test_formats(form: str) -> None:
    got = read(encoded(tone(1.0, 24_000), 24_000, form))
    assert abs(len(got) - 24_000) <= 1200
    assert got.dtype == np.float32
    assert 0.3 < np.abs(got).max() < 0.6


@pytest.mark.parametrize("rate", [8_000, 16_000, 22_050, 44_100, 48_000])
def test_rates(rate: int) -> None:
    got = read(encoded(tone(1.0, rate), rate))
    assert len(got) == 24_000
    middle = slice(2_000, -2_000)
    assert np.abs(got[middle] - tone(1.0, 24_000)[middle]).max() < 1e-3


def test_channels_are_averaged() -> None:
    both = np.stack([tone(1.0, 24_000), np.zeros(24_000, np.float32)], 1)
    got = read(encoded(both, 24_000, subtype="FLOAT"))
    assert np.allclose(got, tone(1.0, 24_000) / 2, atol=1e-6)


@pytest.mark.parametrize("seconds", [0.4, 2.1, 60.0])
def test_lengths_out_of_bounds(seconds: float) -> None:
    with pytest.raises(InvalidRequest, match=r"0\.5 to 2 seconds"):
        read(encoded(tone(seconds, 8_000), 8_000))


def test_silence() -> None:
    with pytest.raises(InvalidRequest, match="silent"):
        read(encoded(np.zeros(24_000, np.float32), 24_000))


def test_samples_that_are_not_numbers() -> None:
    samples = tone(1.0, 24_000)
    samples[5] = np.inf
    with pytest.raises(InvalidRequest, match="damaged"):
        read(encoded(samples, 24_000, subtype="FLOAT"))


@given(data=st.binary(max_size=300))
def test_anything_else_is_refused(data: bytes) -> None:
    with pytest.raises(InvalidRequest) as caught:
        read(data)
    assert caught.value.field == "audio"


@given(cut=st.integers(0, 2000))
def test_a_file_that_breaks_off(cut: int) -> None:
    data = encoded(tone(1.0, 24_000), 24_000, "FLAC")[:cut]
    with pytest.raises(InvalidRequest):
        read(data)
