"""Spans of sampled steps, and whom they served.

A step belongs to many requests, so its span is the root of a trace of its own: it links to each of them,
and each request's decode span links back to it. It is ended, and so exported, when all that it served have.
What must not live here: spans of requests, a metric.
"""

from __future__ import annotations

from collections import OrderedDict
from dataclasses import dataclass

from opentelemetry.context import Context
from opentelemetry.trace import Link, Span, SpanContext, SpanKind, Tracer

from rhapsode_server.engine.observer import StepEvent
from rhapsode_server.telemetry import names
from rhapsode_server.telemetry.call import epoch, epoch_offset

MOST_OPEN_STEPS = 256
"""Sampled steps that wait for their requests to end; the oldest then goes out with the links it has."""

MOST_REMEMBERED = 4096
"""Ended sequences still known, for a step that is announced after a request it served has ended."""


@dataclass(slots=True)
class _OpenStep:
    """A step's span, not ended yet, and the members that have not ended yet."""

    span: Span
    ends: int
    missing: set[int]
    links: int = 0


class Steps:
    """Sampled step spans and whom they served."""

    def __init__(self, tracer: Tracer, every: int = names.STEP_EVERY) -> None:
        self._tracer = tracer
        self._every = every
        self._open: OrderedDict[int, _OpenStep] = OrderedDict()
        self._reported: OrderedDict[int, SpanContext | None] = OrderedDict()

    def announced(self, event: StepEvent) -> None:
        """Keep one step in `every` until all that it served have ended."""
        if event.step % self._every or not event.members:
            return
        offset = epoch_offset()
        attributes = _step_attributes(event)
        started = epoch(event.started, offset)
        span = self._tracer.start_span(
            names.SPAN_STEP, Context(), SpanKind.INTERNAL, attributes, start_time=started
        )
        step = _OpenStep(span, epoch(event.ended, offset), set(event.members))
        self._open[event.step] = step
        for number in event.members:
            if number in self._reported:
                _join(step, number, self._reported[number])
        self._close(event.step)
        if len(self._open) > MOST_OPEN_STEPS:
            self._end(next(iter(self._open)))

    def serving(self, number: int) -> list[Link]:
        """Links to the open steps that served this sequence."""
        steps = (step for step in self._open.values() if number in step.missing)
        return [Link(step.span.get_span_context()) for step in steps]

    def reported(self, number: int, context: SpanContext | None) -> None:
        """A sequence has ended; `context` is its utterance's span if it is traced."""
        self._reported[number] = context
        if len(self._reported) > MOST_REMEMBERED:
            self._reported.popitem(last=False)
        for index in [index for index, step in self._open.items() if number in step.missing]:
            _join(self._open[index], number, context)
            self._close(index)

    def flush(self) -> None:
        """End every step with the links it has."""
        for index in list(self._open):
            self._end(index)

    def _close(self, index: int) -> None:
        if not self._open[index].missing:
            self._end(index)

    def _end(self, index: int) -> None:
        """Only ended spans are exported: one that served nobody who is traced is simply forgotten."""
        step = self._open.pop(index)
        if step.links:
            step.span.end(step.ends)


def _join(step: _OpenStep, number: int, context: SpanContext | None) -> None:
    step.missing.discard(number)
    if context is not None:
        step.span.add_link(context, {names.SEQUENCE: number})
        step.links += 1


def _step_attributes(event: StepEvent) -> dict[str, int]:
    return {
        names.STEP: event.step,
        names.PREFILLED: event.prefilled,
        names.DECODED: event.decoded,
        names.VOCODED: event.vocoded,
        names.RUNNING: event.running,
        names.WAITING: event.waiting,
    }
