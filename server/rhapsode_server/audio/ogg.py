"""The Ogg container for one Opus stream: pages and the two header packets.

A page leaves with each chunk, so what has been sent always decodes; general muxers hold the last packet
back. Sources: RFC 3533 (pages), RFC 7845 (Opus in Ogg). What must not live here: the codec.
"""

from __future__ import annotations

import struct
from collections.abc import Sequence

VENDOR = b"rhapsode"

_FIRST, _LAST = 0x02, 0x04
_POLYNOMIAL = 0x04C11DB7
_SEGMENTS = 255


def _crc_table() -> tuple[int, ...]:
    """RFC 3533 section 6: CRC-32, most significant bit first, no inversion."""
    table = []
    for byte in range(256):
        value = byte << 24
        for _ in range(8):
            value = ((value << 1) ^ _POLYNOMIAL if value & 0x80000000 else value << 1) & 0xFFFFFFFF
        table.append(value)
    return tuple(table)


_CRC = _crc_table()


def checksum(page: bytes) -> int:
    """The page's CRC, computed with its own four bytes set to zero."""
    value = 0
    for byte in page:
        value = (value << 8 & 0xFFFFFFFF) ^ _CRC[value >> 24 ^ byte]
    return value


def lacing(packet: bytes) -> bytes:
    """Segment sizes of one packet; the last is below 255, which ends the packet."""
    return b"\xff" * (len(packet) // _SEGMENTS) + bytes([len(packet) % _SEGMENTS])


class Pages:
    """One logical stream's page writer."""

    def __init__(self, serial: int) -> None:
        self._serial = serial
        self._next = 0

    def page(self, packets: Sequence[bytes], granule: int, *, last: bool = False) -> bytes:
        """One page of whole packets (at most 255 segments); `granule` counts 48 kHz samples to its end."""
        sizes = b"".join(lacing(packet) for packet in packets)
        kind = (_FIRST if self._next == 0 else 0) | (_LAST if last else 0)
        head = struct.pack("<4sBBqII", b"OggS", 0, kind, granule, self._serial, self._next)
        body = bytes([len(sizes)]) + sizes + b"".join(packets)
        self._next += 1
        return head + struct.pack("<I", checksum(head + b"\0\0\0\0" + body)) + body


def opus_head(pre_skip: int, input_rate: int) -> bytes:
    """The identification packet, RFC 7845 section 5.1: one channel, no gain."""
    return struct.pack("<8sBBHIhB", b"OpusHead", 1, 1, pre_skip, input_rate, 0, 0)


def opus_tags() -> bytes:
    """The comment packet, RFC 7845 section 5.2: a vendor, no comments."""
    return b"OpusTags" + struct.pack("<I", len(VENDOR)) + VENDOR + struct.pack("<I", 0)
