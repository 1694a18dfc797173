"""What each part of telemetry costs by itself: `python -m bench.telemetry_parts`

Processor time of the calling thread, the best of several repetitions, so a busy machine hardly blurs it.
What a whole server pays is measured by bench/telemetry.py.
"""

from __future__ import annotations

import time
from collections.abc import Callable

from opentelemetry.context import Context
from opentelemetry.exporter.otlp.proto.common.trace_encoder import encode_spans
from opentelemetry.sdk.metrics import MeterProvider
from opentelemetry.sdk.metrics.export import InMemoryMetricReader
from opentelemetry.sdk.trace import ReadableSpan, TracerProvider
from opentelemetry.sdk.trace.export import SimpleSpanProcessor
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter
from opentelemetry.sdk.trace.sampling import ALWAYS_OFF, ALWAYS_ON, Sampler
from opentelemetry.trace import SpanKind, Tracer
from rhapsode_server.core import AudioFormat, FinishReason, Request, Voice
from rhapsode_server.engine.observer import StepEvent
from rhapsode_server.engine.sequence import Stamps
from rhapsode_server.synthesizer.events import Done, PieceRecord, Report, Timings, Usage
from rhapsode_server.telemetry.announcements import Announcements, Ended
from rhapsode_server.telemetry.call import Call
from rhapsode_server.telemetry.metrics import Metrics
from rhapsode_server.telemetry.steps import Steps
from rhapsode_server.telemetry.tracing import Utterances
from rich.console import Console
from rich.table import Table

STEP = StepEvent(1, 100.0, 100.01, 1, 8, 2, 8, 0, tuple(range(8)))
CHUNKS = 10


def main() -> None:
    """Measure and show."""
    metrics = Metrics(MeterProvider([InMemoryMetricReader()], shutdown_on_exit=False).get_meter("bench"))
    announced, told = Announcements(), _report()
    parts: list[tuple[str, str, Callable[[], object]]] = [
        ("engine's thread", "a step", lambda: announced.step_done(STEP)),
        ("event loop: metrics", "a step", lambda: metrics.step(STEP)),
        (
            "event loop: metrics",
            f"utterance, {CHUNKS} chunks",
            lambda: metrics.utterance(told, Context()),
        ),
        ("event loop: metrics", "an RPC", lambda: _call_metrics(metrics)),
    ]
    for word, sampler in (("sampled", ALWAYS_ON), ("not sampled", ALWAYS_OFF)):
        parts += _spans(word, sampler, told)
    parts.append(("exporter's thread", "an utterance, sampled", _encoding(told)))
    table = Table("where", "for each", "microseconds")
    for where, each, work in parts:
        table.add_row(where, each, f"{1e6 * best(work):.1f}")
    Console().print(table)


def best(work: Callable[[], object], repetitions: int = 9, count: int = 300) -> float:
    """Seconds of this thread's processor time for one call."""
    fastest = float("inf")
    for _ in range(repetitions):
        before = time.thread_time()
        for _ in range(count):
            work()
        fastest = min(fastest, (time.thread_time() - before) / count)
    return fastest


def _spans(word: str, sampler: Sampler, told: Report) -> list[tuple[str, str, Callable[[], object]]]:
    tracer = TracerProvider(sampler, shutdown_on_exit=False).get_tracer("bench")
    utterances = Utterances(tracer, Steps(tracer))
    call = Call("bench", 99.9, 0, Context(), single_request=True)

    def rpc() -> None:
        tracer.start_span("bench", kind=SpanKind.SERVER).end()

    return [
        ("event loop: the RPC's span", word, rpc),
        ("event loop: the utterance's spans", word, lambda: utterances.ended(Ended(told, call))),
    ]


def _encoding(told: Report) -> Callable[[], object]:
    """Turning the spans of an utterance into protobuf."""
    kept = InMemorySpanExporter()
    provider = TracerProvider(ALWAYS_ON, shutdown_on_exit=False)
    provider.add_span_processor(SimpleSpanProcessor(kept))
    tracer: Tracer = provider.get_tracer("bench")
    Utterances(tracer, Steps(tracer)).ended(Ended(told, None))
    spans: tuple[ReadableSpan, ...] = kept.get_finished_spans()
    return lambda: encode_spans(spans).SerializeToString()


def _call_metrics(metrics: Metrics) -> None:
    call = Call("bench", 0.0, 0, Context(), single_request=True)
    metrics.call(call, "OK", "", 1.0, Context())


def _report() -> Report:
    stamps = Stamps(100.0, 100.01, 100.02, 100.03, 100.3, 100.05, 100.35, steps=30, batch_total=120)
    audio = AudioFormat(sample_rate=24_000)
    timings = Timings(first_audio=0.1, decode=0.2, total=0.4)
    return Report(
        request=Request("bench", "…", "alto", audio),
        voice=Voice("alto", "bench", ("en",), 24_000),
        audio=audio,
        started=99.99,
        ended=100.4,
        done=Done(FinishReason.STOP, Usage(80, 96_000, 96_000, 30), timings),
        pieces=(PieceRecord(1, 99.99, 100.0, stamps, 30, FinishReason.STOP),),
        gaps=(0.1,) * (CHUNKS - 1),
    )


if __name__ == "__main__":
    main()
