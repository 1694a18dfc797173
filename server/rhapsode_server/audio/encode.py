"""Float samples at the voice's rate to the bytes that the caller asked for, chunk by chunk.

Formats: pcm_s16le, wav, mulaw and alaw at any rate of 8000..48000 Hz; ogg_opus at 8000, 12000, 16000,
24000 or 48000 Hz, where rate 0 means the voice's own or, if Opus has not got it, the next higher one.
What lives here: the choice and the joining of resampler and packer. What must not: the formats themselves.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from rhapsode_server.audio import opus, pcm
from rhapsode_server.audio.resample import Resampler, resampler
from rhapsode_server.core import AudioFormat, Encoding
from rhapsode_server.errors import FormatUnsupported

LOWEST_RATE = 8_000
HIGHEST_RATE = 48_000


@dataclass(frozen=True, slots=True)
class Encoded:
    """Bytes ready to send and how many samples, at the encoder's rate, they decode to.

    Empty while a filter or a packet is still filling: there is then nothing to send. A header never
    comes alone, it precedes the first sound.
    """

    data: bytes
    samples: int

    def __bool__(self) -> bool:
        return bool(self.data)


class AudioEncoder(Protocol):
    """One utterance's encoder. `sample_rate` is the rate in Hz that comes out.

    `latency` is the sound in seconds that may be held back until `finish`.
    """

    sample_rate: int
    latency: float

    def encode(self, samples: NDArray[np.float32]) -> Encoded:
        """What can be sent after `samples` [n] at the native rate."""

    def finish(self) -> Encoded:
        """The rest, and the header if no sound ever came. Call it once, last."""


class Packer(Protocol):
    """Samples at the output rate to bytes; returns bytes and the samples they decode to."""

    def pack(self, samples: NDArray[np.float32]) -> tuple[bytes, int]:
        """What is ready after `samples` [n]."""

    def finish(self) -> tuple[bytes, int]:
        """The rest."""


class PlainPacker:
    """Formats in which every sample is coded alone, after an optional header."""

    def __init__(self, encoding: Encoding, header: bytes = b"") -> None:
        self._bytes = _PLAIN[encoding]
        self._header = header

    def pack(self, samples: NDArray[np.float32]) -> tuple[bytes, int]:
        """Every sample at once; the header with the first of them."""
        if not len(samples):
            return b"", 0
        header, self._header = self._header, b""
        return header + self._bytes(samples), len(samples)

    def finish(self) -> tuple[bytes, int]:
        """The header, if nothing was ever packed."""
        header, self._header = self._header, b""
        return header, 0


_PLAIN = {
    Encoding.PCM_S16LE: pcm.s16le,
    Encoding.WAV: pcm.s16le,
    Encoding.MULAW: pcm.mulaw,
    Encoding.ALAW: pcm.alaw,
}


class StreamEncoder:
    """A resampler and a packer in a row."""

    def __init__(self, sample_rate: int, rate: Resampler, packer: Packer, latency: float) -> None:
        self.sample_rate = sample_rate
        self.latency = latency
        self._resampler = rate
        self._packer = packer

    def encode(self, samples: NDArray[np.float32]) -> Encoded:
        """Resample, then pack."""
        return Encoded(*self._packer.pack(self._resampler.process(samples)))

    def finish(self) -> Encoded:
        """Empty the resampler into the packer, then the packer."""
        data, count = self._packer.pack(self._resampler.finish())
        rest, more = self._packer.finish()
        return Encoded(data + rest, count + more)


def supported(audio: AudioFormat) -> None:
    """Raise FormatUnsupported where no voice could be delivered in this format."""
    if audio.sample_rate == 0:
        return
    if not LOWEST_RATE <= audio.sample_rate <= HIGHEST_RATE:
        raise FormatUnsupported(
            "audio_format.sample_rate_hz",
            f"A sample rate of {audio.sample_rate} Hz is not offered. "
            f"Choose one from {LOWEST_RATE} to {HIGHEST_RATE} Hz, or leave it out for the voice's own.",
        )
    if audio.encoding is Encoding.OGG_OPUS and audio.sample_rate not in opus.RATES:
        raise FormatUnsupported(
            "audio_format.sample_rate_hz",
            f"Opus has no sample rate of {audio.sample_rate} Hz. "
            f"Choose one of {', '.join(map(str, opus.RATES))} Hz, or leave it out.",
        )


def output_rate(audio: AudioFormat, native_rate: int) -> int:
    """The rate in Hz that comes out for a voice of `native_rate`."""
    if audio.sample_rate:
        return audio.sample_rate
    if audio.encoding is Encoding.OGG_OPUS:
        return next((rate for rate in opus.RATES if rate >= native_rate), opus.RATES[-1])
    return native_rate


def encoder_for(audio: AudioFormat, native_rate: int) -> AudioEncoder:
    """A fresh encoder for one utterance of a voice of `native_rate` Hz; raises FormatUnsupported."""
    supported(audio)
    rate = output_rate(audio, native_rate)
    change = resampler(native_rate, rate)
    if audio.encoding is Encoding.OGG_OPUS:
        return StreamEncoder(rate, change, opus.OpusPacker(rate), change.latency + opus.LATENCY)
    header = pcm.wav_header(rate) if audio.encoding is Encoding.WAV else b""
    return StreamEncoder(rate, change, PlainPacker(audio.encoding, header), change.latency)


def encode_whole(samples: NDArray[np.float32], audio: AudioFormat, native_rate: int) -> Encoded:
    """A finished utterance [n] in one piece; a WAV then tells its true length."""
    encoder = encoder_for(audio, native_rate)
    parts = encoder.encode(samples), encoder.finish()
    data = b"".join(part.data for part in parts)
    whole = pcm.with_true_length(data) if audio.encoding is Encoding.WAV else data
    return Encoded(whole, sum(part.samples for part in parts))
