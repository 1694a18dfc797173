"""Samples to bytes, one sample at a time: linear PCM, the two laws of ITU-T G.711, the WAVE header.

What lives here: stateless functions on arrays. What must not: resampling, packets, a stream's state.
"""

from __future__ import annotations

import struct

import numpy as np
from numpy.typing import NDArray

FULL_SCALE = 32767
"""Float 1.0 as a 16-bit sample: symmetric, so that neither +1.0 nor -1.0 clips."""

UNKNOWN_LENGTH = 0xFFFFFFFF
"""What a WAVE header says of a stream whose end is not known yet; readers take it as "to the end"."""

WAV_HEADER_BYTES = 44

_WAVE_FORMAT_PCM = 1
_SIZE_BEFORE_DATA = WAV_HEADER_BYTES - 8


def to_s16(samples: NDArray[np.float32]) -> NDArray[np.int16]:
    """Float samples [n] in -1..1 as 16-bit samples [n]: nearest (ties to even), clipped, NaN is silence."""
    scaled = samples.astype(np.float64)
    scaled *= FULL_SCALE
    np.rint(scaled, out=scaled)
    np.minimum(scaled, 32767, out=scaled)  # np.clip and np.nan_to_num take longer than all the rest
    np.maximum(scaled, -32768, out=scaled)
    scaled[np.isnan(scaled)] = 0.0
    result: NDArray[np.int16] = scaled.astype(np.int16)
    return result


def s16le(samples: NDArray[np.float32]) -> bytes:
    """Float samples [n] as signed 16-bit little-endian bytes [2 n]."""
    return to_s16(samples).astype("<i2").tobytes()


def mulaw(samples: NDArray[np.float32]) -> bytes:
    """Float samples [n] as mu-law bytes [n], ITU-T G.711 table 2."""
    return _MULAW[to_s16(samples).view(np.uint16)].tobytes()


def alaw(samples: NDArray[np.float32]) -> bytes:
    """Float samples [n] as A-law bytes [n], ITU-T G.711 table 1, even bits inverted."""
    return _ALAW[to_s16(samples).view(np.uint16)].tobytes()


def wav_header(sample_rate: int, samples: int | None = None) -> bytes:
    """The 44 bytes before mono 16-bit samples; `samples` None means that the length is not known yet."""
    data = UNKNOWN_LENGTH if samples is None else 2 * samples
    riff = UNKNOWN_LENGTH if samples is None else _SIZE_BEFORE_DATA + data
    layout = struct.pack("<IHHIIHH", 16, _WAVE_FORMAT_PCM, 1, sample_rate, 2 * sample_rate, 2, 16)
    return b"RIFF" + struct.pack("<I", riff) + b"WAVEfmt " + layout + b"data" + struct.pack("<I", data)


def with_true_length(wav: bytes) -> bytes:
    """A finished stream that began with `wav_header(rate)`, its header now telling the true length."""
    data = len(wav) - WAV_HEADER_BYTES
    if data < 0 or wav[:4] != b"RIFF":
        raise ValueError("not a stream that began with wav_header()")
    riff = struct.pack("<I", _SIZE_BEFORE_DATA + data)
    return wav[:4] + riff + wav[8:40] + struct.pack("<I", data) + wav[WAV_HEADER_BYTES:]


def _every_s16() -> NDArray[np.int32]:
    """All 65536 samples, ordered by their unsigned bit pattern."""
    return np.arange(65536, dtype=np.uint16).view(np.int16).astype(np.int32)


def _mulaw_table() -> NDArray[np.uint8]:
    """Codes [65536] by bit pattern.

    The 14-bit magnitude plus the bias of 33 has its highest bit at 5 + segment; the four bits below it
    are the step. Negative samples are taken in ones' complement, as in the reference code of ITU-T G.191.
    """
    samples = _every_s16()
    biased = np.minimum(np.where(samples < 0, ~samples, samples) // 4 + 33, 8191)
    segment = np.floor(np.log2(biased)).astype(np.int32) - 5
    step = (biased >> (segment + 1)) & 0x0F
    sign = np.where(samples < 0, 0x80, 0)
    table: NDArray[np.uint8] = (~(sign | segment << 4 | step) & 0xFF).astype(np.uint8)
    return table


def _alaw_table() -> NDArray[np.uint8]:
    """Codes [65536] by bit pattern.

    A 12-bit magnitude below 32 is its own code (segments 0 and 1 are equally fine); above, the highest
    bit tells the segment and the four below it the step. Signs as in `_mulaw_table`.
    """
    samples = _every_s16()
    magnitude = np.where(samples < 0, ~samples, samples) // 16
    segment = np.maximum(np.floor(np.log2(np.maximum(magnitude, 1))).astype(np.int32) - 3, 1)
    step = (magnitude >> (segment - 1)) & 0x0F
    coded = np.where(magnitude < 16, magnitude, segment << 4 | step)
    sign = np.where(samples < 0, 0, 0x80)
    table: NDArray[np.uint8] = ((sign | coded) ^ 0x55).astype(np.uint8)
    return table


_MULAW = _mulaw_table()
_ALAW = _alaw_table()
