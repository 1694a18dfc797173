"""Telemetry of a whole server, received by a real OTLP collector; and what happens where there is none."""

from __future__ import annotations

import asyncio
import io
import json
import logging
import os
import threading
import urllib.request
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager
from itertools import pairwise
from typing import Any, NamedTuple

import grpc
import pytest
from rhapsode.tts.v1 import service_pb2_grpc, synthesis_pb2, voice_pb2
from rhapsode_server.config import load as load_settings
from rhapsode_server.engine.observer import SILENT
from rhapsode_server.errors import ConfigError
from rhapsode_server.main import Serving
from rhapsode_server.models import toy
from rhapsode_server.models.base import SpeechModel
from rhapsode_server.synthesizer.events import UNRECORDED
from rhapsode_server.telemetry import logging as lines
from rhapsode_server.telemetry import names
from rhapsode_server.telemetry.telemetry import Telemetry

from tests.integration.collector import Collector, attributes, collecting, dead, deaf
from tests.integration.conftest import SMALL

CANARY = "Zebra quartz jumps over wavering vixens"
TEXT = f"{CANARY}, and so on and on, and on, and on."
METHOD = "rhapsode.tts.v1.SpeechSynthesisService/Synthesize"
TRACE, PARENT = "0af7651916cd43dd8448eb211c80319c", "b7ad6b7169203331"
SAMPLED = (("traceparent", f"00-{TRACE}-{PARENT}-01"),)
OK, ERROR = 0, 2
"""Span status codes of OTLP: unset and error."""

pytestmark = pytest.mark.filterwarnings("ignore::ResourceWarning:opentelemetry.*")


@pytest.fixture(autouse=True)
def clean(monkeypatch: pytest.MonkeyPatch) -> None:
    """None of the variables of whoever runs the tests."""
    for name in [name for name in os.environ if name.startswith("OTEL_")]:
        monkeypatch.delenv(name)


@pytest.fixture
def collector(monkeypatch: pytest.MonkeyPatch) -> Iterator[Collector]:
    """A collector that the environment names."""
    with collecting() as receiver:
        monkeypatch.setenv("OTEL_EXPORTER_OTLP_ENDPOINT", receiver.address)
        yield receiver


@pytest.fixture
def log() -> Iterator[io.StringIO]:
    """Everything that is logged, as JSON lines."""
    root = logging.getLogger()
    before, level = root.handlers[:], root.level
    stream = io.StringIO()
    lines.configure("json", "debug", stream)
    yield stream
    root.handlers[:] = before
    root.setLevel(level)


class Running(NamedTuple):
    """A server that exports, and a stub."""

    serving: Serving
    telemetry: Telemetry
    stub: Any

    async def speak(self, text: str = TEXT, metadata: Any = (), **fields: Any) -> list[Any]:
        """One call of Synthesize, read to its end."""
        request = synthesis_pb2.SynthesizeRequest(text=text, **fields)
        return [message async for message in self.stub.Synthesize(request, metadata=metadata)]


@asynccontextmanager
async def exporting(
    step_seconds: float = 0.0, model: SpeechModel | None = None, **settings: object
) -> AsyncIterator[Running]:
    """A server, with the toy model or another one; when it has ended, everything has been exported."""
    flags: dict[str, object] = {"server.port": 0, "server.drain_seconds": 5, **SMALL}
    wanted = load_settings(flags=flags | {k.replace("__", "."): v for k, v in settings.items()}, environ={})
    telemetry = Telemetry.from_environment()
    serving = Serving(wanted, telemetry, lambda _: model or toy.load(step_seconds=step_seconds))
    running = asyncio.create_task(serving.run())
    async with asyncio.timeout(60):
        await serving.ready.wait()
        async with grpc.aio.insecure_channel(f"127.0.0.1:{serving.port}") as channel:
            yield Running(
                serving,
                telemetry,
                service_pb2_grpc.SpeechSynthesisServiceStub(channel),  # type: ignore[no-untyped-call]
            )
        serving.stop()
        assert await running == 0


