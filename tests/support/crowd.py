"""Many callers, each a process of its own that can be stopped or killed. Run as a script, or import `crowd`.

The script forks one child for each caller; a child calls Synthesize over HTTP/2 written by hand, says its
number once sound has come, and then reads on until it is killed. No gRPC: its threads do not survive a fork.
"""

from __future__ import annotations

import asyncio
import os
import signal
import sys
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from pathlib import Path

if __name__ == "__main__":
    sys.path.insert(0, str(Path(__file__).resolve().parents[2]))

from tests.support import http2

WINDOWS = b"\0\x04\x7f\xff\xff\xff"
"""SETTINGS_INITIAL_WINDOW_SIZE: as large as can be."""
LONGEST_LIFE = 120
"""Seconds after which a child ends in any case."""


@asynccontextmanager
async def crowd(port: int, request: bytes, count: int) -> AsyncIterator[list[int]]:
    """`count` callers who hear sound; their process numbers. Those that still live are killed at the end."""
    script = await asyncio.create_subprocess_exec(
        *(sys.executable, __file__, str(port), request.hex(), str(count)),
        stdout=asyncio.subprocess.PIPE,
    )
    numbers: list[int] = []
    assert script.stdout is not None
    try:
        while len(numbers) < count and (line := await script.stdout.readline()):
            numbers.append(int(line))
        assert len(numbers) == count, f"only {len(numbers)} of {count} callers heard anything"
        yield numbers
    finally:
        for number in numbers:
            with suppress(ProcessLookupError):
                os.kill(number, signal.SIGKILL)
        await script.wait()


def _call(port: int, request: bytes, name: str) -> None:
    """One caller's life. The first DATA frame is the greeting, the second has sound."""
    raw = http2.connected(port, WINDOWS)
    raw.sendall(http2.begin(1, request, x_request_id=name))
    came = b""
    while _data_frames(came) < 2:
        more = raw.recv(1 << 16)
        if not more:
            return
        came += more
    os.write(1, b"%d\n" % os.getpid())
    until = time.monotonic() + LONGEST_LIFE
    while time.monotonic() < until and raw.recv(1 << 16):
        pass


def _data_frames(came: bytes) -> int:
    found = at = 0
    while at + 9 <= len(came):
        found += came[at + 3] == http2.DATA
        at += 9 + int.from_bytes(came[at : at + 3], "big")
    return found


def _main(port: int, request: bytes, count: int) -> None:
    for caller in range(count):
        if os.fork() == 0:
            try:
                _call(port, request, f"caller-{caller}")
            finally:
                os._exit(0)
    for _ in range(count):
        os.wait()


if __name__ == "__main__":
    _main(int(sys.argv[1]), bytes.fromhex(sys.argv[2]), int(sys.argv[3]))
