"""What an utterance says of itself: before, with and after its sound. Plain data, no behaviour.

All times are seconds, all samples are at the delivered rate unless a name says otherwise.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Protocol

from rhapsode_server.core import AudioFormat, FinishReason, Request, Voice
from rhapsode_server.engine.sequence import Stamps
from rhapsode_server.synthesizer.stages import StageTime


@dataclass(frozen=True, slots=True)
class Terms:
    """On what terms the caller still wants the sound.

    `time_left` is the time to the caller's deadline, `max_ttfa` the longest wait for the first sound
    that is of use, `max_ahead` how much sound may run ahead of playback (None: no such limit). Where nobody
    listens as it comes (`paced` False) it may run ahead without limit. `received` is when the call began,
    in the engine's clock (None: when the request did).
    """

    time_left: float | None = None
    max_ttfa: float | None = None
    max_ahead: float | None = None
    paced: bool = True
    received: float | None = None


@dataclass(frozen=True, slots=True)
class Started:
    """The request was let in. `estimated_first_audio` is None where nothing is known yet."""

    voice: Voice
    audio: AudioFormat
    waited: float
    estimated_first_audio: float | None


@dataclass(frozen=True, slots=True)
class SpokenWord:
    """Characters [char_start, char_end) of the caller's text sound in samples [start, end)."""

    text: str
    char_start: int
    char_end: int
    start: int
    end: int
    exact: bool


@dataclass(frozen=True, slots=True)
class Audio:
    """Encoded sound of samples [start, start + samples), never empty, and the words that begin in it."""

    data: bytes
    seq: int
    start: int
    samples: int
    words: tuple[SpokenWord, ...] = ()


@dataclass(frozen=True, slots=True)
class Usage:
    """What an utterance took. `generated - delivered` is sound that nobody heard."""

    characters: int
    delivered: int
    generated: int
    frames: int


@dataclass(frozen=True, slots=True)
class Timings:
    """Where the time went; stages overlap, so they do not sum to `total`."""

    queue: float = 0.0
    text: float = 0.0
    prefill: float = 0.0
    decode: float = 0.0
    vocode: float = 0.0
    encode: float = 0.0
    send: float = 0.0
    first_audio: float | None = None
    total: float = 0.0
    stages: tuple[StageTime, ...] = ()


@dataclass(frozen=True, slots=True)
class Done:
    """All sound was handed over; only STOP means that the whole text was spoken."""

    reason: FinishReason
    usage: Usage
    timings: Timings


Event = Started | Audio | Done


@dataclass(frozen=True, slots=True)
class PieceRecord:
    """One piece on its way: when its text was worked on, and what the engine did with it.

    Times are of the engine's clock. `number` is that of its sequence, as in the engine's own events;
    `sounded` of its `frames` were vocoded.
    """

    number: int
    text_started: float
    text_ended: float
    stamps: Stamps
    frames: int
    reason: FinishReason | None
    sounded: int = 0


@dataclass(frozen=True, slots=True)
class Report:
    """One utterance after its end, for whoever measures. Never carries the text.

    `failure` is the `reason` word of the error that ended it, or "". Samples that were made for nobody, at
    the delivered rate: `unsent` were vocoded and never handed to the network, `unheard` were sent to a
    listener who says that he had not come to them when he interrupted. `gaps` are the seconds between two
    sounds that were sent, `underruns` how many of them a listener has heard, both without what callers wait
    for themselves: the end of a pause, or text that is still being written.
    """

    request: Request = field(repr=False)
    voice: Voice
    audio: AudioFormat
    started: float
    ended: float
    done: Done
    pieces: tuple[PieceRecord, ...] = ()
    failure: str = ""
    unsent: int = 0
    unheard: int = 0
    gaps: tuple[float, ...] = ()
    underruns: int = 0


class Recorder(Protocol):
    """Who wants to know of utterances; called on the event loop, must be cheap and must not raise."""

    def utterance_ended(self, report: Report) -> None:
        """An utterance that was let in has ended, for whatever reason."""


class Unrecorded:
    """A recorder that does not care."""

    def utterance_ended(self, report: Report) -> None:
        """Nothing."""


UNRECORDED = Unrecorded()
