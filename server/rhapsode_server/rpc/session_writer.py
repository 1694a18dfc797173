"""What happened to the contexts of a session -> messages on its stream, in order.

What must not live here: commands, who is told what (session.py), the shape of a message (session_convert.py).
"""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import Callable
from dataclasses import dataclass, field

from rhapsode_server.core import Request
from rhapsode_server.errors import RhapsodeError, StreamTooLong, place
from rhapsode_server.rpc import session_convert as convert
from rhapsode_server.rpc.call import Call
from rhapsode_server.rpc.call import Context as GrpcContext
from rhapsode_server.rpc.session_events import SessionEvents, Witness
from rhapsode_server.synthesizer.context import Cancelled, Context, ContextEvent, Failed
from rhapsode_server.synthesizer.events import Audio, Done

log = logging.getLogger(__name__)
LAST = (Done, Cancelled, Failed)
"""After one of these nothing comes of a context."""


@dataclass(frozen=True, slots=True)
class Open:
    """A context, the request it was opened with, and when (seconds, monotonic).

    `release` gives its part of its caller's share back; doing so again does nothing.
    """

    name: str
    context: Context
    asked: Request
    release: Callable[[], None]
    began: float = field(default_factory=time.monotonic)

    def end_where_too_long(self, longest: float) -> None:
        """Who pauses for ever, or never ends a text, holds a place that others wait for."""
        sounds = self.context.sent_samples / self.context.job.audio.sample_rate
        if time.monotonic() > self.began + longest + sounds:
            self.context.cut_off(
                StreamTooLong(
                    f"This context took {longest:g} seconds more than its sound lasts, the most that this"
                    " server waits. Start another one with the rest of its text."
                )
            )


class SessionWriter:
    """`ended` hears of each context whose last event has been sent; `active` is when sound was last sent."""

    def __init__(
        self, events: SessionEvents, call: Call, witness: Witness, model: str, ended: Callable[[Open], None]
    ) -> None:
        self.active = 0.0
        self._events = events
        self._call = call
        self._witness = witness
        self._trace_id = witness.trace_id()
        self._model = model
        self._ended = ended
        self._of: dict[Context, Open] = {}

    def opened(self, one: Open) -> None:
        """There is one context more."""
        self._of[one.context] = one

    def tell(self, context: Context, event: ContextEvent) -> None:
        """It happened to this context. One that has ended counts no more, though its client may read late."""
        if isinstance(event, LAST) and context in self._of:
            self._of[context].release()
        self._events.tell(context, event)

    async def run(self, grpc_context: GrpcContext) -> None:
        """Send what happened until there is no more to come."""
        while (happened := await self._events.take()) is not None:
            if not isinstance(happened, tuple):
                await self._call.write(grpc_context, happened)
            elif happened[0] in self._of:
                await self._write(self._of[happened[0]], happened[1], grpc_context)

    async def _write(self, one: Open, event: ContextEvent, grpc_context: GrpcContext) -> None:
        if isinstance(event, Audio):
            await self._sound(one, event, grpc_context)
            return
        last = isinstance(event, LAST)
        if last:
            self._report_end(one, event)
        await self._send(one, event, grpc_context)
        if last:
            del self._of[one.context]
            self._ended(one)

    def _report_end(self, one: Open, event: ContextEvent) -> None:
        """A context is no RPC: what looks on learns from here how it ended."""
        error = event.error if isinstance(event, Failed) else None
        if error is not None and not isinstance(error, RhapsodeError):
            name, where = type(error).__name__, place(error)
            log.error("a context failed of %s at %s", name, where, extra={"request_id": one.asked.request_id})
        how = asyncio.CancelledError() if isinstance(event, Cancelled) else error
        self._witness.ended(how, bool(one.context.sent_samples))

    async def _sound(self, one: Open, audio: Audio, grpc_context: GrpcContext) -> None:
        """Sound, unless its context has been silenced meanwhile."""
        if one.context.sends(audio):
            self._call.sample_rate = one.context.job.audio.sample_rate
            await self._send(one, audio, grpc_context)
            self.active = time.monotonic()
        one.context.sent()

    async def _send(self, one: Open, event: ContextEvent, grpc_context: GrpcContext) -> None:
        message = convert.context_event(one.name, event, one.asked, self._model, self._trace_id)
        await self._call.write(grpc_context, message)