def hexadecimal(span: Any) -> tuple[str, str, str]:
    """Trace, span and parent."""
    return span.trace_id.hex(), span.span_id.hex(), span.parent_span_id.hex()


async def test_a_request_is_one_trace_under_the_clients(collector: Collector) -> None:
    async with exporting() as running:
        spoken = await running.speak(metadata=SAMPLED, request_id="my-request")
    (server,) = collector.spans(METHOD)
    assert hexadecimal(server)[::2] == (TRACE, PARENT)
    (whole,) = collector.spans("text_to_speech toy")
    stages = [span for span in collector.spans() if span.name in names.STAGES]
    assert {span.name for span in stages} == set(names.STAGES)
    for span in (whole, *stages):
        above = server if span.name in (whole.name, names.SPAN_RECEIVE) else whole
        assert hexadecimal(span)[::2] == (TRACE, above.span_id.hex())
        assert server.start_time_unix_nano <= span.start_time_unix_nano <= span.end_time_unix_nano
    assert attributes(whole)[names.REQUEST_ID] == "my-request"
    assert spoken[0].started.trace_id == TRACE
    assert attributes(server)[names.RPC_STATUS] == "OK"


async def test_stages_follow_each_other_and_fill_the_time(collector: Collector) -> None:
    async with exporting() as running:
        await running.speak()
    by_name = {span.name: span for span in collector.spans()}
    order = [by_name[name] for name in (names.SPAN_QUEUE, names.SPAN_PREFILL, names.SPAN_DECODE)]
    for before, after in pairwise(order):
        assert before.end_time_unix_nano == after.start_time_unix_nano
    whole, decode = by_name["text_to_speech toy"], by_name[names.SPAN_DECODE]
    reached = by_name[names.SPAN_VOCODE].end_time_unix_nano
    assert decode.end_time_unix_nano <= reached <= whole.end_time_unix_nano


