"""One RPC while it runs: its clock, its span's context, how many messages it has sent.

The interceptor makes a Call and puts it into a context variable; an utterance that ends finds it there.
What must not live here: gRPC, the SDK, anything that is exported.
"""

from __future__ import annotations

import time
from contextvars import ContextVar
from dataclasses import dataclass

from opentelemetry.context import Context
from opentelemetry.trace import get_current_span


@dataclass(slots=True, eq=False)
class Call:
    """`arrived` in seconds of time.monotonic; `context` holds the SERVER span, whatever becomes of it."""

    method: str
    arrived: float
    offset: int
    context: Context
    single_request: bool
    messages: int = 0


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
