"""A Prompt in flight: counters, status, slot and time stamps. No tensor, no audio, no clock of its own.

WAITING -> DECODING -> DRAINING -> FINISHED. A sequence is owned by the engine thread from the moment it
is submitted until it is FINISHED; nobody else writes to it.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import Enum, unique

from rhapsode_server.core import FinishReason, Priority


@unique
class Status(Enum):
    """Where a sequence stands; it only ever moves down this list."""

    WAITING = "waiting"
    DECODING = "decoding"
    DRAINING = "draining"
    FINISHED = "finished"


@dataclass(slots=True)
class Stamps:
    """When things happened, in the engine's clock (seconds, monotonic); None: not yet.

    Busy times are sums over the steps this sequence took part in, so that stage spans can be built
    at the end without any work in the hot path.
    """

    submitted: float
    admitted: float | None = None
    prefilled: float | None = None
    first_frame: float | None = None
    last_frame: float | None = None
    first_audio: float | None = None
    finished: float | None = None
    prefill_busy: float = 0.0
    decode_busy: float = 0.0
    vocode_busy: float = 0.0
    steps: int = 0
    first_step: int = 0
    last_step: int = 0
    smallest_batch: int = 0
    largest_batch: int = 0
    batch_total: int = 0

    def decoded(self, now: float, busy: float, step: int, batch: int) -> None:
        """Count one decode step of `batch` rows that took `busy` seconds."""
        if self.first_frame is None:
            self.first_frame, self.first_step, self.smallest_batch = now, step, batch
        self.last_frame, self.last_step = now, step
        self.steps += 1
        self.decode_busy += busy
        self.batch_total += batch
        self.smallest_batch = min(self.smallest_batch, batch)
        self.largest_batch = max(self.largest_batch, batch)


@dataclass(eq=False, slots=True)
class Sequence:
    """One prompt on its way through the engine. `positions` and `max_frames` come from the prompt.

    `made` frames stand in the slot's row; the sound of `sent` of them has been delivered in `chunks`
    windows. `before` is the sequence whose sound this one continues, if any, until this one has sound of
    its own. `playing_since` is when its own sound began to play, as far as the server knows, moved by
    what the client reports. `ahead_limit` is how many seconds of sound may run ahead of playback (None:
    no limit); a `paused` sequence is not worked on at all. `allowance` is how many frames may be made before
    more text is fed (None: the text is complete). One that still waits for its slot at `deadline` (None: it
    has none) ends without one. `delivered` chunks have crossed into the event loop, whose reader has done
    with `taken` of them, the one number that is written there; `held` says that the engine waits for it,
    as it does where somebody `listens` as it comes, and since when.
    `resumed`: its listener has waited for text, not for us, since the last chunk.
    """

    number: int
    positions: int
    max_frames: int
    stamps: Stamps
    priority: Priority = Priority.NORMAL
    before: Sequence | None = None
    ahead_limit: float | None = None
    deadline: float | None = None
    allowance: int | None = None
    status: Status = Status.WAITING
    slot: int | None = None
    made: int = 0
    sent: int = 0
    chunks: int = 0
    reason: FinishReason | None = None
    playing_since: float | None = None
    paused: bool = False
    continues: bool = False
    listens: bool = True
    delivered: int = 0
    taken: int = 0
    held: bool = False
    held_since: float | None = None
    resumed: bool = False

    @property
    def starving(self) -> bool:
        """No further frame may be made before more text comes."""
        decoding = self.status is Status.DECODING
        return decoding and self.allowance is not None and self.made >= self.allowance

    def wait_for_reader(self) -> bool:
        """Whether a chunk is still on its way to the network: then no other is made.

        Says so before it looks: a reader who comes just then either is seen, or sees it and wakes the engine.
        """
        self.held = self.listens and self.delivered > self.taken
        return self.held and self.delivered > self.taken

    @property
    def row(self) -> int:
        """The slot of a sequence that has one."""
        if self.slot is None:
            raise AssertionError(f"sequence {self.number} has no slot while {self.status.value}")
        return self.slot
