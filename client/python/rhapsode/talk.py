"""The nouns of a session: what can be asked of it and what comes back, as plain frozen data.

What must not live here: protobuf and gRPC (session_wire.py translates), waiting. Times are seconds, positions
in sound are samples of one context at the delivered rate, positions in text count Unicode code points.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TypedDict

from rhapsode.speech import AudioChunk, Encoding, Pace, Priority


class ContextOptions(TypedDict, total=False):
    """What can be asked of one utterance of a session; what is left out is the session's."""

    voice: str
    """Name of a voice."""
    speed: float
    """Factor on the speaking rate."""
    seed: int
    """Fixes every random draw; where left out the server draws one, and `info.seed` says which."""
    language: str
    """Language of the text as a BCP 47 tag."""
    instruction: str
    """How to speak, in words."""
    temperature: float
    """Spread of the model's draw."""
    top_k: int
    """Draw among this many of the likeliest candidates."""
    top_p: float
    """Draw among the likeliest candidates that together have this probability."""
    repetition_penalty: float
    """Weight against what was already drawn."""
    priority: Priority | str
    """Who is served first when the server is full."""
    max_ttfa: float
    """Refuse at once where the first sound is expected to take longer than this many seconds."""
    request_id: str
    """A name of your own for logs and traces."""


class SessionOptions(TypedDict, total=False):
    """What the utterances of a session have in common; all of it may be left out."""

    voice: str
    """Who speaks where a context names nobody; the server's default voice where left out."""
    format: Encoding | str
    """How the sound is encoded; bare 16 bit samples where left out."""
    sample_rate: int
    """Samples per second; the voice's own where left out."""
    speed: float
    """Factor on the speaking rate."""
    language: str
    """Language of the texts as a BCP 47 tag."""
    instruction: str
    """How to speak, in words."""
    temperature: float
    """Spread of the model's draw."""
    top_k: int
    """Draw among this many of the likeliest candidates."""
    top_p: float
    """Draw among the likeliest candidates that together have this probability."""
    repetition_penalty: float
    """Weight against what was already drawn."""
    priority: Priority | str
    """Who is served first when the server is full."""
    max_ahead: float
    """Seconds of sound that may come before they can have been played; at most the server's own limit."""
    idle_timeout: float
    """Seconds without a command after which the server ends the session; at most its own limit."""
    pace: Pace | str
    """How fast the sound may come."""


@dataclass(frozen=True, slots=True)
class SessionInfo:
    """What the server said when it opened the session. `max_ahead` None: there is no such limit."""

    session_id: str
    server_version: str
    trace_id: str
    max_contexts: int
    max_context_characters: int
    max_ahead: float | None
    idle_timeout: float


@dataclass(frozen=True, slots=True)
class Heard:
    """How far a listener got: text_spoken + text_remaining is the text, `characters` the length of the first.

    The listener had heard `end_sample` samples, the last word perhaps only in part.
    """

    text_spoken: str
    text_remaining: str
    characters: int
    end_sample: int


@dataclass(frozen=True, slots=True)
class Flushed:
    """All sound of the text before the flush of that name has come; it ended at `end_sample`."""

    name: str
    end_sample: int


@dataclass(frozen=True, slots=True)
class Warned:
    """Something worth knowing that stops nothing; `reason` is a stable word for programs."""

    reason: str
    message: str


@dataclass(frozen=True, slots=True)
class Draining:
    """The server is about to end: open contexts are finished, new ones belong elsewhere."""

    time_left: float
    message: str


ContextEvent = AudioChunk | Flushed | Warned
"""What comes of a context, in order."""
