"""The engine as its own thread sees it: commands, plan, vocode, deliver, prefill, decode, advance.

Sound leaves before the next frames are made, because it is what somebody waits for. Commands apply only
between steps, so a step needs no guards. All of a step's chunks cross into the event loop in one call.

What must not live here: OpenTelemetry, gRPC, a family, a decision that the scheduler should make.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from itertools import pairwise

from rhapsode_server.core import FinishReason
from rhapsode_server.engine import endings
from rhapsode_server.engine.inbox import Inbox
from rhapsode_server.engine.observer import Observer, SequenceEvent, StepEvent
from rhapsode_server.engine.plan import Limits, Plan
from rhapsode_server.engine.runner import Runner, Wave
from rhapsode_server.engine.scheduler import Scheduler
from rhapsode_server.engine.sequence import Sequence, Status
from rhapsode_server.engine.silence import Silence
from rhapsode_server.engine.slots import Slots
from rhapsode_server.engine.stream import AudioStream, Chunk, Outcome
from rhapsode_server.errors import ConfigError, RhapsodeError, place
from rhapsode_server.models.base import Addition, Prompt, SpeechModel

log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class EngineSettings:
    """`slots` 0 and `vocode_frames` -1 mean what the model itself suggests.

    `max_waiting` requests may queue beyond the slots; `prefill` of them are let in per step; streams with
    more than `comfort` seconds in hand stand back while somebody waits for a first sound. `threads` is how
    many share a matrix product on a CPU, 0 what torch has been told.
    """

    slots: int = 0
    max_waiting: int = 64
    prefill: int = 8
    vocode_frames: int = -1
    comfort: float = 1.0
    threads: int = 0


@dataclass(eq=False, slots=True)
class Flight:
    """A sequence with what the worker needs to serve it: `samples` and `words` delivered so far.

    `additions` are text that its row has not taken yet, `silence` what was silent at the end of its sound.
    """

    seq: Sequence
    prompt: Prompt
    stream: AudioStream
    samples: int = 0
    words: int = 0
    additions: list[Addition] = field(default_factory=list)
    silence: Silence = field(default_factory=Silence)


class Worker:
    """Runs on the engine thread; others may read `beat`, `dead`, `fault`, `slots` and `service_seconds`."""

    def __init__(
        self,
        model: SpeechModel,
        settings: EngineSettings,
        observer: Observer,
        clock: Callable[[], float],
        inbox: Inbox,
    ) -> None:
        frames = model.vocode_frames if settings.vocode_frames < 0 else settings.vocode_frames
        frame_seconds = model.vocoder.samples_per_frame / model.sample_rate
        self.slots = Slots(settings.slots or model.slots, model.positions)
        self.scheduler = Scheduler(
            self.slots,
            model.vocoder.chunking,
            frame_seconds,
            Limits(settings.prefill, frames, settings.comfort),
        )
        self.beat: float | None = None
        self.fault: RhapsodeError | None = None
        self.service_seconds = 1.0
        self._model = model
        self._threads = settings.threads
        self._observer = observer
        self._clock = clock
        self._inbox = inbox
        self._flights: dict[Sequence, Flight] = {}
        self._steps = 0

    @property
    def dead(self) -> bool:
        """Whether the engine has ended on an error, which `fault` tells."""
        return self.fault is not None

    # ---- commands

    def add(self, flight: Flight) -> None:
        """Queue a flight; where the worker has died it is told so at once."""
        self._flights[flight.seq] = flight
        self.scheduler.add(flight.seq)

    def cancel(self, seq: Sequence) -> None:
        """End a sequence; its slot is free before the next step."""
        if self.scheduler.cancel(seq):
            self._end([seq])

    def feed(self, seq: Sequence, addition: Addition) -> None:
        """More text for a sequence: kept until its row is filled, dropped after its end."""
        flight = self._flights.get(seq)
        if flight is None or self._inbox.ended:
            return
        flight.additions.append(addition)
        if seq.stamps.prefilled is not None:
            self._take(flight)

    def _take(self, flight: Flight) -> None:
        """Let the row take the text that has come. What cannot be taken ends this sequence alone."""
        seq, additions, flight.additions = flight.seq, flight.additions, []
        for addition in additions:
            if seq.status is not Status.DECODING:
                return
            if self._runner.feed(seq, addition):
                self.scheduler.feed(seq, addition.allowance, addition.max_frames, self._clock())
            else:
                self.scheduler.cancel(seq, FinishReason.ERROR)
                self._announce_failures()
                self._end([seq])

    # ---- the thread

    def run(self, on_death: Callable[[], None]) -> None:
        """The thread's edge: whatever ends the loop, every stream is told."""
        try:
            self._runner = Runner(self._model, self.slots.count, self._threads)
            if self._runner.graphs is not None:
                log.info("decode steps: %s", self._runner.graphs.told)
            while not self._inbox.closed:
                self._turn()
        except ConfigError as error:
            self.fault = error
        except Exception as error:  # noqa: BLE001 - the thread's edge
            self.fault = endings.lost()
            # The message of a foreign error may carry a caller's text; its type and place never do.
            log.critical("the engine has died of %s at %s", type(error).__name__, place(error))
        self._leave()
        if self.dead:
            on_death()

    def _leave(self) -> None:
        """No stream is left without an end, nor is one that was submitted at the last moment."""
        self.beat = None
        self._inbox.ended = True
        self._inbox.apply()
        for seq in self._flights:
            seq.status = Status.FINISHED
            seq.reason = FinishReason.ERROR if self.dead else FinishReason.CANCELLED
        self._end(list(self._flights), self.fault or endings.cut_off())

    def _turn(self) -> None:
        """Commands, then one step, or a sleep until there is one to do."""
        self._inbox.apply()
        self.beat = now = self._clock()
        if self.scheduler.idle:
            self.scheduler.check()
            self._sleep(None)
            return
        plan = self.scheduler.plan(now)
        self._end(plan.expired)
        if plan.empty:
            self._sleep(None if plan.wake_at is None else plan.wake_at - now)
        else:
            self._step(plan, now)

    def _sleep(self, seconds: float | None) -> None:
        self.beat = None
        if not self._inbox.closed:
            self._inbox.wait(seconds)

    def _step(self, plan: Plan, started: float) -> None:
        self._steps += 1
        waves = self._runner.vocode(plan.vocode)
        self.beat = sounded = self._clock()
        self._deliver(plan, waves, sounded - started)
        self._runner.prefill([(seq, self._flights[seq].prompt) for seq in plan.prefill])
        self.beat = prefilled = self._clock()
        outcome = self._runner.decode(plan)
        ended = self._clock()
        for seq in plan.prefill:
            seq.stamps.prefilled, seq.stamps.prefill_busy = prefilled, prefilled - sounded
        for seq in plan.decode:
            seq.stamps.decoded(ended, ended - prefilled, self._steps, len(plan.decode))
        running = len(self.scheduler.running)
        finished = self.scheduler.advance(plan, outcome, sounded) + self._silenced(waves)
        self._announce(plan, (started, sounded, prefilled, ended), running)
        self._end(finished)
        for seq in plan.prefill:
            if seq in self._flights:
                self._take(self._flights[seq])

    def _silenced(self, waves: dict[Sequence, Wave]) -> list[Sequence]:
        """End streams whose model goes on and on without a sound; what nobody has heard yet is dropped."""
        limit = round(self._model.silence * self._model.acoustic.frame_rate)
        lost = []
        for seq, wave in waves.items() if limit else ():
            silent = self._flights[seq].silence.hear(wave, self._model.vocoder.samples_per_frame)
            if silent >= limit and seq.status is Status.DECODING:
                self.scheduler.cancel(seq, FinishReason.RUNAWAY)
                lost.append(seq)
        return lost

    # ---- towards the event loop

    def _deliver(self, plan: Plan, waves: dict[Sequence, Wave], busy: float) -> None:
        """Every chunk of this step, in one crossing."""
        chunks: list[tuple[AudioStream, Chunk]] = []
        for seq, window in plan.vocode:
            seq.stamps.vocode_busy += busy
            wave, flight = waves.get(seq), self._flights[seq]
            if wave is None or not len(wave):
                continue
            words = self._runner.words(seq, flight.words)
            chunks.append((flight.stream, Chunk(wave, flight.samples, window.last, words, seq.resumed)))
            flight.samples += len(wave)
            flight.words += len(words)
            seq.delivered, seq.resumed = seq.delivered + 1, False
        if chunks:
            chunks[0][0].cross(lambda: _hand_over(chunks))

    def _end(self, finished: Iterable[Sequence], error: RhapsodeError | None = None) -> None:
        """Tell the streams of these sequences that they have ended, in one crossing, and forget them."""
        now = self._clock()
        ends: list[tuple[AudioStream, Outcome, RhapsodeError | None]] = []
        for seq in finished:
            flight = self._flights.pop(seq)
            seq.stamps.finished = now
            self._learn(seq)
            reason = seq.reason or FinishReason.ERROR
            ends.append(
                (flight.stream, Outcome(reason, seq.made, seq.sent, seq.stamps), error or endings.of(reason))
            )
            self._observer.sequence_finished(
                SequenceEvent(seq.number, reason, seq.made, seq.sent, seq.stamps)
            )
        if ends:
            ends[0][0].cross(lambda: _hang_up(ends))

    def _learn(self, seq: Sequence) -> None:
        """Keep a running mean of how long a slot is held, for the queue's estimate."""
        if seq.stamps.admitted is not None and seq.stamps.finished is not None:
            self.service_seconds += 0.1 * (seq.stamps.finished - seq.stamps.admitted - self.service_seconds)

    def _announce_failures(self) -> None:
        for failure in self._runner.take_failures():
            count = len(failure.sequences)
            log.error("%s failed for %d sequences: %s", failure.stage, count, failure.error_type)
            self._observer.step_failed(failure.stage, failure.error_type, count)

    def _announce(self, plan: Plan, times: tuple[float, float, float, float], running: int) -> None:
        """`times`: the step began, had vocoded, had prefilled, had decoded."""
        self._announce_failures()
        members = {seq.number for seq in (*plan.prefill, *plan.decode, *(seq for seq, _ in plan.vocode))}
        counts = (len(plan.prefill), len(plan.decode), len(plan.vocode), running, len(self.scheduler.waiting))
        vocode, prefill, decode = (after - before for before, after in pairwise(times))
        ends, busy = (times[0], times[-1]), (vocode, prefill, decode)
        self._observer.step_done(StepEvent(self._steps, *ends, *counts, tuple(sorted(members)), busy))


def _hand_over(chunks: list[tuple[AudioStream, Chunk]]) -> None:
    for stream, chunk in chunks:
        stream.deliver(chunk)


def _hang_up(ends: list[tuple[AudioStream, Outcome, RhapsodeError | None]]) -> None:
    for stream, outcome, error in ends:
        stream.finish(outcome, error)
