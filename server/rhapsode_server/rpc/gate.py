"""Whether calls are let in, and how many are inside. One Gate serves all services of a process.

Closed while loading, open while serving, closed for good while draining. What must not live here: the
engine's own admission (slots and queue), health, signals.
"""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from contextlib import contextmanager

from rhapsode_server.errors import Draining, NotReady
from rhapsode_server.synthesizer import Synthesizer
from rhapsode_server.voices.studio import Studio


class Gate:
    """Enter it with every call that makes sound or voices. On the event loop only."""

    def __init__(self) -> None:
        self._synthesizer: Synthesizer | None = None
        self._studio: Studio | None = None
        self._closed = asyncio.Event()
        self._time_left = 0.0
        self._inside = 0
        self._empty = asyncio.Event()
        self._empty.set()

    @property
    def inside(self) -> int:
        """Calls under way."""
        return self._inside

    @property
    def closed(self) -> bool:
        """No new call will be let in any more."""
        return self._closed.is_set()

    def open(self, synthesizer: Synthesizer, studio: Studio) -> None:
        """The model is warm: let calls in."""
        self._synthesizer = synthesizer
        self._studio = studio

    def close(self, time_left: float = 0.0) -> None:
        """Let nobody in any more; those inside may go on for `time_left` seconds."""
        self._time_left = time_left
        self._closed.set()

    async def closing(self) -> float:
        """Wait until the gate is closed; returns the seconds that those inside have left."""
        await self._closed.wait()
        return self._time_left

    def synthesizer(self) -> Synthesizer:
        """What speaks; raises NotReady before the model is warm, Draining after `close`."""
        if self._closed.is_set():
            raise Draining("The server is shutting down. Try again, on another server if there is one.")
        if self._synthesizer is None:
            raise NotReady("The server is still loading its model. Try again in a moment.")
        return self._synthesizer

    @contextmanager
    def enter(self) -> Iterator[Synthesizer]:
        """For the time of one call; raises as `synthesizer` does."""
        with self._counted():
            yield self.synthesizer()

    @contextmanager
    def enter_studio(self) -> Iterator[Studio]:
        """As `enter`, where voices are made."""
        self.synthesizer()
        assert self._studio is not None  # noqa: S101 - opened together
        with self._counted():
            yield self._studio

    @contextmanager
    def _counted(self) -> Iterator[None]:
        self._inside += 1
        self._empty.clear()
        try:
            yield
        finally:
            self._inside -= 1
            if not self._inside:
                self._empty.set()

    async def wait_empty(self) -> None:
        """Until no call is inside."""
        await self._empty.wait()
