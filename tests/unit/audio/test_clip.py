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


def wav(seconds: float, said: int | None = None, subtype: str | None = None) -> bytes:
    """A WAV whose header speaks of so many bytes of samples, with a chunk before them."""
    data = encoded(tone(seconds, 24_000), 24_000, subtype=subtype)
    begin = data.index(b"data")
    size = data[begin + 4 : begin + 8] if said is None else said.to_bytes(4, "little")
    return data[:begin] + b"note\x03\0\0\0abc\0" + b"data" + size + data[begin + 8 :]


@pytest.mark.parametrize("subtype", [None, "FLOAT", "PCM_24"])
def test_half_of_a_wav_was_cut_off(subtype: str | None) -> None:
    whole = wav(1.5, subtype=subtype)
    assert len(read(whole)) == 36_000
    with pytest.raises(InvalidRequest, match=r"The recording was cut off: of [\d,]+ bytes") as refused:
        read(whole[: len(whole) // 2])
    assert refused.value.field == "audio"


@pytest.mark.parametrize("said", [0, 0x7FFF_F000, 0x8000_0000, 0xFFFF_FFFF])
def test_a_wav_that_was_streamed_does_not_know_its_length(said: int) -> None:
    assert len(read(wav(1.0, said))) == 24_000
    assert len(read(wav(2.0, said)[: 2 * 24_000])) < 24_000


def test_a_header_that_counts_itself_in_is_no_cut() -> None:
    assert len(read(wav(1.0, 48_000 + 44))) == 24_000


@pytest.mark.parametrize("at", [0, 4, 11, 12, 20, 36, 43, 44, 50, 56, 57])
def test_a_wav_that_was_cut_in_its_header_is_refused(at: int) -> None:
    with pytest.raises(InvalidRequest):
        read(wav(1.0)[:at])


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
