"""An engine that hangs: it is seen, and the server ends with the code that says so, whoever ends it."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Callable, Iterator
from dataclasses import replace

import grpc
import pytest
from grpc_health.v1 import health_pb2, health_pb2_grpc
from rhapsode.tts.v1 import synthesis_pb2
from rhapsode_server.main import ENGINE_LOST
from rhapsode_server.models import toy
from rhapsode_server.models.base import SpeechModel, Step
from rhapsode_server.rpc.health import Health
from torch import Tensor

from tests.integration.conftest import house, rest, until

LONG = "Here is a sentence that is spoken slowly and to its end."
FOREVER = 3600.0


class Stuck(toy.ToyAcoustic):
    """Hangs in its first decode after `hang` is set, until `let_go`; `stands` where it does."""

    def __init__(self) -> None:
        super().__init__()
        self.hang = threading.Event()
        self.stands = threading.Event()
        self.let_go = threading.Event()

    def decode(self, state: toy.ToyState, slots: Tensor) -> Step:
        if self.hang.is_set():
            self.stands.set()
            self.let_go.wait(60)
        return super().decode(state, slots)


@pytest.fixture
def acoustic(monkeypatch: pytest.MonkeyPatch) -> Iterator[Stuck]:
    """What the engine hangs in; let go at the end. The server waits for nothing longer than a moment."""
    monkeypatch.setattr("rhapsode_server.main.AFTER_DRAIN_SECONDS", 0.1)
    made = Stuck()
    yield made
    made.let_go.set()


def toy_of(acoustic: Stuck) -> SpeechModel:
    return replace(toy.load(), acoustic=acoustic)


async def test_an_engine_that_hangs_is_seen_and_ends_the_server(acoustic: Stuck) -> None:
    async with house({"engine.hang_seconds": 0.5}, lambda: toy_of(acoustic), code=ENGINE_LOST) as running:
        assert await running.health("liveness") == "SERVING"
        acoustic.hang.set()
        watching = health_pb2_grpc.HealthStub(running.channel).Watch(
            health_pb2.HealthCheckRequest(service="liveness")
        )
        call = running.stub.Synthesize(synthesis_pb2.SynthesizeRequest(text=LONG))
        await call.read()
        assert (await watching.read()).status == health_pb2.HealthCheckResponse.SERVING
        assert (await watching.read()).status == health_pb2.HealthCheckResponse.NOT_SERVING
        assert await running.health("readiness") == "NOT_SERVING"
        with pytest.raises(grpc.aio.AioRpcError) as caught:
            await rest(call)
        assert caught.value.code() is grpc.StatusCode.UNAVAILABLE
    assert running.serving.stuck


async def test_asked_to_end_when_probes_have_been_told_it_drains_no_more(
    acoustic: Stuck, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As by the kubelet, which ends what has said that it does not live, and gives it little time."""

    async def follow(health: Health, silence: Callable[[], float], hang_seconds: float) -> None:
        """Tell the probes, and never come to the watchdog's own end."""
        await until(lambda: silence() >= hang_seconds)
        await health.set(alive=False)
        await asyncio.Event().wait()

    monkeypatch.setattr(Health, "follow", follow)
    settings = {"engine.hang_seconds": 0.5, "server.drain_seconds": FOREVER}
    async with house(settings, lambda: toy_of(acoustic), code=ENGINE_LOST) as running:
        call = running.stub.Synthesize(synthesis_pb2.SynthesizeRequest(text=LONG))
        await call.read()
        acoustic.hang.set()
        while await running.health("liveness") == "SERVING":
            pass
        running.serving.stop()
        with pytest.raises(grpc.aio.AioRpcError) as caught:
            await rest(call)
        assert caught.value.code() is grpc.StatusCode.UNAVAILABLE


async def test_an_engine_that_hangs_while_it_drains_ends_the_drain(acoustic: Stuck) -> None:
    settings = {"engine.hang_seconds": 0.5, "engine.max_ahead": 0.1, "server.drain_seconds": FOREVER}
    async with house(settings, lambda: toy_of(acoustic), code=ENGINE_LOST) as running:
        call = running.stub.Synthesize(synthesis_pb2.SynthesizeRequest(text=LONG))
        await call.read()
        running.serving.stop()
        acoustic.hang.set()
        with pytest.raises(grpc.aio.AioRpcError) as caught:
            await rest(call)
        assert caught.value.code() is grpc.StatusCode.UNAVAILABLE


async def test_an_engine_that_does_not_stop_is_lost_too(
    acoustic: Stuck, caplog: pytest.LogCaptureFixture
) -> None:
    """Nobody has waited long enough to call it hung, and its caller has left: still it does not end."""
    settings = {"engine.hang_seconds": FOREVER, "server.drain_seconds": 0.1}
    async with house(settings, lambda: toy_of(acoustic), code=ENGINE_LOST) as running:
        call = running.stub.Synthesize(synthesis_pb2.SynthesizeRequest(text=LONG))
        acoustic.hang.set()
        await until(acoustic.stands.is_set)
        call.cancel()
        running.serving.stop()
    assert "the engine makes no progress" in caplog.text
    assert running.serving.stuck
