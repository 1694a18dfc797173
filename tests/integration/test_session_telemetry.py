"""What a real collector hears of a session: each context when it ends, not the session when it does."""

from __future__ import annotations

import asyncio

import grpc
import pytest
from rhapsode.tts.v1 import session_pb2
from rhapsode_server.telemetry import names

from tests.integration.collector import Collector, attributes
from tests.integration.conftest import until
from tests.integration.test_session import Talk
from tests.integration.test_telemetry import CANARY, SAMPLED, TRACE, clean, collector, exporting

__all__ = ["clean", "collector"]

METHOD = "rhapsode.tts.v1.SpeechSynthesisService/StreamSynthesize"
OK = 0

pytestmark = pytest.mark.filterwarnings("ignore::ResourceWarning:opentelemetry.*")


async def test_contexts_are_told_of_as_they_end(
    collector: Collector, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("OTEL_BSP_SCHEDULE_DELAY", "20")
    async with exporting() as running:
        one = Talk(running.stub.StreamSynthesize(metadata=SAMPLED))
        await one.say(session_config=session_pb2.SessionConfig())
        for name in ("whole", "cut"):
            await one.start(name)
            await one.text(name, f"{CANARY}. And so on and on.")
        await one.start("refused", voice="nobody")
        await one.say("cut", cancel=session_pb2.Cancel(playback_offset=0))
        await one.until("context_cancelled", "cut")
        await one.say("whole", end_context=session_pb2.EndContext())
        done = await one.until("context_done", "whole")
        assert done.timings.stages
        await until(lambda: len(collector.spans("text_to_speech toy")) >= 1)
        assert not collector.spans(METHOD), "the session goes on"
        [started] = one.of("whole", "context_started")
        assert started.trace_id == TRACE
        await asyncio.sleep(0)
        await one.call.done_writing()
        await one.rest()
        assert await one.call.code() is grpc.StatusCode.OK
    [session] = collector.spans(METHOD)
    assert (session.trace_id.hex(), session.status.code) == (TRACE, OK)
    wholes = collector.spans("text_to_speech toy")
    assert {span.parent_span_id for span in wholes} == {session.span_id}
    reasons = {attributes(span)[names.FINISH_REASON] for span in wholes}
    assert reasons <= {"stop", "cancelled"}
    assert "stop" in reasons
    metrics = collector.metrics()
    [point] = metrics[names.REJECTED.name].sum.data_points
    assert (point.as_int, attributes(point)) == (1, {names.LABEL_REASON: "voice_not_found"})
    assert sum(point.count for point in metrics[names.CHUNK_GAP.name].histogram.data_points) > 0
    assert CANARY not in collector.everything()
