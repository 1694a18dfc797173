"""The nouns of the client: what comes back, and the words it is asked for in, as plain frozen data.

What must not live here: protobuf and gRPC (wire.py translates), files, sound devices.
Times are seconds; positions in sound are samples at the delivered rate, so they are exact.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from enum import StrEnum, unique


@unique
class Encoding(StrEnum):
    """How samples become bytes."""

    PCM_S16LE = "pcm_s16le"
    WAV = "wav"
    MULAW = "mulaw"
    ALAW = "alaw"
    OGG_OPUS = "ogg_opus"


@unique
class Priority(StrEnum):
    """Who is served first when the server is full."""

    HIGH = "high"
    NORMAL = "normal"
    LOW = "low"


@unique
class Pace(StrEnum):
    """How fast the sound may come: for somebody who listens, or as fast as it can be made."""

    PLAYBACK = "playback"
    FASTEST = "fastest"


@unique
class FinishReason(StrEnum):
    """Why an utterance ended; only STOP means that the whole text was spoken."""

    STOP = "stop"
    LENGTH = "length"
    CANCELLED = "cancelled"
    DEADLINE = "deadline"
    RUNAWAY = "runaway"
    ERROR = "error"
    UNKNOWN = "unknown"  # a reason that this client is too old to know


@dataclass(frozen=True, slots=True)
class Word:
    """A word of the text (characters [char_start, char_end)) and where it sounds (samples [start, end)).

    `exact` is False where the times are an estimate. The sound may end in a later chunk.
    """

    text: str
    char_start: int
    char_end: int
    start_sample: int
    end_sample: int
    exact: bool


@dataclass(frozen=True, slots=True)
class AudioChunk:
    """Some sound: samples [start_sample, start_sample + sample_count), and the words that begin in it."""

    data: bytes
    start_sample: int
    sample_count: int
    words: tuple[Word, ...] = ()


@dataclass(frozen=True, slots=True)
class SpeechInfo:
    """What the server really does: the first message of an utterance."""

    request_id: str
    trace_id: str
    voice: str
    model: str
    encoding: Encoding
    sample_rate: int
    seed: int
    queue_time: float = 0.0
    estimated_first_audio: float | None = None


@dataclass(frozen=True, slots=True)
class Usage:
    """What an utterance took."""

    characters: int = 0
    delivered_samples: int = 0
    generated_samples: int = 0
    frames: int = 0


@dataclass(frozen=True, slots=True)
class Timings:
    """Seconds that the server spent in each stage. Stages overlap, so they do not sum to `total`."""

    queue: float = 0.0
    text: float = 0.0
    prefill: float = 0.0
    decode: float = 0.0
    vocode: float = 0.0
    encode: float = 0.0
    send: float = 0.0
    first_audio: float = 0.0
    total: float = 0.0


@unique
class Stage(StrEnum):
    """A stage of the way from text to sound, at the server."""

    RECEIVE = "receive"
    NORMALIZE = "normalize"
    QUEUE = "queue"
    PREFILL = "prefill"
    DECODE = "decode"
    VOCODE = "vocode"
    ENCODE = "encode"
    SEND = "send"
    UNKNOWN = "unknown"  # a stage that this client is too old to know


@dataclass(frozen=True, slots=True)
class StageTime:
    """A stage took from `start` to `end`, seconds since the server got the call; for `busy` it worked.

    A long text is spoken in pieces, counted from 0; the stages of the whole utterance have `piece` 0.
    """

    stage: Stage
    piece: int
    start: float
    end: float
    busy: float


@dataclass(frozen=True, slots=True)
class SpeechResult:
    """How an utterance ended, what it took and where the time went: in sums, and one stage after another."""

    finish_reason: FinishReason
    usage: Usage
    timings: Timings
    stages: tuple[StageTime, ...] = ()

    @property
    def complete(self) -> bool:
        """Whether the whole text was spoken."""
        return self.finish_reason is FinishReason.STOP


@dataclass(frozen=True, slots=True)
class Voice:
    """A speaker that the server has."""

    name: str
    model: str
    languages: tuple[str, ...]
    sample_rate: int
    description: str
    is_default: bool
    labels: Mapping[str, str]
