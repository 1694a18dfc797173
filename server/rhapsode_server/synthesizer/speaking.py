"""One utterance on its way through the engine: its pieces one after another, its sound in order.

A piece is handed to the engine shortly before the one before it ends, so that the listener hears no gap
and an utterance still takes one slot nearly all of the time. What it sounds like never depends on when
that happens. What must not live here: checks, admission, gRPC.
"""

from __future__ import annotations

from collections.abc import AsyncGenerator, Callable
from contextlib import suppress
from dataclasses import dataclass
from functools import partial

from rhapsode_server.core import FinishReason, Priority
from rhapsode_server.engine.engine import Engine
from rhapsode_server.engine.sequence import Status
from rhapsode_server.engine.stream import AudioStream, Chunk
from rhapsode_server.errors import RhapsodeError, TextRefused
from rhapsode_server.models.base import Aligned
from rhapsode_server.synthesizer.events import Audio, PieceRecord, Timings, Usage
from rhapsode_server.synthesizer.packing import Packer, Wording
from rhapsode_server.synthesizer.pieces import Pieces, Prepared

LEAD_SECONDS = 1.0
"""A piece is submitted when about this much sound of the one before is left to be made: several times
what a family needs for its first sound, and short enough that two slots are seldom held for one listener."""

_WORST_FIRST = (FinishReason.RUNAWAY, FinishReason.LENGTH, FinishReason.STOP)


class Pace:
    """How long a character takes to speak (seconds at speed 1), learnt from the pieces spoken so far.

    Only the moment at which a piece is submitted depends on it, never its sound.
    """

    def __init__(self) -> None:
        self.per_character = 1 / 14
        """English read aloud, as a beginning."""

    def expect(self, characters: int, speed: float) -> float:
        """Seconds that these characters will sound."""
        return characters * self.per_character / speed

    def learn(self, characters: int, speed: float, seconds: float) -> None:
        """A piece has been spoken to its end."""
        if characters:
            self.per_character += 0.1 * (seconds * speed / characters - self.per_character)


def _any_time() -> None:
    """Whenever its sound comes is soon enough."""


@dataclass(frozen=True, slots=True)
class Course:
    """How the engine is to treat this utterance, and the pace that it speaks at.

    `deadline` is when nobody wants its sound any more. `expect` is asked before the first piece is
    submitted, and raises where its sound would come too late. Somebody `listens` as it comes, or it is for
    later.
    """

    priority: Priority
    ahead_limit: float | None
    speed: float
    pace: Pace
    deadline: float | None = None
    expect: Callable[[], None] = _any_time
    listens: bool = True


@dataclass(eq=False, slots=True)
class Flight:
    """A piece in the engine; `samples` of its sound have come, the first at `begins` (native rate)."""

    prepared: Prepared
    stream: AudioStream
    wording: Wording | None = None
    begins: int | None = None
    samples: int = 0


