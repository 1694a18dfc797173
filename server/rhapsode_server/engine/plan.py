"""What the scheduler decides for one step, what came of it, and how much one step may hold. Values only.

What must not live here: a decision, torch, a clock.
"""

from __future__ import annotations

from dataclasses import dataclass

from rhapsode_server.core import Window
from rhapsode_server.engine.sequence import Sequence


@dataclass(frozen=True, slots=True)
class Limits:
    """What one step may hold. `vocode_frames` 0: no limit; `backlog` frames unsent stop a row's decode
    (never fewer than two full windows). `patience` is how many seconds a reader is waited for."""

    prefill: int = 8
    vocode_frames: int = 0
    comfort: float = 1.0
    backlog: int = 0
    press: float = 0.15
    patience: float = 2.0


@dataclass(frozen=True, slots=True)
class Plan:
    """One step's decision. `wake_at`: nothing is due before then (None: not before a command comes).

    `expired` have ended: their callers' deadlines passed before a slot was free.
    """

    vocode: tuple[tuple[Sequence, Window], ...] = ()
    prefill: tuple[Sequence, ...] = ()
    decode: tuple[Sequence, ...] = ()
    wake_at: float | None = None
    expired: tuple[Sequence, ...] = ()

    @property
    def empty(self) -> bool:
        """Nothing to execute."""
        return not (self.vocode or self.prefill or self.decode)


@dataclass(frozen=True, slots=True)
class Outcome:
    """One step's result, row by row of `Plan.decode`: the frame is speech, it was the last.

    `failed` sequences left in the middle of the step and are in no other result.
    """

    valid: tuple[bool, ...] = ()
    stopped: tuple[bool, ...] = ()
    runaway: tuple[bool, ...] = ()
    failed: frozenset[Sequence] = frozenset()
