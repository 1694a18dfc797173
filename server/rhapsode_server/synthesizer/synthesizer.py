"""The desk between the door and the engine: a Request in, Started, Audio … and Done out.

What lives here: the order of checks, admission, how far ahead of its listener an utterance may run, and what
is told of it afterwards. What must not: gRPC, formats, the splitting of text, a decision about slots.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncGenerator, Callable
from concurrent.futures import ThreadPoolExecutor
from contextlib import aclosing
from dataclasses import dataclass, replace
from typing import Any

from rhapsode_server.core import Request
from rhapsode_server.engine.engine import Engine
from rhapsode_server.errors import DeadlineTooShort, Overloaded
from rhapsode_server.models.base import Feedable, FeedingFrontend, SpeechModel
from rhapsode_server.synthesizer.arriving import Arriving, ArrivingPieces, Flushed
from rhapsode_server.synthesizer.checks import check, check_speed
from rhapsode_server.synthesizer.context import Context, Send
from rhapsode_server.synthesizer.events import UNRECORDED, Done, Event, Recorder, Report, Terms
from rhapsode_server.synthesizer.growing import GrowingPieces
from rhapsode_server.synthesizer.job import Job, Order
from rhapsode_server.synthesizer.packing import Packer
from rhapsode_server.synthesizer.pieces import Desk, Pieces, PreparedPieces, how_to_speak
from rhapsode_server.synthesizer.speaking import Course, Pace, Speaking
from rhapsode_server.voices.catalogue import Voices

_SLOWEST_CHARACTER = 0.15
"""Seconds of sound of one character, generously: digits and abbreviations are read out at length."""


@dataclass(frozen=True, slots=True)
class Manner:
    """How utterances are treated: `max_ahead` seconds before their listener (None: as far as it goes).

    Each of the `text_workers` threads calls `worker_begins` before anything else.
    """

    max_ahead: float | None = 10.0
    text_workers: int = 4
    worker_begins: Callable[[], None] | None = None


USUAL = Manner()
ANY_TIME = Terms()


class Synthesizer:
    """Speaks requests with one engine. Use it on one event loop; `close` it last."""

    def __init__(
        self,
        engine: Engine,
        desk: Desk,
        manner: Manner = USUAL,
        recorder: Recorder = UNRECORDED,
        clock: Callable[[], float] = time.monotonic,
        voices: Voices | None = None,
    ) -> None:
        """Without `voices` there are the model's own."""
        self.model: SpeechModel = engine.model
        self.voices = voices or Voices(engine.model.voices)
        self._engine = engine
        self._desk = desk
        self._manner = manner
        self._recorder = recorder
        self._clock = clock
        self._workers = ThreadPoolExecutor(
            manner.text_workers, thread_name_prefix="rhapsode-text", initializer=manner.worker_begins
        )
        self._pace = Pace()
        self._first_sound: float | None = None
        self._settling: set[asyncio.Task[Report]] = set()

    async def synthesize(self, request: Request, terms: Terms = ANY_TIME) -> AsyncGenerator[Event, None]:
        """Speak one request: Started, then Audio until it is spoken, then Done.

        Everything that can be refused is refused before Started. Closing the generator, or cancelling the
        task that reads it, gives every slot back within one step.

        Raises InvalidRequest and its kinds, VoiceNotFound, Overloaded, DeadlineTooShort, Draining,
        GenerationFailed, EngineStopped.
        """
        job = self._job(request, terms, self._reading)
        try:
            async with aclosing(job.events()) as events:
                async for event in events:
                    yield event
        finally:
            self._settle(job)

    def context(self, request: Request, terms: Terms, send: Send) -> Context:
        """An utterance whose text arrives bit by bit; `request.text` is empty. Raises as `synthesize`."""
        context = Context(send, self._settle)
        context.job = self._job(
            request,
            terms,
            lambda order: context.reads(self._arriving(order, context.flushed)),
            lambda: self._expect(terms),  # again, once there is text: only then does max_ttfa begin
        )
        return context

    def at_speed(self, request: Request, speed: float) -> Request:
        """The same request at another speed. Raises InvalidRequest for one that the model has not got."""
        changed = replace(request, speed=speed)
        check_speed(speed, self.model)
        return changed

    def estimated_first_audio(self) -> float | None:
        """Seconds until a request that came now would sound; None where nothing is known yet."""
        if self._first_sound is None:
            return None
        return self._engine.load().estimated_wait + self._first_sound

    async def close(self) -> None:
        """Wait until cancelled utterances have let go of the engine, then end the worker threads."""
        while self._settling:
            await asyncio.wait(self._settling)
        self._workers.shutdown(wait=False, cancel_futures=True)

    # ---- before

    def _job(
        self,
        request: Request,
        terms: Terms,
        read: Callable[[Order], Pieces],
        expect: Callable[[], None] = lambda: None,
    ) -> Job:
        """Check, admit, and make ready to speak."""
        order = Order(request, self.voices.find(request.voice, request.tenant), terms, self._clock())
        check(request, order.voice, self.model)
        self._expect(terms)
        packer = Packer(request.audio, self.model.sample_rate)
        course = Course(
            request.priority,
            self._ahead_limit(request, terms),
            request.speed,
            self._pace,
            None if terms.time_left is None else order.arrived + terms.time_left,
            expect,
            terms.paced,
        )
        speaking = Speaking(self._engine, read(order), packer, course)
        return Job(order, speaking, self._clock, self.estimated_first_audio)

    def _reading(self, order: Order) -> Pieces:
        utterance = how_to_speak(order.request, order.voice)
        return PreparedPieces(self._desk, order.request.text, self.model.frontend, utterance, self._workers)

    def _arriving(self, order: Order, flushed: Flushed) -> Arriving[Any]:
        utterance = how_to_speak(order.request, order.voice)
        frontend, language = self.model.frontend, utterance.language
        if isinstance(frontend, FeedingFrontend) and isinstance(self.model.acoustic, Feedable):
            return GrowingPieces(self._desk.growing(language), frontend, utterance, self._workers, flushed)
        return ArrivingPieces(self._desk.session(language), frontend, utterance, self._workers, flushed)

    def _expect(self, terms: Terms) -> None:
        """Refuse at once what would come too late, before any work is done.

        An idle server refuses nothing: it cannot become faster, and only trying tells whether it still
        is as slow as it was.
        """
        self._engine.let_in()
        load = self._engine.load()
        estimate = self.estimated_first_audio() if load.running or load.waiting else None
        _refuse_late(terms, estimate or 0.0)

    def _ahead_limit(self, request: Request, terms: Terms) -> float | None:
        """No limit where nobody listens as it comes, or a deadline would pass before it had been played.

        What waits for a slow reader is bounded all the same: no piece is begun before the one before it has
        been read. Some clients set a deadline for the whole stream, shorter than the sound is long; they are
        served as fast as the model can instead of being cut off.
        """
        wanted = [limit for limit in (self._manner.max_ahead, terms.max_ahead) if limit is not None]
        limit = min(wanted, default=None)
        if not terms.paced:
            return None
        if terms.time_left is None or limit is None:
            return limit
        longest = len(request.text) * _SLOWEST_CHARACTER / request.speed
        return limit if terms.time_left > longest else None

    # ---- after

    def _settle(self, job: Job) -> asyncio.Task[Report]:
        """Learn from an utterance that has ended, and tell the recorder of it, once the engine let go."""
        job.cancel()
        task = asyncio.get_running_loop().create_task(self._close(job))
        self._settling.add(task)
        task.add_done_callback(self._settling.discard)
        return task

    async def _close(self, job: Job) -> Report:
        report = await job.settle()
        self._learn(report.done)
        if report.pieces:
            self._recorder.utterance_ended(report)
        return report

    def _learn(self, done: Done) -> None:
        """Keep a running mean of the time to the first sound, without the wait for a slot."""
        if done.timings.first_audio is not None:
            took = max(0.0, done.timings.first_audio - done.timings.queue)
            known = took if self._first_sound is None else self._first_sound
            self._first_sound = known + 0.2 * (took - known)


def _refuse_late(terms: Terms, estimate: float) -> None:
    if terms.time_left is not None and terms.time_left <= estimate:
        raise DeadlineTooShort(
            f"The first sound would take about {estimate:.2f} seconds, longer than the deadline leaves."
            " Allow more time, or try another server."
        )
    if terms.max_ttfa is not None and terms.max_ttfa < estimate:
        wait = max(0.1, estimate - terms.max_ttfa)
        raise Overloaded(
            f"The first sound would take about {estimate:.2f} seconds, longer than max_ttfa allows. Try again"
            f" in {wait:.1f} seconds, or allow more.",
            wait,
        )
