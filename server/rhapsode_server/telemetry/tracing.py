"""Spans of an utterance and its stages, built after its end from the times that were stamped.

So it costs nothing while it runs. Its spans become children of the RPC's span, with explicit times.
What must not live here: the SERVER span (server_interceptor.py), a metric, text.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from opentelemetry.context import Context
from opentelemetry.trace import (
    Link,
    Span,
    SpanKind,
    Status,
    StatusCode,
    Tracer,
    set_span_in_context,
)
from opentelemetry.util.types import Attributes

from rhapsode_server.core import FinishReason
from rhapsode_server.synthesizer.events import PieceRecord, Report
from rhapsode_server.telemetry import names
from rhapsode_server.telemetry.announcements import Ended
from rhapsode_server.telemetry.call import epoch, epoch_offset
from rhapsode_server.telemetry.metrics import audio_seconds, real_time_factor
from rhapsode_server.telemetry.steps import Steps

MOST_PIECES = 16
"""Pieces of one utterance that get spans of their own: a book must not hold the event loop up."""

_CALLERS_DOING = (FinishReason.STOP, FinishReason.LENGTH, FinishReason.CANCELLED)


class Utterances:
    """Builds one utterance's span and those of its stages."""

    def __init__(self, tracer: Tracer, steps: Steps) -> None:
        self._tracer = tracer
        self._steps = steps

    def ended(self, ended: Ended) -> Context:
        """Export the spans of an utterance; returns the context of its own."""
        report, call = ended
        offset = call.offset if call else epoch_offset()
        parent = call.context if call else Context()
        span = self._tracer.start_span(
            f"{names.SPAN_UTTERANCE} {report.voice.model}",
            parent,
            SpanKind.INTERNAL,
            start_time=epoch(report.started, offset),
        )
        inner = set_span_in_context(span, parent)
        if span.is_recording():
            span.set_attributes(_utterance_attributes(report))
            self._stages(ended, _Under(self._tracer, inner, offset), parent)
            _note(span, report, offset)
        traced = span.get_span_context() if span.is_recording() else None
        for piece in report.pieces:
            self._steps.reported(piece.number, traced)
        span.end(epoch(report.ended, offset))
        return inner

    def _stages(self, ended: Ended, under: _Under, parent: Context) -> None:
        report, call = ended
        if call is not None and call.single_request:
            _Under(self._tracer, parent, under.offset).stage(names.SPAN_RECEIVE, call.arrived, report.started)
        for index, piece in enumerate(report.pieces[:MOST_PIECES]):
            self._piece(under, index, piece)
        _packing(under, ended)

    def _piece(self, under: _Under, index: int, piece: PieceRecord) -> None:
        """Text, queue, prefill, decode and vocode of one piece."""
        stamps, own = piece.stamps, {names.PIECE: index}
        under.stage(names.SPAN_NORMALIZE, piece.text_started, piece.text_ended, own)
        queue_ends = stamps.admitted if stamps.admitted is not None else stamps.finished
        under.stage(names.SPAN_QUEUE, stamps.submitted, queue_ends, own)
        under.stage(
            names.SPAN_PREFILL,
            stamps.admitted,
            stamps.prefilled,
            {names.BUSY_SECONDS: stamps.prefill_busy, **own},
        )
        under.stage(
            names.SPAN_DECODE,
            stamps.prefilled,
            stamps.last_frame,
            {**_decode_attributes(piece), **own},
            self._steps.serving(piece.number),
        )
        under.stage(
            names.SPAN_VOCODE,
            stamps.first_frame,
            stamps.finished,
            {names.BUSY_SECONDS: stamps.vocode_busy, **own},
        )


@dataclass(frozen=True, slots=True)
class _Under:
    """Makes finished spans below one context."""

    tracer: Tracer
    context: Context
    offset: int

    def stage(
        self,
        name: str,
        start: float | None,
        end: float | None,
        attributes: Attributes = None,
        links: Sequence[Link] = (),
    ) -> None:
        """One stage, if it was ever begun and ended (seconds, monotonic)."""
        if start is None or end is None:
            return
        began = epoch(start, self.offset)
        span = self.tracer.start_span(
            name, self.context, SpanKind.INTERNAL, attributes, links, start_time=began
        )
        span.end(max(began, epoch(end, self.offset)))


def _packing(under: _Under, ended: Ended) -> None:
    """Encoding and sending go on from the first sound to the end; how long they worked is an attribute."""
    report, call = ended
    first = report.done.timings.first_audio
    if first is None:
        return
    began = report.started + first
    encode: dict[str, float | str] = {
        names.BUSY_SECONDS: report.done.timings.encode,
        names.ENCODING: report.audio.encoding.value,
    }
    under.stage(names.SPAN_ENCODE, began, report.ended, encode)
    write: dict[str, float] = {names.BLOCKED_SECONDS: report.done.timings.send}
    if call is not None:
        write[names.MESSAGES] = call.messages
    under.stage(names.SPAN_WRITE, began, report.ended, write)


def _note(span: Span, report: Report, offset: int) -> None:
    """The first sound as an event; a failure as the span's status, without its message."""
    first = report.done.timings.first_audio
    if first is not None:
        span.add_event(names.EVENT_FIRST_AUDIO, timestamp=epoch(report.started + first, offset))
    if report.failure:
        span.set_attribute(names.ERROR_TYPE, report.failure)
    if report.failure or report.done.reason not in _CALLERS_DOING:
        span.set_status(Status(StatusCode.ERROR))


def _utterance_attributes(report: Report) -> dict[str, str | int | float]:
    """Names, counts and lengths; never what was said."""
    usage, timings = report.done.usage, report.done.timings
    attributes: dict[str, str | int | float] = {
        names.OPERATION: names.SPAN_UTTERANCE,
        names.PROVIDER: names.SERVICE,
        names.MODEL: report.voice.model,
        names.OUTPUT_TYPE: names.SPEECH,
        names.VOICE: report.voice.name,
        names.OUTPUT_TOKENS: usage.frames,
        names.REQUEST_ID: report.request.request_id,
        names.CHARACTERS: usage.characters,
        names.PIECES: len(report.pieces),
        names.SPEED: report.request.speed,
        names.PRIORITY: report.request.priority.name.lower(),
        names.ENCODING: report.audio.encoding.value,
        names.SAMPLE_RATE: report.audio.sample_rate,
        names.AUDIO_SECONDS: audio_seconds(report),
        names.FINISH_REASON: report.done.reason.value,
    }
    factor = real_time_factor(report)
    if factor is not None:
        attributes[names.REAL_TIME_FACTOR] = factor
    if timings.first_audio is not None:
        attributes[names.FIRST_CHUNK] = timings.first_audio
    return attributes


def _decode_attributes(piece: PieceRecord) -> dict[str, int | float]:
    stamps = piece.stamps
    return {
        names.FRAMES: piece.frames,
        names.STEPS: stamps.steps,
        names.BUSY_SECONDS: stamps.decode_busy,
        names.FIRST_STEP: stamps.first_step,
        names.LAST_STEP: stamps.last_step,
        names.BATCH_MIN: stamps.smallest_batch,
        names.BATCH_MEAN: stamps.batch_total / max(1, stamps.steps),
        names.BATCH_MAX: stamps.largest_batch,
    }
