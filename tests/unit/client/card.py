"""A sound card that only remembers.

What must not live here: assertions, the player itself.
"""

from __future__ import annotations

import threading
from typing import Any


class Card:
    """A sound card that takes 64 bytes at a time as fast as it can, and keeps them."""

    def __init__(self, *, callback: Any, **settings: Any) -> None:
        self.settings = settings
        self.heard = b""
        self.active = False
        self.ended: list[str] = []
        self._callback = callback
        self._thread = threading.Thread(target=self._run)

    def start(self) -> None:
        self.active = True
        self._thread.start()

    def stop(self) -> None:
        self.ended.append("stop")
        self._halt()

    def abort(self) -> None:
        self.ended.append("abort")
        self._halt()

    def close(self) -> None:
        self.ended.append("close")

    def _halt(self) -> None:
        self.active = False
        self._thread.join()

    def _run(self) -> None:
        while self.active:
            out = bytearray(64)
            self._callback(memoryview(out), 32, None, None)
            self.heard += bytes(out)


class PortAudioError(Exception):
    """The error of the sound library."""
