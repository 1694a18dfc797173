"""Reports, steps and a whole Telemetry that keeps what it would export in memory."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

from opentelemetry.sdk.metrics import MeterProvider
from opentelemetry.sdk.metrics.export import InMemoryMetricReader
from opentelemetry.sdk.trace import ReadableSpan, TracerProvider
from opentelemetry.sdk.trace.export import SimpleSpanProcessor
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter
from opentelemetry.sdk.trace.sampling import ALWAYS_ON, Sampler
from rhapsode_server.core import AudioFormat, Encoding, FinishReason, Request, Voice
from rhapsode_server.engine.observer import StepEvent
from rhapsode_server.engine.sequence import Stamps
from rhapsode_server.synthesizer.events import Done, PieceRecord, Report, Timings, Usage

CANARY = "zebra-quartz-secret"
"""What must never leave: the text of every report made here."""

VOICE = Voice("alto", "toy", ("en",), 16_000)


def stamps(start: float = 100.0) -> Stamps:
    """A sequence that waited 10 ms, was read in 20 ms and decoded for 300 ms."""
    return Stamps(
        submitted=start,
        admitted=start + 0.01,
        prefilled=start + 0.03,
        first_frame=start + 0.04,
        last_frame=start + 0.34,
        first_audio=start + 0.06,
        finished=start + 0.36,
        prefill_busy=0.02,
        decode_busy=0.25,
        vocode_busy=0.03,
        steps=30,
        first_step=61,
        last_step=90,
        smallest_batch=2,
        largest_batch=6,
        batch_total=120,
    )


def piece(number: int = 1, start: float = 100.0) -> PieceRecord:
    """One piece that went well."""
    return PieceRecord(number, start - 0.005, start, stamps(start), 30, FinishReason.STOP)


def report(*pieces: PieceRecord, failure: str = "", reason: FinishReason = FinishReason.STOP) -> Report:
    """One second of sound that took 0.4 seconds."""
    timings = Timings(0.01, 0.005, 0.02, 0.25, 0.03, 0.004, 0.001, first_audio=0.07, total=0.4)
    return Report(
        request=Request("req-1", CANARY, "alto", AudioFormat(Encoding.OGG_OPUS)),
        voice=VOICE,
        audio=AudioFormat(Encoding.OGG_OPUS, 16_000),
        started=99.99,
        ended=100.4,
        done=Done(reason, Usage(len(CANARY), 16_000, 16_000, 30), timings),
        pieces=pieces or (piece(),),
        failure=failure,
    )


def unheard() -> Report:
    """An utterance that was given up before it had a slot."""
    waiting = replace(
        piece(), stamps=Stamps(submitted=100.0, finished=100.2), frames=0, reason=FinishReason.CANCELLED
    )
    whole = report(waiting, reason=FinishReason.CANCELLED)
    nothing = Usage(len(CANARY), 0, 0, 0)
    return replace(whole, done=Done(FinishReason.CANCELLED, nothing, Timings(total=0.2)))


def step(number: int, *members: int) -> StepEvent:
    """A step of 10 ms in which all members were decoded."""
    count = len(members)
    return StepEvent(number, 100.1, 100.11, 0, count, 1, count, 3, members)


class Kept:
    """What was exported, in the place of the SDK's exporters; has what export.Exporting has."""

    def __init__(self, sampler: Sampler = ALWAYS_ON) -> None:
        self._spans = InMemorySpanExporter()
        self._reader = InMemoryMetricReader()
        self._meters = MeterProvider([self._reader], shutdown_on_exit=False)
        processor = SimpleSpanProcessor(self._spans)
        requests = TracerProvider(sampler, shutdown_on_exit=False)
        steps = TracerProvider(ALWAYS_ON, shutdown_on_exit=False)
        for provider in (requests, steps):
            provider.add_span_processor(processor)
        self.tracer = requests.get_tracer("test")
        self.step_tracer = steps.get_tracer("test")
        self.meter = self._meters.get_meter("test")
        self.prometheus_port = None

    def close(self) -> None:
        """As Exporting."""

    def abandon(self) -> None:
        """As Exporting."""

    def spans(self, name: str = "") -> list[ReadableSpan]:
        """Finished spans, all or those of a name."""
        found = self._spans.get_finished_spans()
        return [span for span in found if not name or span.name == name]

    def span(self, name: str) -> ReadableSpan:
        """The only span of that name."""
        (found,) = self.spans(name)
        return found

    def points(self, name: str) -> list[Any]:
        """Data points of one metric."""
        data = self._reader.get_metrics_data()
        if data is None:
            return []
        scopes = [scope for each in data.resource_metrics for scope in each.scope_metrics]
        metrics = [metric for scope in scopes for metric in scope.metrics if metric.name == name]
        return [point for metric in metrics for point in metric.data.data_points]

    def value(self, name: str) -> float:
        """Sum over the points of a counter, or of a histogram's sums."""
        return sum(
            float(point.value if hasattr(point, "value") else point.sum) for point in self.points(name)
        )
