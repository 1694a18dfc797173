"""Streams change their rate exactly: chunked == whole, counted samples, faithful sound."""

from __future__ import annotations

import numpy as np
import pytest
import soxr
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray
from rhapsode_server.audio.resample import length_after, resampler

RATES = (8000, 11025, 12000, 16000, 22050, 24000, 32000, 44100, 48000)


def noise(count: int, seed: int = 0) -> NDArray[np.float32]:
    return (np.random.default_rng(seed).standard_normal(count) * 0.2).astype(np.float32)


def run(samples: NDArray[np.float32], rates: tuple[int, int], cuts: list[int]) -> NDArray[np.float32]:
    stream = resampler(*rates)
    parts = [
        stream.process(part) for part in np.split(samples, sorted(min(cut, len(samples)) for cut in cuts))
    ]
    return np.concatenate([*parts, stream.finish()])


@settings(max_examples=60, deadline=None)
@given(
    st.integers(0, 9000),
    st.sampled_from(RATES),
    st.one_of(st.sampled_from(RATES), st.integers(8000, 48000)),
    st.lists(st.integers(0, 9000), max_size=8),
)
def test_chunks_equal_the_whole_and_the_count_follows_the_rule(
    count: int, native: int, wanted: int, cuts: list[int]
) -> None:
    samples = noise(count)
    chunked = run(samples, (native, wanted), cuts)
    assert len(chunked) == length_after(count, native, wanted)
    assert np.array_equal(chunked, run(samples, (native, wanted), []))


@pytest.mark.parametrize(
    ("native", "wanted"), [(24000, 8000), (24000, 48000), (22050, 16000), (16000, 44100)]
)
def test_a_tone_stays_the_same_tone_at_the_same_time(native: int, wanted: int) -> None:
    heard = run(
        np.sin(np.arange(native) * 2 * np.pi * 1000 / native).astype(np.float32), (native, wanted), [500]
    )
    ideal = np.sin(np.arange(wanted) * 2 * np.pi * 1000 / wanted)
    middle = slice(wanted // 10, -wanted // 10)
    assert np.max(np.abs(heard[middle] - ideal[middle])) < 1e-4


@pytest.mark.parametrize(("native", "wanted"), [(24000, 8000), (48000, 16000), (22050, 8000)])
def test_what_the_lower_rate_cannot_carry_is_gone(native: int, wanted: int) -> None:
    above = wanted * 0.56
    heard = run(
        np.sin(np.arange(native) * 2 * np.pi * above / native).astype(np.float32), (native, wanted), []
    )
    assert np.max(np.abs(heard[wanted // 10 : -wanted // 10])) < 1e-3


@pytest.mark.parametrize(("native", "wanted"), [(24000, 8000), (22050, 48000), (16000, 11025)])
def test_it_agrees_with_libsoxr(native: int, wanted: int) -> None:
    band = np.fft.rfft(noise(native)) * (np.fft.rfftfreq(native, 1 / native) < 0.44 * min(native, wanted))
    samples = np.fft.irfft(band).astype(np.float32)
    reference = soxr.resample(samples, native, wanted, "VHQ")
    assert np.max(np.abs(run(samples, (native, wanted), [])[300:-300] - reference[300:-300])) < 1e-4


@pytest.mark.parametrize("native", RATES)
@pytest.mark.parametrize("wanted", RATES)
def test_no_more_than_the_stated_latency_is_held_back(native: int, wanted: int) -> None:
    stream, given_seconds, out = resampler(native, wanted), 0.0, 0
    for _ in range(60):
        out += len(stream.process(np.zeros(native // 100, np.float32)))
        given_seconds += native // 100 / native
        assert given_seconds - out / wanted <= stream.latency + 1 / wanted


def test_telephony_waits_for_no_more_than_eight_milliseconds() -> None:
    assert resampler(24000, 8000).latency < 0.008
