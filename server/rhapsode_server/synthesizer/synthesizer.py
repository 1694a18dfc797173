"""The desk between the door and the engine: a Request in, Started, Audio … and Done out.

What lives here: the order of checks, admission, how far ahead of its listener an utterance may run, and what
is told of it afterwards. What must not: gRPC, formats, the splitting of text, a decision about slots.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncGenerator, Callable, Coroutine
from concurrent.futures import ThreadPoolExecutor
from contextlib import aclosing
from dataclasses import dataclass, replace

from rhapsode_server.core import AudioFormat, FinishReason, Request, Voice
from rhapsode_server.engine.engine import Engine
from rhapsode_server.errors import DeadlineTooShort, Overloaded, RhapsodeError
from rhapsode_server.models.base import SpeechModel
from rhapsode_server.synthesizer.checks import check
from rhapsode_server.synthesizer.events import (
    UNRECORDED,
    Audio,
    Done,
    Event,
    Recorder,
    Report,
    Started,
    Terms,
)
from rhapsode_server.synthesizer.packing import Packer
from rhapsode_server.synthesizer.pieces import Desk, PreparedPieces, how_to_speak
from rhapsode_server.synthesizer.speaking import Course, Pace, Speaking
from rhapsode_server.voices.catalogue import Voices

_SLOWEST_CHARACTER = 0.15
"""Seconds of sound of one character, generously: digits and abbreviations are read out at length."""


@dataclass(frozen=True, slots=True)
class Manner:
    """How utterances are treated: `max_ahead` seconds before their listener (None: as far as it goes)."""

    max_ahead: float | None = 10.0
    text_workers: int = 4


USUAL = Manner()
ANY_TIME = Terms()


@dataclass(slots=True)
class _Account:
    """One utterance for the books."""

    request: Request
    voice: Voice
    audio: AudioFormat
    terms: Terms
    arrived: float
    sending: float = 0.0
    first_audio: float | None = None
    done: Done | None = None
    failure: str = ""


class Synthesizer:
    """Speaks requests with one engine. Use it on one event loop; `close` it last."""

    def __init__(
        self,
        engine: Engine,
        desk: Desk,
        manner: Manner = USUAL,
        recorder: Recorder = UNRECORDED,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self.model: SpeechModel = engine.model
        self.voices = Voices(engine.model.voices)
        self._engine = engine
        self._desk = desk
        self._manner = manner
        self._recorder = recorder
        self._clock = clock
        self._workers = ThreadPoolExecutor(manner.text_workers, thread_name_prefix="rhapsode-text")
        self._pace = Pace()
        self._first_sound: float | None = None
        self._settling: set[asyncio.Task[None]] = set()

    async def synthesize(self, request: Request, terms: Terms = ANY_TIME) -> AsyncGenerator[Event, None]:
        """Speak one request: Started, then Audio until it is spoken, then Done.

        Everything that can be refused is refused before Started. Closing the generator, or cancelling the
        task that reads it, gives every slot back within one step.

        Raises InvalidRequest and its kinds, VoiceNotFound, Overloaded, DeadlineTooShort, Draining,
        GenerationFailed, EngineStopped.
        """
        arrived = self._clock()
        voice = self.voices.find(request.voice)
        check(request, voice, self.model)
        self._expect(terms)
        speaking = self._speaking(request, voice, terms)
        audio = AudioFormat(request.audio.encoding, speaking.packer.sample_rate)
        account = _Account(request, voice, audio, terms, arrived)
        try:
            await speaking.start()
            yield self._started(account)
            async with aclosing(speaking.sound()) as sound:
                async for piece in sound:
                    handed_over = self._hand_over(account, piece)
                    yield piece
                    account.sending += self._clock() - handed_over
            account.done = self._done(account, speaking, speaking.reason)
            yield account.done
        except BaseException as error:
            account.failure = _word_for(error)
            raise
        finally:
            speaking.cancel()
            self._later(self._close_account(account, speaking))

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

    def _expect(self, terms: Terms) -> None:
        """Refuse at once what would come too late, before any work is done.

        An idle server refuses nothing: it cannot become faster, and only trying tells whether it still
        is as slow as it was.
        """
        self._engine.let_in()
        load = self._engine.load()
        estimate = self.estimated_first_audio() if load.running or load.waiting else None
        _refuse_late(terms, estimate or 0.0)

    def _speaking(self, request: Request, voice: Voice, terms: Terms) -> Speaking:
        utterance = how_to_speak(request, voice)
        prepared = PreparedPieces(self._desk, request.text, self.model.frontend, utterance, self._workers)
        course = Course(request.priority, self._ahead_limit(request, terms), request.speed, self._pace)
        packer = Packer(request.audio, self.model.sample_rate)
        return Speaking(self._engine, request.text, prepared, packer, course)

    def _ahead_limit(self, request: Request, terms: Terms) -> float | None:
        """No limit where a deadline would pass before the sound had been played to its end.

        Some clients set a deadline for the whole stream, shorter than the sound is long; they are served
        as fast as the model can instead of being cut off.
        """
        if terms.time_left is None or self._manner.max_ahead is None:
            return self._manner.max_ahead
        longest = len(request.text) * _SLOWEST_CHARACTER / request.speed
        return self._manner.max_ahead if terms.time_left > longest else None

    def _started(self, account: _Account) -> Started:
        waited = self._clock() - account.arrived
        return Started(account.voice, account.audio, waited, self.estimated_first_audio())

    # ---- while it sounds, and after

    def _hand_over(self, account: _Account, piece: Audio) -> float:
        now = self._clock()
        if piece.seq == 0:
            account.first_audio = now - account.arrived
        return now

    def _done(self, account: _Account, speaking: Speaking, reason: FinishReason) -> Done:
        timings = replace(
            speaking.timings(),
            send=account.sending,
            first_audio=account.first_audio,
            total=self._clock() - account.arrived,
        )
        return Done(reason, speaking.usage(), timings)

    async def _close_account(self, account: _Account, speaking: Speaking) -> None:
        """Learn from an utterance that has ended and tell the recorder of it."""
        ended = self._clock()
        await speaking.settled()
        if account.done is None:
            account.done = self._done(account, speaking, self._why_unfinished(account, ended))
        self._learn(account.done)
        records = speaking.records()
        if records:
            self._recorder.utterance_ended(
                Report(
                    request=account.request,
                    voice=account.voice,
                    audio=account.audio,
                    started=account.arrived,
                    ended=ended,
                    done=account.done,
                    pieces=records,
                    failure=account.failure,
                )
            )

    def _why_unfinished(self, account: _Account, ended: float) -> FinishReason:
        if account.failure:
            return FinishReason.ERROR
        time_left = account.terms.time_left
        late = time_left is not None and ended - account.arrived >= time_left
        return FinishReason.DEADLINE if late else FinishReason.CANCELLED

    def _learn(self, done: Done) -> None:
        """Keep a running mean of the time to the first sound, without the wait for a slot."""
        if done.timings.first_audio is not None:
            took = max(0.0, done.timings.first_audio - done.timings.queue)
            known = took if self._first_sound is None else self._first_sound
            self._first_sound = known + 0.2 * (took - known)

    def _later(self, work: Coroutine[None, None, None]) -> None:
        task = asyncio.get_running_loop().create_task(work)
        self._settling.add(task)
        task.add_done_callback(self._settling.discard)


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


def _word_for(error: BaseException) -> str:
    """The stable word for what ended an utterance; "" where the caller did."""
    if isinstance(error, RhapsodeError):
        return error.reason
    return "" if isinstance(error, GeneratorExit | asyncio.CancelledError) else "INTERNAL"
