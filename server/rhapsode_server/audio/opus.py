"""Samples to an Ogg/Opus stream that decodes to exactly as many samples as went in.

What lives here: framing into 20 ms packets, pre-skip and granule positions. What must not: resampling.
"""

from __future__ import annotations

import random
import struct

import av
import numpy as np
from numpy.typing import NDArray

from rhapsode_server.audio.ogg import Pages, opus_head, opus_tags

RATES = (8000, 12000, 16000, 24000, 48000)
"""What libopus takes as it is, RFC 6716 section 2.1.3."""

BITRATE = 32_000
"""Bits per second of one wideband to fullband voice, the range of RFC 7587 section 3.1.1."""

CLOCK = 48_000
"""Granule positions and the pre-skip count at this rate whatever the input, RFC 7845 section 4."""

PACKETS_PER_SECOND = 50

LATENCY = 1 / PACKETS_PER_SECOND + 312 / CLOCK
"""Seconds held back at most: a packet that is filling, and the look-ahead of libopus."""

_PER_PACKET = CLOCK // PACKETS_PER_SECOND
_PACKETS_PER_PAGE = 50
"""A page holds 255 segments of 255 bytes, a 20 ms packet takes at most five of them."""


class OpusPacker:
    """One stream. Each call's packets leave in pages of their own, the headers before the first."""

    def __init__(self, sample_rate: int) -> None:
        self.sample_rate = sample_rate
        self._codec = _codec(sample_rate)
        self._pages = Pages(serial=random.getrandbits(32))
        self._pre_skip: int = struct.unpack_from("<H", self._codec.extradata or b"", 10)[0]
        self._frame = sample_rate // PACKETS_PER_SECOND
        self._held = np.zeros(0, np.float32)
        self._taken = self._packets = self._told = 0
        self._begun = False

    def pack(self, samples: NDArray[np.float32]) -> tuple[bytes, int]:
        """Pages of every packet that `samples` [n] completed, and how many samples they decode to."""
        self._taken += len(samples)
        packets = self._encode(samples)
        if not packets:
            return b"", 0
        return self._header() + self._write(packets, last=False), self._tell(self._decodable())

    def finish(self) -> tuple[bytes, int]:
        """The page that ends the stream; its granule position cuts the padding off."""
        total = self._pre_skip + self._taken * CLOCK // self.sample_rate
        missing = -(-total // _PER_PACKET) * self._frame - self._packets * self._frame - len(self._held)
        packets = self._encode(np.zeros(missing, np.float32))
        return self._header() + self._write(packets, last=True), self._tell(self._taken)

    def _encode(self, samples: NDArray[np.float32]) -> list[bytes]:
        """Whole packets; the samples of an unfinished one are held."""
        held = np.concatenate((self._held, samples))
        whole = len(held) // self._frame * self._frame
        self._held = held[whole:]
        return [self._packet(frame) for frame in held[:whole].reshape(-1, self._frame)]

    def _packet(self, frame: NDArray[np.float32]) -> bytes:
        """One packet of [frame] samples; libopus has no delay in packets, so one in is one out."""
        audio = av.AudioFrame.from_ndarray(frame[None], format="flt", layout="mono")
        audio.sample_rate = self.sample_rate
        (packet,) = self._codec.encode(audio)
        return bytes(packet)

    def _header(self) -> bytes:
        """Identification and comments, each on a page of its own, once."""
        if self._begun:
            return b""
        self._begun = True
        head = self._pages.page([opus_head(self._pre_skip, self.sample_rate)], 0)
        return head + self._pages.page([opus_tags()], 0)

    def _write(self, packets: list[bytes], *, last: bool) -> bytes:
        """Pages of at most a second each; the final one ends where the samples do."""
        pages = []
        for at in range(0, len(packets), _PACKETS_PER_PAGE):
            part = packets[at : at + _PACKETS_PER_PAGE]
            self._packets += len(part)
            ends = last and at + len(part) == len(packets)
            pages.append(self._pages.page(part, self._granule(ends), last=ends))
        return b"".join(pages)

    def _granule(self, ends: bool) -> int:
        if ends:
            return self._pre_skip + self._taken * CLOCK // self.sample_rate
        return self._packets * _PER_PACKET

    def _decodable(self) -> int:
        """Samples at `sample_rate` that a decoder has after all packets so far."""
        return max(0, self._packets * _PER_PACKET - self._pre_skip) * self.sample_rate // CLOCK

    def _tell(self, until: int) -> int:
        """Samples since the last call, so that all calls sum up to `until`."""
        fresh, self._told = until - self._told, until
        return fresh


def _codec(sample_rate: int) -> av.AudioCodecContext:
    codec = av.CodecContext.create("libopus", "w")
    if not isinstance(codec, av.AudioCodecContext):
        raise TypeError("libopus is not an audio codec in this build of PyAV")
    codec.sample_rate, codec.layout, codec.format = sample_rate, "mono", "flt"
    codec.bit_rate = BITRATE
    codec.options = {"application": "audio", "frame_duration": "20", "vbr": "on"}
    codec.open()
    return codec
