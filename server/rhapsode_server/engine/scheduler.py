"""The plan: who is prefilled, who decodes, whose frames become sound now. Integers and one clock value.

What must not live here: torch, a thread, a clock, logging, a family's name. `plan(now)` reads, `advance`
writes; a Plan is immutable. Commands (add, cancel, report) are applied only between steps.

Urgency, in this order: a sequence that has not sounded yet, oldest first; then whoever runs dry first.
A stream that is far ahead of its playback gives its turn away: always beyond its own `ahead_limit`, and
beyond `comfort` seconds while somebody else still waits for a first sound. A stream that is about to run
dry is `pressed`: fewer newcomers are let in at a time, for their prefills make the steps longer. A row that
has used up its text is `starving`: it is not decoded and presses nobody, and where there is nothing else to
do the plan sleeps until a command comes. What continues a sound may run beside what it continues, but not in
the last free slot. No row makes a chunk while the one before it is on its way to the
network, so whoever leaves wastes one at most. Windows never depend on time: the same request gives the same
bits at any load.
"""

from __future__ import annotations

from math import inf

from rhapsode_server.core import Chunking, FinishReason, Window
from rhapsode_server.engine.plan import Limits, Outcome, Plan
from rhapsode_server.engine.sequence import Sequence, Status
from rhapsode_server.engine.slots import Slots
from rhapsode_server.engine.windows import next_window


