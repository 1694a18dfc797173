"""What the engine announces. It never knows who listens; telemetry does.

Called on the engine thread: a listener must be cheap, must not block and must not raise.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Protocol

from rhapsode_server.core import FinishReason
from rhapsode_server.engine.sequence import Stamps


@dataclass(frozen=True, slots=True)
class StepEvent:
    """One step. Times in seconds of the engine's clock; `members` are the numbers of its sequences.

    `busy` are the seconds of its phases: vocode, prefill, decode.
    """

    step: int
    started: float
    ended: float
    prefilled: int
    decoded: int
    vocoded: int
    running: int
    waiting: int
    members: tuple[int, ...]
    busy: tuple[float, float, float] = (0.0, 0.0, 0.0)


@dataclass(frozen=True, slots=True)
class SequenceEvent:
    """One sequence has FINISHED."""

    number: int
    reason: FinishReason
    frames_made: int
    frames_sent: int
    stamps: Stamps


class Observer(Protocol):
    """Who wants to know."""

    def step_done(self, event: StepEvent) -> None:
        """A step was executed and its result written."""

    def sequence_finished(self, event: SequenceEvent) -> None:
        """A sequence ended, for whatever reason."""

    def step_failed(self, stage: str, error_type: str, sequences: int) -> None:
        """A stage raised; `sequences` of its rows were failed."""


class Silent:
    """An observer that does not care."""

    def step_done(self, event: StepEvent) -> None:
        """Nothing."""

    def sequence_finished(self, event: SequenceEvent) -> None:
        """Nothing."""

    def step_failed(self, stage: str, error_type: str, sequences: int) -> None:
        """Nothing."""


SILENT = Silent()