async def test_resource_and_scope_are_ours(collector: Collector, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("OTEL_RESOURCE_ATTRIBUTES", "k8s.pod.name=pod-1")
    async with exporting() as running:
        await running.speak()
    for resource in collector.resources():
        assert (resource["service.name"], resource["k8s.pod.name"]) == ("rhapsode", "pod-1")


async def test_the_service_is_called_what_the_environment_says(
    collector: Collector, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("OTEL_SERVICE_NAME", "announcer")
    async with exporting() as running:
        await running.speak()
    assert {resource["service.name"] for resource in collector.resources()} == {"announcer"}


async def test_the_time_to_first_audio_points_at_its_trace(collector: Collector) -> None:
    async with exporting() as running:
        await running.speak(metadata=SAMPLED)
    metrics = collector.metrics()
    (point,) = metrics[names.FIRST_AUDIO.name].histogram.data_points
    assert (point.count, tuple(point.explicit_bounds)) == (1, names.FIRST_AUDIO.buckets)
    assert [exemplar.trace_id.hex() for exemplar in point.exemplars] == [TRACE]
    assert attributes(point) == {
        names.LABEL_MODEL: "toy",
        names.LABEL_VOICE_KIND: "named",
        names.LABEL_COLD: True,
    }
    assert metrics.keys() <= {metric.name for metric in names.METRICS}
    shown = {names.CHUNK_GAP, names.STEP_DURATION, names.RPC_DURATION, names.SLOTS_LIMIT, names.LAST_STEP_AGE}
    assert {metric.name for metric in shown} <= metrics.keys()


async def test_steps_and_requests_find_each_other(collector: Collector) -> None:
    async with exporting() as running:
        await asyncio.gather(*(running.speak(f"{TEXT} {TEXT}") for _ in range(3)))
    wholes = {span.span_id for span in collector.spans("text_to_speech toy")}
    steps = {span.span_id: span for span in collector.spans(names.SPAN_STEP)}
    assert steps
    for step in steps.values():
        assert not step.parent_span_id
        assert {link.span_id for link in step.links} <= wholes
        assert len(step.links) >= 1
    decodes = collector.spans(names.SPAN_DECODE)
    assert {link.span_id for span in decodes for link in span.links} == steps.keys()
    there = {(step.span_id, link.span_id) for step in steps.values() for link in step.links}
    back = {(link.span_id, span.parent_span_id) for span in decodes for link in span.links}
    assert there == back


async def test_nothing_that_was_said_leaves_the_process(collector: Collector, log: io.StringIO) -> None:
    async with exporting() as running:
        await running.speak()
        for bad in (TEXT + "\x00", "", CANARY * 500):
            with pytest.raises(grpc.aio.AioRpcError):
                await running.speak(bad)
        for field in ("instruction", "language", "voice"):
            with pytest.raises(grpc.aio.AioRpcError):
                await running.speak("Hello.", **{field: CANARY})
        headers = (("authorization", f"Bearer {CANARY}"), ("baggage", f"said={CANARY.replace(' ', '-')}"))
        await running.speak("Hello.", metadata=headers)
    told = collector.everything() + log.getvalue()
    assert len(collector.spans(METHOD)) == 8
    for word in ("zebra", "quartz", "vixens", "Bearer"):
        assert word.lower() not in told.lower()


async def test_log_lines_carry_the_callers_trace(collector: Collector, log: io.StringIO) -> None:
    async with exporting() as running:
        await running.speak(metadata=SAMPLED)
    access = [
        line
        for line in map(json.loads, log.getvalue().splitlines())
        if line["logger"] == "rhapsode_server.access"
    ]
    (server,) = collector.spans(METHOD)
    assert [(line["trace_id"], line["span_id"]) for line in access] == [(TRACE, server.span_id.hex())]


async def test_a_caller_who_leaves_is_cancelled_and_no_error_of_the_utterance(collector: Collector) -> None:
    async with exporting(step_seconds=0.01) as running:
        call = running.stub.Synthesize(synthesis_pb2.SynthesizeRequest(text=TEXT))
        async for message in call:
            if message.WhichOneof("event") == "audio":
                call.cancel()
                break
    (server,) = collector.spans(METHOD)
    (whole,) = collector.spans("text_to_speech toy")
    assert attributes(server)[names.CLOSE_REASON] == "cancelled"
    assert (server.status.code, whole.status.code) == (ERROR, OK)
    assert attributes(whole)[names.FINISH_REASON] == "cancelled"
    assert whole.parent_span_id == server.span_id


async def test_an_overloaded_server_says_so(collector: Collector) -> None:
    async with exporting(step_seconds=0.01, engine__slots=1, engine__max_waiting=1) as running:
        calls = [asyncio.create_task(running.speak("One at a time.")) for _ in range(6)]
        ended = await asyncio.gather(*calls, return_exceptions=True)
    refused = [each for each in ended if isinstance(each, grpc.aio.AioRpcError)]
    spans = [span for span in collector.spans(METHOD) if span.status.code == ERROR]
    assert refused
    assert len(spans) == len(refused)
    for span in spans:
        told = attributes(span)
        assert (told[names.CLOSE_REASON], told[names.ERROR_REASON]) == ("overloaded", "OVERLOADED")
    (point,) = collector.metrics()[names.REJECTED.name].sum.data_points
    assert (point.as_int, attributes(point)) == (len(refused), {names.LABEL_REASON: "overloaded"})


async def test_a_draining_server_says_so(collector: Collector) -> None:
    async with exporting(step_seconds=0.01) as running:
        first = running.stub.Synthesize(synthesis_pb2.SynthesizeRequest(text=TEXT))
        await first.read()
        running.serving.gate.close(30.0)  # as a drain does, before clients have been sent away
        with pytest.raises(grpc.aio.AioRpcError):
            await running.speak()
        while await first.read() is not grpc.aio.EOF:
            pass
    told = {attributes(span)[names.CLOSE_REASON] for span in collector.spans(METHOD)}
    assert told == {"draining", "completed"}


async def test_only_a_sampled_share_is_traced_but_callers_decide_for_themselves(
    collector: Collector, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("OTEL_TRACES_SAMPLER", "parentbased_traceidratio")
    monkeypatch.setenv("OTEL_TRACES_SAMPLER_ARG", "0")
    async with exporting() as running:
        await running.speak()
        await running.speak(metadata=SAMPLED)
        await running.speak(metadata=(("traceparent", f"00-{TRACE}-{PARENT}-00"),))
    assert len(collector.spans(METHOD)) == 1
    assert {span.trace_id.hex() for span in collector.spans() if span.name != names.SPAN_STEP} == {TRACE}
    assert collector.metrics()[names.RPC_DURATION.name].histogram.data_points[0].count == 3


@pytest.mark.parametrize("place", [dead, deaf])
async def test_a_collector_that_is_gone_keeps_nobody_waiting(
    place: Any, monkeypatch: pytest.MonkeyPatch, log: io.StringIO
) -> None:
    monkeypatch.setenv("OTEL_BSP_SCHEDULE_DELAY", "20")
    monkeypatch.setenv("OTEL_BSP_MAX_QUEUE_SIZE", "32")
    monkeypatch.setenv("OTEL_BSP_MAX_EXPORT_BATCH_SIZE", "16")
    with place() as address:
        monkeypatch.setenv("OTEL_EXPORTER_OTLP_ENDPOINT", address)
        async with exporting() as running:
            for _ in range(10):
                assert (await running.speak("Hello there."))[-1].done.usage.delivered_samples
            began = asyncio.get_running_loop().time()
            delivered = await running.telemetry.shutdown(0.5)
            took = asyncio.get_running_loop().time() - began
    assert not delivered
    assert took < 5
    assert "Traceback" not in log.getvalue()


async def test_prometheus_is_served_where_it_is_asked_for(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("OTEL_METRICS_EXPORTER", "prometheus")
    monkeypatch.setenv("OTEL_EXPORTER_PROMETHEUS_HOST", "127.0.0.1")
    monkeypatch.setenv("OTEL_EXPORTER_PROMETHEUS_PORT", "0")
    async with exporting() as running:
        await running.speak()
        await running.stub.ListVoices(voice_pb2.ListVoicesRequest())
        page = await eventually(running, 'tts_server_time_to_first_audio_seconds_count{cold="true"')
        assert not running.telemetry.trace_id()
    assert 'tts_scheduler_slots_limit{model="toy"} 64.0' in page
    assert 'rpc_response_status_code="OK"' in page
    assert "tts_server_audio_duration_seconds_total" in page
    assert CANARY not in page
    assert 'service_name="rhapsode"' in page


async def eventually(running: Running, line: str) -> str:
    """The metrics page, once it has the line."""
    address = f"http://127.0.0.1:{running.telemetry.prometheus_port}/metrics"
    loop = asyncio.get_running_loop()
    while True:
        with await loop.run_in_executor(None, urllib.request.urlopen, address) as answer:
            page: str = answer.read().decode()
        if line in page:
            return page
        await asyncio.sleep(0.02)


async def test_a_port_for_prometheus_that_is_taken_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    with deaf() as address:
        monkeypatch.setenv("OTEL_METRICS_EXPORTER", "prometheus")
        monkeypatch.setenv("OTEL_EXPORTER_PROMETHEUS_HOST", "127.0.0.1")
        monkeypatch.setenv("OTEL_EXPORTER_PROMETHEUS_PORT", address.rpartition(":")[2])
        with pytest.raises(ConfigError, match="OTEL_EXPORTER_PROMETHEUS_PORT"):
            Telemetry.from_environment()


async def test_without_an_endpoint_nothing_is_started() -> None:
    before = threading.active_count()
    telemetry = Telemetry.from_environment()
    assert (telemetry.on, telemetry.interceptors(), telemetry.trace_id()) == (False, (), "")
    assert telemetry.observer is SILENT
    assert telemetry.recorder is UNRECORDED
    assert threading.active_count() == before
    assert await telemetry.shutdown()
    async with exporting() as running:
        assert (await running.speak())[0].started.trace_id == ""