class Speaking:
    """The sound of one request. `start` it, read `sound` to its end, or `cancel` it at any time."""

    def __init__(self, engine: Engine, pieces: Pieces, packer: Packer, course: Course) -> None:
        self.packer = packer
        self._engine = engine
        self._pieces = pieces
        self._aligned = isinstance(engine.model.acoustic, Aligned)
        self._course = course
        self._rate = engine.model.sample_rate
        self._flights: list[Flight] = []
        self._paused = False
        self._excused = False

    async def start(self) -> None:
        """Prepare the first piece and submit it.

        Raises what the desk, the family, `Course.expect` and Engine.submit raise; nothing is left running
        then.
        """
        prepared = await self._pieces.take()
        if prepared is None:
            raise TextRefused("There is nothing to speak in this text. Send words, numbers or names.")
        self._course.expect()
        self._submit(prepared)

    async def sound(self) -> AsyncGenerator[Audio, None]:
        """Every Audio of the utterance, in order; raises the error that ends it early."""
        now: Flight | None = self._flights[0]
        while now is not None:
            now.begins = self.packer.taken
            now.wording = Wording(self._pieces.text, now.prepared.piece, self.packer.taken, self.packer)
            async for chunk in now.stream:
                self._excused |= chunk.resumed
                audio = self._packed(now, chunk)
                await self._look_ahead(now)
                if audio is not None:
                    yield audio
            self.packer.end_words()
            held = self.packer.push() if self._pieces.awaited() else None
            if held is not None:
                yield held
            self._pieces.spoken()
            following = await self._following(now)
            pause = self._pause_after(now) if following else None
            if pause is not None:
                yield pause
            now = following
        rest = self.packer.finish()
        if rest is not None:
            yield rest

    def cancel(self) -> None:
        """Give every slot back within one step and prepare nothing more; harmless after the end."""
        self._pieces.drop()
        for flight in self._flights:
            flight.stream.cancel()

    def heard(self, seconds: float, paused: bool) -> None:
        """The listener has played so much of the utterance, and may have paused.

        Where one piece is played while the next has begun, that one is told when its turn comes.
        """
        self._excused |= self._paused or paused
        self._paused = paused
        for flight in self._flights:
            if flight.stream.outcome is None:
                played = None if flight.begins is None else seconds - flight.begins / self._rate
                self._engine.report_playback(flight.stream, played, paused)

    def excused(self) -> bool:
        """Whether the listener had a reason to wait since this was last asked that was not ours."""
        excused, self._excused = self._excused, self._paused
        return excused

    async def settled(self) -> None:
        """After `cancel`: wait until the engine has let go of everything, which takes one step."""
        for flight in self._flights:
            with suppress(RhapsodeError):
                async for _ in flight.stream:
                    pass

    @property
    def queued(self) -> bool:
        """Whether the listener waits for a slot: the piece whose turn it is has none.

        What is to be made beside that piece may wait with a slot free; who has paused waits for nothing.
        """
        statuses = (flight.stream.sequence.status for flight in self._flights)
        turn = next((status for status in statuses if status is not Status.FINISHED), None)
        return turn is Status.WAITING and not self._paused

    # ---- one piece after another

    def _submit(self, prepared: Prepared) -> Flight:
        stream = self._engine.submit(
            prepared.prompt,
            priority=self._course.priority,
            ahead_limit=self._course.ahead_limit,
            deadline=self._course.deadline,
            listens=self._course.listens,
            before=self._flights[-1].stream if self._flights else None,
        )
        if prepared.additions is not None:
            prepared.additions.lead_to(partial(self._engine.feed, stream), stream.cancel)
        if self._paused:  # all the same: nobody listens
            self._engine.report_playback(stream, None, paused=True)
        flight = Flight(prepared, stream)
        self._flights.append(flight)
        self._pieces.begin()
        return flight

    def _packed(self, now: Flight, chunk: Chunk) -> Audio | None:
        assert now.wording is not None  # noqa: S101 - set before the first chunk is read
        now.wording.grow(self._pieces.text, now.prepared.piece)
        times = chunk.words if self._aligned else now.wording.guess(self._samples_of(now), now.samples)
        now.samples += len(chunk.samples)
        return self.packer.sound(chunk.samples, now.wording.words(times))

    def _samples_of(self, flight: Flight) -> int:
        """How many samples the piece, as far as it is known, will probably have."""
        return round(self._expected(flight) * self._rate)

    async def _look_ahead(self, now: Flight) -> None:
        """Submit the next piece, if it is ready and little sound seems to be left of those submitted."""
        if self._pieces.ready and self._left(now) < LEAD_SECONDS:
            prepared = await self._pieces.take()
            if prepared is not None:
                self._submit(prepared)

    def _left(self, now: Flight) -> float:
        """Seconds of sound that seem to come yet, of this piece and of those after it."""
        later = self._flights[self._flights.index(now) + 1 :]
        here = max(0.0, self._expected(now) - now.samples / self._rate)
        return here + sum(self._expected(flight) for flight in later)

    def _expected(self, flight: Flight) -> float:
        return self._course.pace.expect(len(flight.prepared.piece.text), self._course.speed)

    async def _following(self, now: Flight) -> Flight | None:
        """The flight after this one, which has ended; None where it was the last."""
        characters = len(now.prepared.piece.text)
        self._course.pace.learn(characters, self._course.speed, now.samples / self._rate)
        after = self._flights.index(now) + 1
        if after < len(self._flights):
            return self._flights[after]
        self._excused |= self._pieces.growing and not self._pieces.ready
        prepared = await self._pieces.take()
        return None if prepared is None else self._submit(prepared)

    def _pause_after(self, now: Flight) -> Audio | None:
        return self.packer.silence(round(now.prepared.piece.pause * self._rate))

    # ---- what it took

    @property
    def reason(self) -> FinishReason:
        """Why the sound ended, once all of it has been read: the worst that befell a piece."""
        reasons = {flight.stream.outcome.reason for flight in self._flights if flight.stream.outcome}
        return next((reason for reason in _WORST_FIRST if reason in reasons), FinishReason.ERROR)

    def usage(self) -> Usage:
        """Counts so far; final once every stream has ended."""
        frames = sum(record.frames for record in self.records())
        heard = sum(flight.samples for flight in self._flights)
        made = frames * self._engine.model.vocoder.samples_per_frame
        generated = self.packer.delivered(self.packer.taken + max(0, made - heard))
        return Usage(len(self._pieces.text), self.packer.given, generated, frames)

    def sounded(self) -> int:
        """Samples that there were to send, at the delivered rate: all that was vocoded, and pauses."""
        read = sum(flight.samples for flight in self._flights)
        vocoded = sum(record.sounded for record in self.records())
        vocoded *= self._engine.model.vocoder.samples_per_frame
        return self.packer.delivered(self.packer.taken + max(0, vocoded - read))

    def timings(self) -> Timings:
        """Sums over the pieces; the times of sending and of the whole are the caller's to add."""
        records = self.records()
        stamps = [record.stamps for record in records]
        first = stamps[0] if stamps else None
        waited = first.admitted - first.submitted if first and first.admitted else 0.0
        return Timings(
            queue=waited,
            text=sum(record.text_ended - record.text_started for record in records),
            prefill=sum(stamp.prefill_busy for stamp in stamps),
            decode=sum(stamp.decode_busy for stamp in stamps),
            vocode=sum(stamp.vocode_busy for stamp in stamps),
            encode=self.packer.worked.busy,
        )

    def records(self) -> tuple[PieceRecord, ...]:
        """What became of each piece, in order."""
        return tuple(_record(flight) for flight in self._flights)


def _record(flight: Flight) -> PieceRecord:
    outcome, sequence = flight.stream.outcome, flight.stream.sequence
    return PieceRecord(
        number=flight.stream.number,
        text_started=flight.prepared.started,
        text_ended=flight.prepared.ended,
        stamps=outcome.stamps if outcome else sequence.stamps,
        frames=outcome.frames_made if outcome else sequence.made,
        reason=outcome.reason if outcome else None,
        sounded=outcome.frames_sent if outcome else sequence.sent,
    )
