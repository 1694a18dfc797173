"""The nouns of a session: what comes back, as plain frozen data.

What must not live here: protobuf and gRPC (session_wire.py translates), waiting. Times are seconds, positions
in sound are samples of one context at the delivered rate, positions in text count Unicode code points.
"""

from __future__ import annotations

from dataclasses import dataclass

from rhapsode.speech import AudioChunk


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