class Scheduler:
    """Sequences waiting and running over a fixed number of slots. `beside` of those that wait leave the last
    free one to whoever comes, so they are no queue before it."""

    def __init__(self, slots: Slots, chunking: Chunking, frame_seconds: float, limits: Limits) -> None:
        self.slots = slots
        self.waiting: list[Sequence] = []
        self.running: list[Sequence] = []
        self.beside = 0
        self._chunking = chunking
        self._frame_seconds = frame_seconds
        self._limits = limits
        self._paced = True
        # A row needs at most one full window and its look-ahead; twice that never starves the vocoder.
        self._backlog = max(limits.backlog, 2 * (chunking.largest + chunking.right))

    # ---- commands, between steps

    def add(self, seq: Sequence) -> None:
        """Queue a sequence."""
        self.waiting.append(seq)

    def cancel(self, seq: Sequence, reason: FinishReason = FinishReason.CANCELLED) -> bool:
        """End a sequence now and free its slot; False where it had ended already."""
        if seq.status is Status.FINISHED:
            return False
        seq.reason = reason
        self._finish(seq)
        return True

    def report(self, seq: Sequence, now: float, played: float | None, paused: bool) -> None:
        """The client has played `played` seconds of this sequence's sound, and may have paused.

        Below 0 it will come to it in so many seconds; None: nobody knows.
        """
        seq.paused = paused
        if played is not None and seq.playing_since is not None:
            seq.playing_since = now - min(played, seq.sent * self._frame_seconds)

    def feed(self, seq: Sequence, allowance: int | None, max_frames: int, now: float) -> None:
        """A row has taken more text. The time for which its listener waited for it is nobody's delay."""
        if seq.status is not Status.DECODING:
            return
        if seq.starving:
            seq.resumed = True
            if seq.playing_since is not None:
                seq.playing_since += max(0.0, now - self._due(seq))
        seq.allowance, seq.max_frames = allowance, max_frames
        self._end_at_most(seq)

    def stop_pacing(self) -> None:
        """From now on as fast as it can be made: the server is going, so no sound may wait for its turn
        to be played, nor for a listener who has paused."""
        self._paced = False

    # ---- the step

    def plan(self, now: float) -> Plan:
        """Decide one step. Only the queue changes, and since when each network has been waited for."""
        expired = self._expire(now)
        prefill = self._admit(now, self._newcomers(now))
        active = [seq for seq in self.running if not (seq.paused and self._paced)]
        starting = any(not (seq.chunks or seq.continues or seq.starving) for seq in active)
        gate = self._limits.comfort if starting else inf
        able = [seq for seq in active if self._due(seq) - now <= self._room(seq, gate)]
        on_the_way = frozenset(seq for seq in able if self._wait_for_network(seq, now))
        decode = tuple(seq for seq in able if self._may_decode(seq, seq in on_the_way))
        vocode = tuple(self._due_windows([seq for seq in able if seq not in on_the_way]))
        wake_at = None if (decode or vocode) else self._wake_at(active, now, gate)
        return Plan(vocode, prefill, decode, wake_at, expired)

    def advance(self, plan: Plan, outcome: Outcome, now: float) -> list[Sequence]:
        """Write one step's result into the sequences; returns those that FINISHED."""
        gone = outcome.failed
        ended = [seq for seq, window in plan.vocode if seq not in gone and self._sounded(seq, window, now)]
        rows = zip(plan.decode, outcome.valid, outcome.stopped, outcome.runaway, strict=True)
        for seq, valid, stopped, runaway in rows:
            if seq not in gone and seq.status is Status.DECODING:
                self._decoded(seq, valid, stopped, runaway)
        for seq in ended:
            self._finish(seq)
        for seq in gone:
            self.cancel(seq, FinishReason.ERROR)
        return ended + list(gone)

    @property
    def idle(self) -> bool:
        """Nothing waits and nothing runs."""
        return not self.waiting and not self.running

    def check(self) -> None:
        """Raise AssertionError where slots and sequences do not add up."""
        held = sorted(seq.row for seq in self.running)
        if len(set(held)) != len(held) or len(held) != self.slots.used:
            raise AssertionError(f"{self.slots.used} slots in use, but sequences hold {held}")

    # ---- admission

    def _expire(self, now: float) -> tuple[Sequence, ...]:
        """End those who have waited beyond their deadline: nobody would hear them."""
        late = [seq for seq in self.waiting if seq.deadline is not None and seq.deadline <= now]
        for seq in late:
            self.cancel(seq, FinishReason.DEADLINE)
        return tuple(late)

    def _admit(self, now: float, most: int) -> tuple[Sequence, ...]:
        admitted: list[Sequence] = []
        if self.slots.free:
            self.waiting.sort(key=_turn)
        for seq in self.waiting[:]:
            if len(admitted) == most or not self.slots.free:
                break
            if _beside(seq) and self.slots.free == 1:
                continue
            self.waiting.remove(seq)
            seq.slot = self.slots.acquire(seq.positions)
            seq.status, seq.stamps.admitted = Status.DECODING, now
            admitted.append(seq)
        self.running += admitted
        self.beside = sum(_beside(seq) for seq in self.waiting)
        return tuple(admitted)

    # ---- urgency

    def _due(self, seq: Sequence) -> float:
        """When the listener runs dry; -inf where no sound has been sent and none is playing."""
        if seq.playing_since is not None:
            return seq.playing_since + seq.sent * self._frame_seconds
        if seq.before is not None:
            unsent = seq.before.made - seq.before.sent
            return self._due(seq.before) + unsent * self._frame_seconds
        return -inf

    def _room(self, seq: Sequence, gate: float) -> float:
        """Seconds of sound that may run ahead of this listener at present."""
        return gate if seq.ahead_limit is None or not self._paced else min(gate, seq.ahead_limit)

    def _may_decode(self, seq: Sequence, on_the_way: bool) -> bool:
        """While its sound is on the way one window may stand ready, else two."""
        fed = seq.status is Status.DECODING and not seq.starving
        return fed and seq.made - seq.sent < self._backlog // (2 if on_the_way else 1)

    def _wait_for_network(self, seq: Sequence, now: float) -> bool:
        """Whether this listener's sound before is still to be made, or to be handed to the network.

        A network that takes nothing for long is no reason to hold a slot that others wait for.
        """
        if not (seq.listens and self._paced):
            return False
        before = seq.before
        if before is not None and before.slot is not None:
            return True
        if not (seq.wait_for_reader() or (before is not None and before.wait_for_reader())):
            seq.held_since = None
            return False
        seq.held_since = now if seq.held_since is None else seq.held_since
        seq.listens = now - seq.held_since < self._limits.patience
        return seq.listens

    def _pressed(self, seq: Sequence, now: float) -> bool:
        """About to run dry, and not for want of text."""
        if seq.playing_since is None or seq.starving:
            return False
        return 0 <= self._due(seq) - now < self._limits.press

    def _newcomers(self, now: float) -> int:
        """How many may be let in: a quarter of the usual while somebody is about to run dry."""
        pressed = any(seq.status is Status.DECODING and self._pressed(seq, now) for seq in self.running)
        return max(1, self._limits.prefill // 4) if pressed else self._limits.prefill

    def _due_windows(self, able: list[Sequence]) -> list[tuple[Sequence, Window]]:
        """Windows that are due, most urgent first, as many as one step may hold."""
        due: list[tuple[Sequence, Window]] = []
        frames, most = 0, self._limits.vocode_frames or inf
        for seq in sorted(able, key=lambda seq: (self._due(seq), seq.number)):
            finished = seq.status is Status.DRAINING
            window = next_window(self._chunking, seq.made, seq.sent, seq.chunks, finished)
            if window is None:
                continue
            frames += window.stop - window.start
            if due and frames > most:
                break
            due.append((seq, window))
        return due

    def _wake_at(self, active: list[Sequence], now: float, gate: float) -> float | None:
        """When a stream that runs ahead has come down to its room, or a reader was waited for in vain."""
        times = [self._due(seq) - self._room(seq, gate) for seq in active]
        held = (seq.held_since for seq in active if seq.listens)
        times += [since + self._limits.patience for since in held if since is not None]
        return min((time for time in times if time > now), default=None)

    # ---- results

    def _sounded(self, seq: Sequence, window: Window, now: float) -> bool:
        if seq.status is Status.FINISHED:
            return False
        if seq.playing_since is None and window.wanted:
            seq.playing_since = max(now, self._due(seq))
            seq.before = None
            seq.stamps.first_audio = now
        seq.sent = window.end
        seq.chunks += 1
        return window.last

    def _decoded(self, seq: Sequence, valid: bool, stopped: bool, runaway: bool) -> None:
        seq.made += valid
        if runaway:
            seq.reason = FinishReason.RUNAWAY
        elif stopped:
            seq.reason = FinishReason.STOP
        if seq.reason is not None:
            seq.status = Status.DRAINING
        self._end_at_most(seq)

    def _end_at_most(self, seq: Sequence) -> None:
        """No row makes more frames than it may, whether its text is complete or not."""
        if seq.status is Status.DECODING and seq.made >= seq.max_frames:
            seq.reason, seq.status = FinishReason.LENGTH, Status.DRAINING

    def _finish(self, seq: Sequence) -> None:
        if seq.status is Status.WAITING:
            self.waiting.remove(seq)
        else:
            self.slots.release(seq.row)
            self.running.remove(seq)
        seq.status, seq.slot, seq.before = Status.FINISHED, None, None


def _turn(seq: Sequence) -> tuple[bool, int, int]:
    """Order of admission: what continues a sound that has begun, then priority, then age."""
    begun = seq.continues and (seq.before is None or seq.before.status is not Status.WAITING)
    return not begun, seq.priority.value, seq.number


def _beside(seq: Sequence) -> bool:
    """Whether what it continues is still being made. The last free slot is not for that: who comes next would
    wait while one caller has two."""
    return seq.before is not None and seq.before.status in (Status.WAITING, Status.DECODING)
