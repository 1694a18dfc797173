"""A Prompt in flight: counters, status, slot and time stamps. No tensor, no audio, no clock of its own.

WAITING -> DECODING -> DRAINING -> FINISHED. A sequence is owned by the engine thread from the moment it
is submitted until it is FINISHED; nobody else writes to it.
"""

from __future__ import annotations

from dataclasses import dataclass, field
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


@dataclass(eq=False, slots=True)
class Sequence:
    """One prompt on its way through the engine. `positions` and `max_frames` come from the prompt.

    `made` frames stand in the slot's row, the sound of `sent` of them has been delivered in `chunks`
    windows. `paced_from` is when its sound began to play, as far as the server knows; `played_shift`
    corrects that by what the client reports (seconds, positive: playback is later than assumed).
    `ahead_limit` is how many seconds of sound may run ahead of playback (None: no limit).
    """

    number: int
    positions: int
    max_frames: int
    stamps: Stamps
    priority: Priority = Priority.NORMAL
    ahead_limit: float | None = None
    status: Status = Status.WAITING
    slot: int | None = None
    made: int = 0
    sent: int = 0
    chunks: int = 0
    reason: FinishReason | None = None
    paced_from: float | None = None
    played_shift: float = 0.0
    paused: bool = False
    links: list[int] = field(default_factory=list)
