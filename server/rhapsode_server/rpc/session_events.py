"""What a session has yet to tell its client, in the order in which it happened, and who else is told.

What must not live here: commands, messages of protobuf (session_convert.py), writing them.
"""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass

from rhapsode.tts.v1 import session_pb2

from rhapsode_server.synthesizer.context import Context, ContextEvent

Event = session_pb2.StreamSynthesizeResponse
Told = tuple[Context, ContextEvent] | Event

MOST_UNTOLD = 256
"""Events that may wait for a client that does not read; until it does, none of its commands is taken."""


def _nobody(_error: BaseException | None, _sounded: bool) -> None:
    """Nobody counts contexts."""


@dataclass(frozen=True, slots=True)
class Witness:
    """Who looks on: `trace_id` names the call's trace, "" for none; `ended` hears how each context ended (its
    error, CancelledError where the client cancelled it, None where all is well), and whether it had sounded.
    """

    trace_id: Callable[[], str] = str
    ended: Callable[[BaseException | None, bool], None] = _nobody


class SessionEvents:
    """Anybody may `say` or `tell`; one writer takes. On one event loop."""

    def __init__(self) -> None:
        self._waiting: deque[Told] = deque()
        self._news = asyncio.Event()
        self._room = asyncio.Event()
        self._ended = False

    def say(self, event: Event) -> None:
        """Something of the session itself, or a word about a context."""
        self._waiting.append(event)
        self._news.set()

    def tell(self, context: Context, event: ContextEvent) -> None:
        """Something that happened to a context."""
        self._waiting.append((context, event))
        self._news.set()

    def end(self) -> None:
        """There will be no more."""
        self._ended = True
        self._news.set()

    async def take(self) -> Told | None:
        """The next event; None after the last."""
        while not self._waiting:
            if self._ended:
                return None
            self._news.clear()
            await self._news.wait()
        told = self._waiting.popleft()
        self._room.set()
        return told

    async def room(self) -> None:
        """Wait while the client leaves too much unread."""
        while len(self._waiting) >= MOST_UNTOLD:
            self._room.clear()
            await self._room.wait()
