"""Callers who leave, by choice, by deadline or by death: their slot is free within one step."""

from __future__ import annotations

import asyncio
import contextlib
import sys
from typing import Any, cast

import grpc
import pytest
from rhapsode.tts.v1 import synthesis_pb2
from rhapsode_server.core import FinishReason
from rhapsode_server.engine.observer import SequenceEvent
from rhapsode_server.models import toy
from rhapsode_server.models.base import SpeechModel

from tests.integration.conftest import House, house, rest, until
from tests.integration.test_refusals import details

TEXT = "abcdefgh " * 16
"""432 frames, in two pieces: the second is handed to the engine before the first has ended."""


def slow() -> SpeechModel:
    return toy.load(step_seconds=0.002)


def steps_after(running: House, number: int, steps: int) -> int:
    """In how many steps after the first `steps` a sequence still took part."""
    return sum(number in step.members for step in running.witness.steps[steps:])


def cancelled(running: House) -> list[SequenceEvent]:
    return [event for event in running.witness.sequences if event.reason is FinishReason.CANCELLED]


async def ended_early(running: House, code: str) -> None:
    """A call ended with `code` and the engine let go of it at once."""
    line = await running.access.seen(code)
    steps = line["steps_so_far"]
    engine = running.serving.engine
    assert engine is not None
    await until(lambda: cancelled(running) != [])
    gone = cancelled(running)
    assert sum(event.frames_made for event in gone) < 432
    assert all(steps_after(running, event.number, steps) <= 1 for event in gone)
    await until(lambda: engine.load()[1:3] == (0, 0))


async def sounding(call: Any) -> None:
    """Read until there is sound."""
    while not (await call.read()).HasField("audio"):
        pass


async def test_a_caller_who_cancels() -> None:
    async with house(model=slow) as running:
        running.access.also = lambda: {"steps_so_far": len(running.witness.steps)}
        call = running.stub.Synthesize(synthesis_pb2.SynthesizeRequest(text=TEXT))
        await sounding(call)
        call.cancel()
        await ended_early(running, "CANCELLED")


async def test_a_caller_whose_deadline_passes() -> None:
    async with house(model=slow) as running:
        running.access.also = lambda: {"steps_so_far": len(running.witness.steps)}
        call = running.stub.Synthesize(synthesis_pb2.SynthesizeRequest(text=TEXT), timeout=0.4)
        await sounding(call)
        with pytest.raises(grpc.aio.AioRpcError) as caught:
            await rest(call)
        assert caught.value.code() is grpc.StatusCode.DEADLINE_EXCEEDED
        await ended_early(running, "DEADLINE_EXCEEDED")


CLIENT = """
import grpc, sys
from rhapsode.tts.v1 import service_pb2_grpc, synthesis_pb2
channel = grpc.insecure_channel(sys.argv[1])
stub = service_pb2_grpc.SpeechSynthesisServiceStub(channel)
for message in stub.Synthesize(synthesis_pb2.SynthesizeRequest(text=sys.argv[2])):
    if message.HasField("audio"):
        print("sounding", flush=True)
"""


async def test_a_caller_who_is_killed() -> None:
    """A process of its own, ended with SIGKILL: nothing is said, the connection is just gone."""
    async with house({"engine.max_ahead": 0.2}, slow) as running:
        running.access.also = lambda: {"steps_so_far": len(running.witness.steps)}
        client = await asyncio.create_subprocess_exec(
            *(sys.executable, "-c", CLIENT, running.target, TEXT), stdout=asyncio.subprocess.PIPE
        )
        assert client.stdout is not None
        assert await client.stdout.readline() == b"sounding\n"
        client.kill()
        await client.wait()
        await ended_early(running, "CANCELLED")


async def test_a_deadline_that_cannot_be_met_begins_no_work() -> None:
    async with house({"engine.slots": 1}, slow) as running:
        first = running.stub.Synthesize(synthesis_pb2.SynthesizeRequest(text=TEXT))
        await sounding(first)
        submitted = len(running.witness.sequences)
        with pytest.raises(grpc.aio.AioRpcError) as caught:
            await running.stub.Synthesize(synthesis_pb2.SynthesizeRequest(text=TEXT), timeout=0.05).read()
        assert caught.value.code() is grpc.StatusCode.DEADLINE_EXCEEDED
        first.cancel()
        await running.access.seen("CANCELLED")
        assert len(running.witness.sequences) <= submitted + 1


