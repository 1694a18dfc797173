"""Sample formats against the tables of their standard and against independent decoders."""

from __future__ import annotations

import io
import struct
from collections.abc import Callable

import numpy as np
import pytest
import soundfile
from hypothesis import given
from hypothesis import strategies as st
from numpy.typing import NDArray
from rhapsode_server.audio import pcm

EVERY = np.arange(-32768, 32768, dtype=np.int32)
AS_FLOAT = (EVERY / pcm.FULL_SCALE).astype(np.float32)

# ITU-T G.711 tables 2a and 1a, column 3: the decision values, as (first of a run of sixteen, step).
MULAW_RUNS = [(1, 2), (35, 4), (103, 8), (239, 16), (511, 32), (1055, 64), (2143, 128), (4319, 256)]
ALAW_RUNS = [(0, 2), (32, 2), (64, 4), (128, 8), (256, 16), (512, 32), (1024, 64), (2048, 128)]
MULAW_DECISIONS = np.concatenate([[0]] + [first + np.arange(16) * step for first, step in MULAW_RUNS])
ALAW_DECISIONS = np.concatenate([first + np.arange(16) * step for first, step in ALAW_RUNS])


def by_table(decisions: NDArray[np.int64], shift: int, magnitude: NDArray[np.int32]) -> NDArray[np.int64]:
    """Number of the interval between decision values, as the table's rows are numbered."""
    return np.searchsorted(decisions << shift, magnitude, side="right") - 1


def test_mulaw_agrees_with_the_table_of_g711_for_every_sample() -> None:
    magnitude = np.where(EVERY < 0, ~EVERY, EVERY)
    row = np.minimum(by_table(MULAW_DECISIONS[:-1], 2, magnitude), 127)
    expected = np.where(EVERY < 0, 0x7F, 0xFF) - row
    assert np.array_equal(np.frombuffer(pcm.mulaw(AS_FLOAT), np.uint8), expected)


def test_alaw_agrees_with_the_table_of_g711_for_every_sample() -> None:
    magnitude = np.where(EVERY < 0, ~EVERY, EVERY)
    row = by_table(ALAW_DECISIONS, 3, magnitude)
    expected = np.where(EVERY < 0, row, row + 128) ^ 0x55
    assert np.array_equal(np.frombuffer(pcm.alaw(AS_FLOAT), np.uint8), expected)


@pytest.mark.parametrize(("encode", "subtype"), [(pcm.mulaw, "ULAW"), (pcm.alaw, "ALAW")])
def test_laws_choose_the_nearest_value_of_an_independent_decoder(
    encode: Callable[[NDArray[np.float32]], bytes], subtype: str
) -> None:
    def decode(data: bytes) -> NDArray[np.int16]:
        raw = {"channels": 1, "samplerate": 8000, "subtype": subtype, "format": "RAW"}
        samples: NDArray[np.int16] = soundfile.read(io.BytesIO(data), dtype="int16", **raw)[0]
        return samples

    values = np.unique(decode(bytes(range(256))).astype(np.int32))
    chosen = decode(encode(AS_FLOAT)).astype(np.int32)
    nearest = np.abs(values[None, :] - EVERY[:, None]).min(axis=1)
    # The table's decision values lie halfway between its outputs, except next to zero in A-law and where
    # a step doubles, where the nearest output and the table's may differ by a quarter of the step.
    step = np.maximum(np.abs(EVERY) >> 5, 16)
    assert np.all(np.abs(chosen - EVERY) <= nearest + step)
    assert np.mean(np.abs(chosen - EVERY) == nearest) > 0.95


def test_mulaw_anchors() -> None:
    assert pcm.mulaw(np.array([0.0, 1.0, -1.0], np.float32)) == b"\xff\x80\x00"


def test_alaw_anchors() -> None:
    assert pcm.alaw(np.array([0.0, 1.0, -1.0], np.float32)) == b"\xd5\xaa\x2a"


@given(st.lists(st.floats(-2, 2, width=32), max_size=50))
def test_linear_rounds_to_nearest_and_clips(values: list[float]) -> None:
    coded = np.frombuffer(pcm.s16le(np.array(values, np.float32)), "<i2")
    for value, sample in zip(values, coded, strict=True):
        ideal = min(max(value * 32767, -32768), 32767)
        assert abs(int(sample) - ideal) <= 0.5


def test_linear_makes_silence_of_not_a_number_and_clips_infinity() -> None:
    odd = np.array([np.nan, np.inf, -np.inf], np.float32)
    assert pcm.to_s16(odd).tolist() == [0, 32767, -32768]


def test_wav_of_known_length_is_read_back_exactly() -> None:
    samples = np.linspace(-1, 1, 999, dtype=np.float32)
    data = pcm.wav_header(22050, 999) + pcm.s16le(samples)
    read, rate = soundfile.read(io.BytesIO(data), dtype="int16")
    assert rate == 22050
    assert np.array_equal(read, pcm.to_s16(samples))


def test_wav_header_of_a_stream_says_that_its_length_is_unknown() -> None:
    header = pcm.wav_header(24000)
    assert len(header) == pcm.WAV_HEADER_BYTES
    assert struct.unpack_from("<I", header, 4) == struct.unpack_from("<I", header, 40) == (0xFFFFFFFF,)


def test_a_streamed_wav_can_be_mended_when_it_has_ended() -> None:
    body = pcm.s16le(np.zeros(10, np.float32))
    assert pcm.with_true_length(pcm.wav_header(8000) + body) == pcm.wav_header(8000, 10) + body


@pytest.mark.parametrize("data", [b"", b"RIFF", bytes(60)])
def test_what_is_no_wav_is_not_mended(data: bytes) -> None:
    with pytest.raises(ValueError, match="not a stream"):
        pcm.with_true_length(data)
