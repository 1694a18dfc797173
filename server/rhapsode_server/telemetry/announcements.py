"""What the engine and the synthesizer announce, kept until the event loop has time for it.

Called on the engine thread: an append to a bounded deque each, no lock, no SDK. What is too much is lost and
counted. What must not live here: OpenTelemetry.
"""

from __future__ import annotations

from collections import deque
from typing import NamedTuple

from rhapsode_server.engine.observer import SequenceEvent, StepEvent
from rhapsode_server.synthesizer.events import Report
from rhapsode_server.telemetry.call import CURRENT, Call

CAPACITY = 8192
"""Announcements: a minute of steps at the fastest, so only a stuck event loop ever loses any."""


class StageFailure(NamedTuple):
    """A stage raised, and `sequences` of its rows were failed."""

    stage: str
    error_type: str
    sequences: int


class Ended(NamedTuple):
    """An utterance, and the RPC it belonged to (None: there was none)."""

    report: Report
    call: Call | None


Announcement = StepEvent | StageFailure | Ended


class Announcements:
    """An engine.observer.Observer and a synthesizer.events.Recorder that only write down."""

    def __init__(self, capacity: int = CAPACITY) -> None:
        self._waiting: deque[Announcement] = deque(maxlen=capacity)
        self.lost = 0

    # ---- engine thread

    def step_done(self, event: StepEvent) -> None:
        """A step was executed."""
        self._keep(event)

    def sequence_finished(self, event: SequenceEvent) -> None:
        """Told again, and in full, when its utterance ends."""

    def step_failed(self, stage: str, error_type: str, sequences: int) -> None:
        """A stage raised."""
        self._keep(StageFailure(stage, error_type, sequences))

    # ---- event loop

    def utterance_ended(self, report: Report) -> None:
        """An utterance ended; the RPC is the one in whose context this is called."""
        self._keep(Ended(report, CURRENT.get()))

    def take(self) -> Announcement | None:
        """The oldest one, if any."""
        return self._waiting.popleft() if self._waiting else None

    def _keep(self, announcement: Announcement) -> None:
        """deque.append is atomic; the count of the lost may be short by one when two threads lose at once."""
        if len(self._waiting) == self._waiting.maxlen:
            self.lost += 1
        self._waiting.append(announcement)
