"""One utterance of a session: text comes bit by bit, sound goes out, the listener may interrupt at any word.

A Context tells its session everything through one function; it makes no sound while the one before is on its
way to the wire. What must not live here: gRPC, several contexts, how text is cut or spoken.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Protocol

from rhapsode_server.errors import RhapsodeError
from rhapsode_server.synthesizer.arriving import Arriving
from rhapsode_server.synthesizer.events import Audio, Event, Report, SpokenWord, Timings, Usage
from rhapsode_server.synthesizer.job import Job


@dataclass(frozen=True, slots=True)
class FlushDone:
    """All sound up to sample `end` was given: that of all text before the flush called `name`."""

    name: str
    end: int


@dataclass(frozen=True, slots=True)
class Cancelled:
    """Playback stood at sample `end`; text[:characters] was heard, to the end of the last word begun."""

    text: str
    characters: int
    end: int
    usage: Usage
    timings: Timings


@dataclass(frozen=True, slots=True)
class Failed:
    """The context has ended on an error; the session goes on."""

    error: BaseException


ContextEvent = Event | FlushDone | Cancelled | Failed

Send = Callable[["Context", ContextEvent], None]


class Listener(Protocol):
    """Who closes the books of a job."""

    def __call__(self, job: Job) -> asyncio.Task[Report]:
        """Give everything back; the task ends when the engine has let go."""
        ...


class Context:
    """Feed it, flush it, end it, cancel it.

    `over`: nothing more will be sent for it; `complete`: it has been given all its text.
    """

    job: Job

    def __init__(self, send: Send, settle: Listener) -> None:
        self.over = False
        self.complete = False
        self._send = send
        self._settle = settle
        self._on_the_wire = asyncio.Event()
        self._words: list[SpokenWord] = []
        self._written = 0
        self._played: int | None = None
        self._pieces: Arriving[Any]
        self._task: asyncio.Task[None] | None = None

    @property
    def sent_samples(self) -> int:
        """How much of its sound was sent."""
        return self._written

    @property
    def queued(self) -> bool:
        """Whether its listener waits for its turn in the engine."""
        return self.job.speaking.queued

    def reads(self, pieces: Arriving[Any]) -> Arriving[Any]:
        """The text is read through these."""
        self._pieces = pieces
        return pieces

    def start(self) -> None:
        """Speak, as a task of the running loop."""
        self._task = asyncio.get_running_loop().create_task(self._run())
        self._task.add_done_callback(self._ended_by_itself)

    # ---- the client's commands

    def feed(self, text: str) -> None:
        """More text, cut anywhere."""
        self._pieces.feed(text)

    def flush(self, name: str) -> None:
        """Speak all there is, and say when its sound was given."""
        self._pieces.flush(name)

    def end(self) -> None:
        """There will be no more text."""
        self.complete = True
        self._pieces.end()

    async def room(self) -> None:
        """Wait while much of what was written is still to be read."""
        await self._pieces.room()

    def change_speed(self, speed: float) -> None:
        """From the next piece on."""
        self._pieces.change_speed(speed)

    def report(self, played: int, paused: bool) -> None:
        """The listener has played so many samples, and may have paused. Nobody hears what was not sent."""
        self._played = min(played, self._written)
        self.job.heard_so_far(self._played, self._written, paused=paused)

    async def cancel(self, offset: int | None = None) -> None:
        """Be silent at once. `offset`: samples heard; else as reported, else all that was written."""
        if self.over:
            return
        self.over = True
        self._stop()
        told = self._played if offset is None else offset
        end = self._written if told is None else min(told, self._written)
        self.job.heard = None if told is None else end
        report = await self._settle(self.job)
        heard = max((word.char_end for word in self._words if word.start < end), default=0)
        self._send(self, Cancelled(self._pieces.text, heard, end, report.done.usage, report.done.timings))

    def cut_off(self, error: RhapsodeError) -> None:
        """It has to end here, and the listener is told why."""
        if not self.over:
            self.over = True
            self._stop()
            self._settle(self.job)
            self._send(self, Failed(error))

    def abandon(self) -> None:
        """The session is gone: give everything back and tell nobody."""
        if not self.over:
            self.over = True
            self._stop()
            self._settle(self.job)

    # ---- the session's side

    def sends(self, audio: Audio) -> bool:
        """Whether the sound may go out; it counts as sent from now on. Not where the context was silenced."""
        if self.over:
            return False
        self._written = audio.start + audio.samples
        self._words += audio.words
        return True

    def sent(self) -> None:
        """The sound is on the wire."""
        self._on_the_wire.set()

    def flushed(self, name: str) -> None:
        """All sound before this flush has been given."""
        if not self.over:
            packer = self.job.speaking.packer
            self._send(self, FlushDone(name, min(packer.given, packer.delivered(packer.taken))))

    # ---- speaking

    async def _run(self) -> None:
        async for event in self.job.events(greet=True):
            self._on_the_wire.clear()
            self._send(self, event)
            if isinstance(event, Audio):
                await self._on_the_wire.wait()

    def _ended_by_itself(self, task: asyncio.Task[None]) -> None:
        """Whatever the task raised is for the session to answer, as the edge of an RPC would."""
        if self.over:
            return
        error = None if task.cancelled() else task.exception()
        if error is not None:
            self._send(self, Failed(error))
        self.over = True
        self._pieces.drop()
        self._settle(self.job)

    def _stop(self) -> None:
        self.job.sent = self._written
        self._pieces.drop()
        self.job.cancel()
        if self._task is not None:
            self._task.cancel()
