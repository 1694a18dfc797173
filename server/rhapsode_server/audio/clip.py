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


def read_clip(
    data: bytes, rate: int, *, shortest: float, longest: float, field: str = "audio"
) -> NDArray[np.float32]:
    """Samples [n] at `rate`, channels averaged, of a WAV, FLAC, Ogg or MP3 file held in `data`.

    Nothing is decoded beyond `longest` seconds. Raises errors.InvalidRequest, naming `field`, for data that
    is no such file, is shorter or longer than allowed, silent, or has samples that are not numbers.
    """
    samples, native = _decoded(data, longest, field)
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