async def test_a_call_that_falls_behind_its_own_sound_is_ended_with_a_word() -> None:
    """Each frame of 20 ms takes 100 ms to make, and 0.5 seconds may be lost so."""
    async with house({"server.max_stream_seconds": 0.5}) as running:
        assert running.serving.engine is not None
        cast("toy.ToyAcoustic", running.serving.engine.model.acoustic).step_seconds = 0.1
        call = running.stub.Synthesize(synthesis_pb2.SynthesizeRequest(text=TEXT))
        with pytest.raises(grpc.aio.AioRpcError) as caught:
            await rest(call)
        assert caught.value.code() is grpc.StatusCode.DEADLINE_EXCEEDED
        assert "0.5 seconds more than its sound lasts" in str(caught.value.details())
        assert details(caught.value)["ErrorInfo"].reason == "STREAM_TOO_LONG"


async def test_sound_gives_its_call_the_time_to_hear_it(monkeypatch: pytest.MonkeyPatch) -> None:
    """A text that was let in is not cut because it is long: 8.6 seconds of sound move the end by as many."""
    limits: list[tuple[float, asyncio.Timeout]] = []
    timeout = asyncio.timeout

    def watched(seconds: float | None) -> asyncio.Timeout:
        limit = timeout(seconds)
        if seconds == 1234.5:
            limits.append((asyncio.get_running_loop().time(), limit))
        return limit

    monkeypatch.setattr(asyncio, "timeout", watched)
    async with house({"server.max_stream_seconds": 1234.5}) as running:
        spoken = await running.speak(TEXT, pace=synthesis_pb2.PACE_FASTEST)
    assert spoken.done is not None
    ((began, limit),) = limits
    end = limit.when()
    assert end is not None
    lasts = spoken.done.usage.delivered_samples / 16_000
    assert lasts > 8
    assert end - began == pytest.approx(1234.5 + lasts, abs=1.0)


async def test_a_reader_who_does_not_read_is_not_served_ahead() -> None:
    """The server makes what may run ahead and no more, and serves others meanwhile."""
    async with house({"engine.max_ahead": 0.3}) as running:
        lazy = running.stub.Synthesize(synthesis_pb2.SynthesizeRequest(text=TEXT))
        await sounding(lazy)
        others = await asyncio.gather(*(running.speak("Hello.") for _ in range(4)))
        assert all(spoken.done for spoken in others)
        assert running.serving.engine is not None
        assert running.serving.engine.load().running == 1
        lazy.cancel()
        with contextlib.suppress(asyncio.CancelledError):
            await lazy.read()


async def test_leaving_many_times_leaves_nothing_behind() -> None:
    async with house(model=slow) as running:
        for _ in range(20):
            call = running.stub.Synthesize(synthesis_pb2.SynthesizeRequest(text=TEXT))
            await sounding(call)
            call.cancel()
        await until(lambda: not running.serving.gate.inside)
        assert running.serving.engine is not None
        alone = (await running.speak("Still here.", seed=1)).data
        assert running.serving.engine.load()[1:3] == (0, 0)
    async with house(model=slow) as fresh:
        assert (await fresh.speak("Still here.", seed=1)).data == alone


CHUNK = 16 * toy.SAMPLES_PER_FRAME
"""The most samples that one chunk of the toy's has."""


async def test_who_leaves_wastes_at_most_one_chunk() -> None:
    """Of what was vocoded for callers who left, no more than a chunk each was not sent."""
    async with house(model=slow) as running:
        for seed in range(20):
            call = running.stub.Synthesize(synthesis_pb2.SynthesizeRequest(text=TEXT, seed=seed))
            for _ in range(seed):
                await call.read()
            call.cancel()
        assert (await running.speak("To its end.")).done is not None
        await until(lambda: len(running.witness.reports) >= 21 and not running.serving.gate.inside)
        assert max(report.unsent for report in running.witness.reports) <= CHUNK
        [whole] = [report for report in running.witness.reports if report.request.text == "To its end."]
        assert (whole.unsent, whole.unheard) == (0, 0)
