"""StreamSynthesize: one warm stream, many contexts; commands in, events out.

A reader takes commands as they come and a writer sends events in the order in which they happened; each
context speaks in a task of its own. A context that fails is told so and the session goes on; a command that
no client should send ends it with INVALID_ARGUMENT.
What must not live here: how text becomes sound (synthesizer/), errors' answers (status.py).
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator
from contextlib import suppress
from dataclasses import replace

from rhapsode.tts.v1 import session_pb2

from rhapsode_server.errors import EngineStopped, InvalidRequest, RhapsodeError, SessionIdle, TooManyContexts
from rhapsode_server.rpc import session_convert as convert
from rhapsode_server.rpc.call import Call
from rhapsode_server.rpc.call import Context as GrpcContext
from rhapsode_server.rpc.gate import Gate
from rhapsode_server.rpc.session_convert import Defaults, SessionLimits
from rhapsode_server.rpc.session_events import Event, SessionEvents, Witness
from rhapsode_server.rpc.session_writer import Open, SessionWriter
from rhapsode_server.rpc.status import answer
from rhapsode_server.synthesizer import Synthesizer

Command = session_pb2.StreamSynthesizeRequest
LAST_WORDS_SECONDS = 5.0
"""How long a client that is to be sent away may take to read what it was told before."""


class Session:
    """One stream from its first command to its end."""

    def __init__(
        self,
        synthesizer: Synthesizer,
        gate: Gate,
        call: Call,
        limits: SessionLimits,
        witness: Witness,
    ) -> None:
        self._synthesizer = synthesizer
        self._gate = gate
        self._call = call
        self._limits = limits
        self._witness = witness
        self._defaults: Defaults
        self._open: dict[str, Open] = {}
        self._events = SessionEvents()
        self._writer = SessionWriter(self._events, call, witness, synthesizer.model.name, self._forget)
        self._active = time.monotonic()
        self._started = 0
        self._closing = False

    async def run(self, commands: AsyncIterator[Command], grpc_context: GrpcContext) -> None:
        """Serve the stream. Raises InvalidRequest for a protocol error, SessionIdle for a silent client."""
        self._defaults = await self._configured(commands)
        self._say(
            convert.session_started(
                self._call.request_id, self._witness.trace_id(), self._limits, self._defaults
            )
        )
        writer = asyncio.create_task(self._writer.run(grpc_context))
        watches = (self._watch_idle(), self._watch_gate(), self._watch_contexts())
        watched = {asyncio.create_task(work) for work in (self._read(commands), *watches)}
        try:
            await _first_end(writer, watched)
        except RhapsodeError:
            self._abandon()
            await self._last_words(writer)
            raise
        finally:
            self._abandon()
            for task in (writer, *watched):
                task.cancel()
            self._call.facts["contexts"] = self._started

    def _abandon(self) -> None:
        for one in self._open.values():
            one.context.abandon()

    async def _last_words(self, writer: asyncio.Task[None]) -> None:
        """Let the writer end by itself: a write that is broken off midway can leave a call without an end."""
        self._events.end()
        await asyncio.wait({writer}, timeout=LAST_WORDS_SECONDS)

    async def _configured(self, commands: AsyncIterator[Command]) -> Defaults:
        with suppress(StopAsyncIteration):
            first = await anext(commands)
            if first.WhichOneof("command") == "session_config":
                return convert.defaults(first.session_config, self._limits, self._call.tenant)
        raise InvalidRequest(
            "session_config",
            "The first command of a session must be session_config. Send it before all others.",
        )

    # ---- commands

    async def _read(self, commands: AsyncIterator[Command]) -> None:
        async for command in commands:
            self._active = time.monotonic()
            await self._carry_out(command)
            await self._events.room()
        for one in self._open.values():
            one.context.end()  # a client that has no more to say has said all of each context
        self._closing = True
        self._close_if_done()

    async def _carry_out(self, command: Command) -> None:
        kind = command.WhichOneof("command")
        if kind == "ping":
            self._say(convert.pong(command.ping.nonce))
        elif kind == "start_context":
            self._start(convert.context_id(command), command.start_context)
        elif kind == "cancel":
            await self._cancel(command)
        elif kind == "update_config":
            self._update(command)
        elif kind is None or kind == "session_config":
            raise InvalidRequest(
                kind or "command", "This command has no place here: see the session's protocol."
            )
        else:
            await self._about(kind, command)

    def _start(self, name: str, wanted: session_pb2.StartContext) -> None:
        before = self._open.get(name)
        if before is not None and not before.context.over:  # else its last event comes first
            raise InvalidRequest(
                "context_id", f"The context {name!r} is open already. End or cancel it, or choose another id."
            )
        try:
            self._admit()
            request, terms = convert.start(wanted, self._defaults, f"{self._call.request_id}.{self._started}")
            context = self._synthesizer.context(request, terms, self._writer.tell)
        except RhapsodeError as error:
            self._witness.ended(error, False)
            self._say(convert.failed(name, answer(error, wanted.request_id or self._call.request_id)))
            return
        self._started += 1
        self._call.facts["voice"] = context.job.order.voice.name
        self._open[name] = Open(name, context, request, self._call.begun())
        self._writer.opened(self._open[name])
        context.start()

    def _admit(self) -> None:
        """Raises Draining while the server ends, TooManyContexts where the session has too many contexts."""
        self._gate.synthesizer()
        self._call.admit()
        if len(self._open) >= self._limits.max_contexts:
            raise TooManyContexts(
                f"A session has at most {self._limits.max_contexts} contexts open at a time. End or cancel"
                " one.",
                retry_after=1.0,
            )

    async def _cancel(self, command: Command) -> None:
        cancel = command.cancel
        if not cancel.all:
            one = self._find(command)
            if one is not None:
                await one.context.cancel(
                    cancel.playback_offset if cancel.HasField("playback_offset") else None
                )
            return
        if command.context_id or cancel.HasField("playback_offset"):
            raise InvalidRequest(
                "cancel.all", "Cancelling all contexts takes neither a context_id nor a playback_offset."
            )
        await asyncio.gather(*(one.context.cancel() for one in list(self._open.values())))

    async def _about(self, kind: str, command: Command) -> None:
        """A command about one open context."""
        one = self._find(command)
        if one is None:
            return
        if kind == "playback_report":
            report = command.playback_report
            one.context.report(report.played_samples, report.paused)
        else:
            await self._write_on(one, kind, command)

    async def _write_on(self, one: Open, kind: str, command: Command) -> None:
        """The text of a context goes on, or ends. Waits where it comes faster than it can be read."""
        context = one.context
        if context.complete:
            self._say(convert.late(one.name))
        elif kind == "text":
            self._call.spoke(len(command.text.text))
            context.feed(command.text.text)
        elif kind == "flush":
            context.flush(convert.flush_id(command))
        else:
            context.end()
        await context.room()

    def _update(self, command: Command) -> None:
        """What cannot be changed stays as it is; nothing else of the session is to suffer for it."""
        one = self._find(command) if command.context_id else None
        if (command.context_id and one is None) or not command.update_config.HasField("speed"):
            return
        speed = command.update_config.speed
        try:
            if one is not None:
                one.context.change_speed(self._synthesizer.at_speed(one.asked, speed).speed)
            else:
                request = self._synthesizer.at_speed(self._defaults.request, speed)
                self._defaults = replace(self._defaults, request=request)
        except RhapsodeError as error:
            told = f"{error.message} The speed stays as it is."
            self._say(convert.warning(command.context_id, error.reason, told))

    def _find(self, command: Command) -> Open | None:
        """The open context that a command is about; a late command is no error, but worth a word."""
        name = convert.context_id(command)
        one = self._open.get(name)
        if one is None:
            self._say(
                convert.warning(
                    name, "CONTEXT_NOT_OPEN", "No context of this name is open; the command was ignored."
                )
            )
        return one

    # ---- events

    def _say(self, event: Event) -> None:
        self._events.say(event)

    def _forget(self, one: Open) -> None:
        if self._open.get(one.name) is one:  # the name may be another's by now
            del self._open[one.name]
        self._close_if_done()

    def _close_if_done(self) -> None:
        if self._closing and not self._open:
            self._events.end()

    # ---- time

    async def _watch_idle(self) -> None:
        """End a session in which nobody says anything: neither the client nor we.

        While a context waits for its turn it is the client who waits, and a good while after.
        """
        timeout = self._defaults.idle_timeout
        while True:
            if any(one.context.queued for one in self._open.values()):
                self._active = time.monotonic()
            left = max(self._active, self._writer.active) + timeout - time.monotonic()
            if left <= 0:
                raise SessionIdle(
                    f"Nothing was sent for {timeout:g} seconds, so the session was ended. Send ping to keep"
                    " it open, or ask for a longer idle_timeout."
                )
            await asyncio.sleep(min(left, timeout / 4))

    async def _watch_gate(self) -> None:
        """Tell the client when the server is about to end, and let open contexts finish.

        What the engine speaks until the end is cut off by the engine; who waits for text then hears it here.
        """
        time_left = await self._gate.closing()
        self._say(convert.draining(time_left))
        self._closing = True
        self._close_if_done()
        await asyncio.sleep(time_left)
        for one in self._open.values():
            one.context.cut_off(
                EngineStopped(
                    "The server is shutting down before this text had come to its end. Ask another server for"
                    " the rest."
                )
            )

    async def _watch_contexts(self) -> None:
        """No context lasts for ever."""
        while True:
            await asyncio.sleep(min(10.0, self._limits.longest / 4))
            for one in self._open.values():
                one.end_where_too_long(self._limits.longest)


async def _first_end(writer: asyncio.Task[None], watched: set[asyncio.Task[None]]) -> None:
    """Until the writer has ended, or one of the others has ended badly: then that error."""
    tasks = {writer, *watched}
    while not writer.done():
        done, tasks = await asyncio.wait(tasks, return_when=asyncio.FIRST_COMPLETED)
        for task in done:
            task.result()
