"""The engine as the event loop sees it: submit, feed, report, load, drain, stop. The first crossing is here.

The worker (worker.py) runs on one thread that owns the model, the scheduler and every sequence in flight;
this side only hands it commands through the inbox and never touches what it owns.

Promise: every stream that `submit` returned ends, with an outcome or with an error of errors.py.
What must not live here: torch, gRPC, OpenTelemetry, a family.
"""

from __future__ import annotations

import asyncio
import threading
import time
from collections.abc import Callable
from typing import NamedTuple

from rhapsode_server.core import Priority
from rhapsode_server.engine.inbox import Inbox
from rhapsode_server.engine.observer import SILENT, Observer
from rhapsode_server.engine.sequence import Sequence, Stamps
from rhapsode_server.engine.stream import AudioStream
from rhapsode_server.engine.worker import EngineSettings, Flight, Worker
from rhapsode_server.errors import (
    ConfigError,
    Draining,
    EngineStopped,
    InvalidRequest,
    Overloaded,
    RhapsodeError,
)
from rhapsode_server.models.base import Addition, Prompt, SpeechModel

DEFAULTS = EngineSettings()


class Load(NamedTuple):
    """How busy the engine is; `estimated_wait` is seconds until a new request would get a slot, `filled` the
    share of the cache's positions that is spoken for."""

    slots: int
    running: int
    waiting: int
    estimated_wait: float
    filled: float = 0.0


class Engine:
    """Continuous batching of one SpeechModel. Start it once, submit from one event loop, stop it once.

    `on_death` is called on the engine thread when it ends on an error: the process should follow.
    """

    def __init__(
        self,
        model: SpeechModel,
        settings: EngineSettings = DEFAULTS,
        observer: Observer = SILENT,
        clock: Callable[[], float] = time.monotonic,
        on_death: Callable[[], None] = lambda: None,
    ) -> None:
        self.model = model
        self._settings = settings
        self._clock = clock
        self._inbox = Inbox()
        self._worker = Worker(model, settings, observer, clock, self._inbox)
        self._thread = threading.Thread(
            target=self._worker.run, args=(on_death,), name="rhapsode-engine", daemon=True
        )
        self._draining = False
        self._numbers = 0
        self._accepted = 0

    def start(self) -> None:
        """Start the engine thread; it builds the model's state first. `fault` tells where it cannot."""
        self._thread.start()

    def submit(
        self,
        prompt: Prompt,
        *,
        priority: Priority = Priority.NORMAL,
        ahead_limit: float | None = None,
        deadline: float | None = None,
        before: AudioStream | None = None,
        listens: bool = True,
    ) -> AudioStream:
        """Queue a prompt and return its sound as it is made. Call it on an event loop.

        `before` is the stream whose sound this one continues: its request was let in already, so it does
        not wait in a queue of strangers and a drain lets it pass. `deadline` (seconds of the engine's clock)
        is when it is no longer worth a slot: reading the stream then raises DeadlineTooShort. Where nobody
        `listens` as it comes it is made as fast as can be, whether it is read or not.

        Raises Overloaded (with the time to come back), Draining, EngineStopped; InvalidRequest for a
        prompt that is longer than any row of the model.
        """
        if before is None:
            self.let_in()
        self._check_alive()
        if not self._worker.slots.fits(prompt.positions):
            raise InvalidRequest("text", "This piece of text is too long for the model. Send it in parts.")
        self._numbers += 1
        seq = Sequence(
            number=self._numbers,
            positions=prompt.positions,
            max_frames=prompt.max_frames,
            stamps=Stamps(self._clock()),
            priority=priority,
            before=None if before is None else before.sequence,
            continues=before is not None,
            ahead_limit=ahead_limit,
            deadline=deadline,
            allowance=prompt.allowance,
            listens=listens,
        )
        stream = AudioStream(asyncio.get_running_loop(), seq, self._cancel, self._released, self._inbox.wake)
        self._accepted += 1
        flight = Flight(seq, prompt, stream)
        self._inbox.send(lambda: self._worker.add(flight))
        if self._inbox.ended:
            raise _stopped()
        return stream

    def feed(self, stream: AudioStream, addition: Addition) -> None:
        """More text for a stream whose prompt said that some would come; harmless after its end.

        Additions may come before the row is filled: they are kept in order until it is.
        """
        seq = stream.sequence
        self._inbox.send(lambda: self._worker.feed(seq, addition))

    def let_in(self) -> None:
        """Raise what `submit` would raise for any new request: ask before work is done for one."""
        self._check_alive()
        if self._draining:
            raise Draining("The server is shutting down. Try again, on another server if there is one.")
        load = self.load()
        if self._queue(load.waiting) - self._worker.slots.free >= self._settings.max_waiting:
            wait = max(0.1, load.estimated_wait)
            raise Overloaded(f"All slots and the queue are taken. Try again in {wait:.1f} seconds.", wait)

    def _check_alive(self) -> None:
        if isinstance(self.fault, ConfigError):
            raise self.fault
        if self._worker.dead or self._inbox.closed:
            raise _stopped()

    def report_playback(
        self, stream: AudioStream, played_seconds: float | None, paused: bool = False
    ) -> None:
        """The client has heard `played_seconds` of this stream's sound, and may have paused.

        Below 0 it will come to it in so many seconds; None: nobody knows.
        """
        seq, now = stream.sequence, self._clock()
        self._inbox.send(lambda: self._worker.scheduler.report(seq, now, played_seconds, paused))

    def load(self) -> Load:
        """A snapshot without a lock: plain numbers, at most one step old."""
        slots = self._worker.slots
        waiting = max(0, self._accepted - slots.used)
        queue = self._queue(waiting)
        turns = (queue + 1) / slots.count if queue >= slots.free else 0.0
        return Load(slots.count, slots.used, waiting, turns * self._worker.service_seconds, slots.filled)

    def _queue(self, waiting: int) -> int:
        """How many of those that wait come before a newcomer."""
        return max(0, waiting - self._worker.scheduler.beside)

    def heartbeat_age(self) -> float:
        """Seconds since the engine thread last made progress; 0 while it sleeps for want of work."""
        beat = self._worker.beat
        return 0.0 if beat is None else max(0.0, self._clock() - beat)

    @property
    def alive(self) -> bool:
        """The thread runs and its state is trusted."""
        return self._thread.is_alive() and not self._worker.dead

    @property
    def fault(self) -> RhapsodeError | None:
        """What the engine has ended on; ConfigError where it could not begin with these settings."""
        return self._worker.fault

    def drain(self) -> None:
        """Admit nothing new; what runs goes on to its end, continuations too, as fast as it can be made."""
        self._draining = True
        self._inbox.send(self._worker.scheduler.stop_pacing)

    def stop(self, timeout: float = 10.0) -> bool:
        """Cancel what still runs and end the thread; False where it did not end in time."""
        self._inbox.close()
        if self._thread.ident is not None:
            self._thread.join(timeout)
        return not self._thread.is_alive()

    def _released(self) -> None:
        self._accepted -= 1

    def _cancel(self, seq: Sequence) -> None:
        self._inbox.send(lambda: self._worker.cancel(seq))


def _stopped() -> EngineStopped:
    return EngineStopped("The speech engine has stopped. Try again, on another server if there is one.")
