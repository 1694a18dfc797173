"""The second crossing: one request's sound, from the engine thread to an async iterator.

The worker calls `cross` with what is to happen on the event loop; the reader iterates and may `cancel`.
Promise: after `submit` returned a stream, iterating it ends: with `outcome` set, or with an error raised.
What must not live here: torch, gRPC, a model.
"""

from __future__ import annotations

import asyncio
import contextlib
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from rhapsode_server.core import FinishReason, WordTime
from rhapsode_server.engine.sequence import Sequence, Stamps
from rhapsode_server.errors import RhapsodeError


@dataclass(frozen=True, slots=True)
class Chunk:
    """Sound of one window: float32 samples [n] in -1..1 at the model's rate.

    `start` is the number of samples of this stream that came before, `words` the word times that have
    become known since the chunk before (they may lie ahead of the sound), `last` ends the stream. `resumed`:
    the listener may have waited for it because there was no text to speak.
    """

    samples: NDArray[np.float32]
    start: int
    last: bool
    words: tuple[WordTime, ...] = ()
    resumed: bool = False


@dataclass(frozen=True, slots=True)
class Outcome:
    """How a stream ended: why, how many frames were made and sent, and when things happened."""

    reason: FinishReason
    frames_made: int
    frames_sent: int
    stamps: Stamps


class AudioStream:
    """Async iterator over the Chunks of one prompt.

    A reader who comes back for the next chunk has done with the one before. For who listens the engine makes
    no chunk earlier, so one at most is on its way; for others no more than a prompt's `max_frames`.
    """

    def __init__(
        self,
        loop: asyncio.AbstractEventLoop,
        sequence: Sequence,
        cancel: Callable[[Sequence], None],
        released: Callable[[], None],
        wake: Callable[[], None],
    ) -> None:
        self.sequence = sequence
        self.outcome: Outcome | None = None
        self._loop = loop
        self._cancel = cancel
        self._released = released
        self._wake_engine = wake
        self._read = 0
        self._chunks: deque[Chunk] = deque()
        self._wake = asyncio.Event()
        self._error: RhapsodeError | None = None

    @property
    def number(self) -> int:
        """Names this stream in the observer's events."""
        return self.sequence.number

    # ---- the reader, on the event loop

    def __aiter__(self) -> AudioStream:
        return self

    async def __anext__(self) -> Chunk:
        """The next chunk; after the last one, raises the stream's error where it failed."""
        self._done_with_the_last()
        while not self._chunks:
            if self._error is not None:
                raise self._error
            if self.outcome is not None:
                raise StopAsyncIteration
            self._wake.clear()
            await self._wake.wait()
        self._read += 1
        return self._chunks.popleft()

    def _done_with_the_last(self) -> None:
        """Only the number is written, and a sleeping engine woken where it waits for it."""
        self.sequence.taken = self._read
        if self.sequence.held:
            self._wake_engine()

    def cancel(self) -> None:
        """Give the slot back before the next step; idempotent, and harmless after the end."""
        if self.outcome is None:
            self._cancel(self.sequence)

    # ---- the engine

    def cross(self, call: Callable[[], None]) -> None:
        """Run `call` on the event loop, from the engine thread. A loop that has closed reads no more."""
        with contextlib.suppress(RuntimeError):
            self._loop.call_soon_threadsafe(call)

    def deliver(self, chunk: Chunk) -> None:
        """One more chunk. On the event loop."""
        self._chunks.append(chunk)
        self._wake.set()

    def finish(self, outcome: Outcome, error: RhapsodeError | None = None) -> None:
        """No chunk follows. On the event loop."""
        self._error = error
        self.outcome = outcome
        self._released()
        self._wake.set()
