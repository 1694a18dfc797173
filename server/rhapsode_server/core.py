"""The nouns that every room shares, on one page.

What lives here: plain frozen data with no behaviour beyond arithmetic on itself.
What must not: torch, asyncio, protobuf, a clock, a model family's name. Standard library only.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import Enum, unique
from types import MappingProxyType


@unique
class Encoding(Enum):
    """How samples become bytes on the wire."""

    PCM_S16LE = "pcm_s16le"
    WAV = "wav"
    MULAW = "mulaw"
    ALAW = "alaw"
    OGG_OPUS = "ogg_opus"


@dataclass(frozen=True, slots=True)
class AudioFormat:
    """One channel of `encoding` at `sample_rate` Hz; a rate of 0 means the voice's own."""

    encoding: Encoding = Encoding.PCM_S16LE
    sample_rate: int = 0


@dataclass(frozen=True, slots=True)
class SamplingParams:
    """How a family draws; None means the family's own default.

    A setting that the family has not got is refused by name (errors.InvalidRequest), never ignored.
    """

    temperature: float | None = None
    top_k: int | None = None
    top_p: float | None = None
    repetition_penalty: float | None = None

    def chosen(self) -> tuple[str, ...]:
        """Names of the settings that the caller has set."""
        return tuple(name for name in self.__slots__ if getattr(self, name) is not None)


@dataclass(frozen=True, slots=True)
class Voice:
    """A speaker that a client can ask for by `name` (a closed alphabet, never a path).

    `sample_rate` is the native rate in Hz. `conditioning` is what the family needs to sound like this
    speaker (an index, an embedding); no one but the family looks inside.
    """

    name: str
    model: str
    languages: tuple[str, ...]
    sample_rate: int
    description: str = ""
    default: bool = False
    conditioning: object = field(default=None, compare=False, repr=False)
    labels: Mapping[str, str] = field(default_factory=lambda: MappingProxyType({}))


@unique
class Priority(Enum):
    """Who goes first when slots are scarce; a smaller value is served before a larger one."""

    HIGH = 0
    NORMAL = 1
    LOW = 2


@dataclass(frozen=True, slots=True)
class Request:
    """One utterance as it was asked for, checked for form but not yet prepared.

    `speed` is a factor on the speaking rate (1.0 is the voice's own, 2.0 twice as fast).
    `seed` fixes every random draw; the door draws one where the caller gave none. `tenant` is who asks,
    and so whose created voices may speak; "" where nobody is asked who he is.
    """

    request_id: str
    text: str
    voice: str
    audio: AudioFormat = AudioFormat()
    speed: float = 1.0
    seed: int = 0
    language: str = ""
    instruction: str = ""
    sampling: SamplingParams = SamplingParams()
    priority: Priority = Priority.NORMAL
    tenant: str = field(default="", repr=False)


@dataclass(frozen=True, slots=True)
class Word:
    """One spoken word and where it stands in the caller's text.

    `text` is what is spoken ("twenty"), `start`/`end` the characters of the caller's text that it came
    from (several spoken words may share one span: "20" -> "twenty" + "…"). `phones` is ARPAbet with
    stress digits ("AH0"), empty where the family reads letters. `after` is the punctuation that
    follows it, one of the marks of `BREAKS`, or "" for none.
    """

    text: str
    start: int
    end: int
    phones: tuple[str, ...] = ()
    after: str = ""


BREAKS = (",", ";", ":", "-", ".", "?", "!")
"""Punctuation that survives normalisation; each is a pause, the last three end a sentence."""


@dataclass(frozen=True, slots=True)
class Piece:
    """A stretch of text that is spoken in one go: at most a few sentences.

    `text` is normalised and punctuated, for families that read letters; `words` carries the same words
    one by one. `start`/`end` bound the characters of the caller's text it covers, so that
    consecutive pieces tile the text. `pause` is the silence in seconds wanted after it.
    """

    text: str
    words: tuple[Word, ...]
    start: int
    end: int
    pause: float = 0.0


@dataclass(frozen=True, slots=True)
class Growth:
    """A piece as far as it is known: its text only ever grows at the end, until it is `complete`."""

    piece: Piece
    complete: bool


@dataclass(frozen=True, slots=True)
class WordTime:
    """Word number `index` of a Piece sounds in samples [start, end) of that piece, at the native rate.

    `exact` is False where the model has no alignment of its own and the times are an estimate.
    """

    index: int
    start: int
    end: int
    exact: bool = True


@unique
class FinishReason(Enum):
    """Why an utterance ended; only STOP means that the whole text was spoken."""

    STOP = "stop"
    LENGTH = "length"
    CANCELLED = "cancelled"
    DEADLINE = "deadline"
    RUNAWAY = "runaway"
    ERROR = "error"


@dataclass(frozen=True, slots=True)
class Chunking:
    """When frames become sound. All numbers are frames.

    The n-th window (from 0) covers `first * growth**n` frames, never more than `largest`. It is shown
    with `left` frames of context before it (None: all of them, 0: the vocoder keeps its own state) and
    needs `right` frames of look-ahead after it, except at the end of the utterance.
    """

    first: int
    largest: int
    growth: int = 2
    left: int | None = 0
    right: int = 0

    def __post_init__(self) -> None:
        if self.first < 1 or self.largest < self.first or self.growth < 1:
            raise ValueError(f"chunking needs 1 <= first <= largest and growth >= 1, not {self}")
        if self.right < 0 or (self.left is not None and self.left < 0):
            raise ValueError(f"context cannot be negative: {self}")


@dataclass(frozen=True, slots=True)
class Window:
    """Frames [start, stop) are shown to the vocoder, the sound of [begin, end) is wanted.

    `last` is True for the final window of an utterance (`stop == end`), which may be empty.
    """

    start: int
    begin: int
    end: int
    stop: int
    last: bool

    @property
    def wanted(self) -> int:
        """Number of frames whose sound is delivered."""
        return self.end - self.begin
