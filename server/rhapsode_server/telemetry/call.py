"""One RPC while it runs: its clock, its span's context, what sound it has carried.

The interceptor makes a Call and puts it into a context variable; an utterance that ends finds it there.
What must not live here: gRPC, the SDK, anything that is exported.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from contextvars import ContextVar
from dataclasses import dataclass, field
from typing import NamedTuple

from opentelemetry.context import Context
from opentelemetry.trace import get_current_span


class Sound(NamedTuple):
    """What one response message carries: `seconds` of sound, `start` seconds into its utterance."""

    start: float
    seconds: float


SoundOf = Callable[[object], Sound | None]


def no_sound(_message: object) -> Sound | None:
    """For servers that do not say which messages carry sound."""
    return None


_SLACK = 0.02
"""Seconds by which sound may come late before it counts: less is not heard as a gap by any player."""


@dataclass(slots=True)
class Playback:
    """A listener who plays from the first sound on, as seen from here: gaps and underruns."""

    gaps: list[float] = field(default_factory=list)
    underruns: int = 0
    _last: float = 0.0
    _runs_dry: float = 0.0

    def sent(self, sound: Sound, now: float) -> None:
        """A message with sound has been handed over."""
        if sound.start == 0.0:
            self._runs_dry = now
        else:
            self.gaps.append(now - self._last)
            if now > self._runs_dry + _SLACK:
                self.underruns += 1
                self._runs_dry = now
        self._last = now
        self._runs_dry += sound.seconds


@dataclass(slots=True, eq=False)
class Call:
    """`arrived` in seconds of time.monotonic; `context` holds the SERVER span, whatever becomes of it."""

    method: str
    arrived: float
    offset: int
    context: Context
    single_request: bool
    messages: int = 0
    playback: Playback = field(default_factory=Playback)


CURRENT: ContextVar[Call | None] = ContextVar("rhapsode_call", default=None)


def current_ids() -> dict[str, str]:
    """`trace_id` and `span_id` of the current span in hexadecimal; empty where there is none."""
    context = get_current_span().get_span_context()
    if not context.is_valid:
        return {}
    return {"trace_id": f"{context.trace_id:032x}", "span_id": f"{context.span_id:016x}"}


def epoch_offset() -> int:
    """Nanoseconds between the clocks: one for each call, so that a trace is consistent in itself."""
    return time.time_ns() - time.monotonic_ns()


def epoch(seconds: float, offset: int) -> int:
    """A time of the engine's clock (seconds, monotonic) in nanoseconds since 1970."""
    return round(seconds * 1_000_000_000) + offset
