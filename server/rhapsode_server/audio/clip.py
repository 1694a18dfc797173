"""A recording somebody sends or keeps in a file, as samples a model can hear: bounded before it is decoded.

What must not live here: what a clip is used for, network, names of voices.
"""

from __future__ import annotations

import io

import numpy as np
import soundfile
import soxr
from numpy.typing import NDArray

from rhapsode_server.errors import InvalidRequest

QUALITY = "HQ"
"""soxr's setting that the usual front ends of speech models resample with."""
RATES = range(4_000, 192_001)
CHANNELS = range(1, 3)
"""What recordings of a voice have. A FLAC may claim 655 kHz and eight channels: 600 MB in a few kilobytes."""

STREAMED = 0x7FFF_F000
"""Sizes from here on, and 0, stand for one that was not known when a WAV file began: SoX writes this one,
others 2 GiB or 0xFFFFFFFF."""
SLACK = 64
"""Bytes that a header may speak of too many: some writers count it in."""


def read_clip(
    data: bytes, rate: int, *, shortest: float, longest: float, field: str = "audio"
) -> NDArray[np.float32]:
    """Samples [n] at `rate`, channels averaged, of a WAV, FLAC, Ogg or MP3 file held in `data`.

    Nothing is decoded beyond `longest` seconds. Raises errors.InvalidRequest, naming `field`, for data that
    is no such file, was cut off, is shorter or longer than allowed, silent, or has samples that are not
    numbers.
    """
    samples, native = _decoded(_uncut(data, field), longest, field)
    seconds = len(samples) / native
    if not shortest <= seconds <= longest:
        raise InvalidRequest(
            field, f"The clip should last {shortest:g} to {longest:g} seconds. Send another part of it."
        )
    if not np.isfinite(samples).all() or np.abs(samples).max() < 1e-4:
        raise InvalidRequest(field, "The clip is silent or damaged. Send a clean recording of one voice.")
    mono = samples.mean(axis=1)
    resampled = mono if native == rate else soxr.resample(mono, native, rate, QUALITY)
    return np.ascontiguousarray(resampled, np.float32)


def _uncut(data: bytes, field: str) -> bytes:
    """The same, a WAV of unknown length in the form that the decoder knows.

    Raises InvalidRequest for a WAV that ends before its header says: the decoder would take what there is.
    Other formats are found out by the decoder, or cannot be.
    """
    begin = _samples_of_wav(data)
    if begin is None:
        return data
    said, came = int.from_bytes(data[begin - 4 : begin], "little"), len(data) - begin
    if said == 0:
        return data[: begin - 4] + b"\xff" * 4 + data[begin:]
    if came + SLACK < said < STREAMED:
        raise InvalidRequest(
            field,
            f"The recording was cut off: of {said:,} bytes of samples {came:,} have come. Send all of it.",
        )
    return data


def _samples_of_wav(data: bytes) -> int | None:
    """Where the samples of a RIFF WAVE file begin; None where it is none, or has none."""
    at = 12 if data[:4] == b"RIFF" and data[8:12] == b"WAVE" else len(data)
    while at + 8 <= len(data):
        size = int.from_bytes(data[at + 4 : at + 8], "little")
        if data[at : at + 4] == b"data":
            return at + 8
        at += 8 + size + size % 2
    return None


def _decoded(data: bytes, longest: float, field: str) -> tuple[NDArray[np.float32], int]:
    """Frames [n, channels] of at most a little more than `longest` seconds, and their rate."""
    try:
        with soundfile.SoundFile(io.BytesIO(data)) as file:
            native = int(file.samplerate)
            if native not in RATES or file.channels not in CHANNELS:
                raise InvalidRequest(
                    field,
                    f"A clip has one or two channels and {RATES[0]} to {RATES[-1]} samples a second. Send"
                    " such a one.",
                )
            most = int(longest * native) + native
            samples: NDArray[np.float32] = file.read(most, dtype="float32", always_2d=True)
    except (soundfile.SoundFileError, RuntimeError, ValueError):
        raise InvalidRequest(
            field, "The clip cannot be decoded. Send WAV, FLAC, Ogg Vorbis, Opus or MP3."
        ) from None
    return samples, native
