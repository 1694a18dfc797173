"""A server's life: ports, loading, health, draining, an engine that dies. One that hangs: test_hanging.py."""

from __future__ import annotations

import asyncio
import gc
import logging
import signal
import socket
import subprocess
import sys
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import grpc
import pytest
import torch
from grpc_health.v1 import health_pb2, health_pb2_grpc
from rhapsode import AsyncClient
from rhapsode.tts.v1 import service_pb2_grpc, synthesis_pb2, voice_pb2
from rhapsode_server.config import load as load_settings
from rhapsode_server.main import ENGINE_LOST, NO_PORT, UNUSABLE, Serving, serve_command
from rhapsode_server.models import toy
from rhapsode_server.models.base import SpeechModel

from tests.integration.conftest import house, rest, until
from tests.integration.test_refusals import details

LONG = "Here is a sentence that is spoken slowly and to its end."


@pytest.fixture(autouse=True)
def _logging() -> Iterator[None]:
    """`serve_command` sends all lines to standard error; the next test has another one."""
    root = logging.getLogger()
    handlers, level = root.handlers[:], root.level
    yield
    root.handlers[:] = handlers
    root.setLevel(level)


def stub_of(channel: grpc.aio.Channel) -> Any:
    return service_pb2_grpc.SpeechSynthesisServiceStub(channel)  # type: ignore[no-untyped-call]


async def refusal(call: Any) -> tuple[grpc.StatusCode, str]:
    """Code and reason with which a call is refused."""
    with pytest.raises(grpc.aio.AioRpcError) as caught:
        await rest(call)
    return caught.value.code(), details(caught.value)["ErrorInfo"].reason


# ---- beginning


@pytest.fixture
def taken() -> Iterator[int]:
    """A port that somebody else listens on."""
    with socket.create_server(("127.0.0.1", 0)) as listener:
        yield listener.getsockname()[1]


def test_a_port_in_use_is_told_with_the_way_out(taken: int, capfd: pytest.CaptureFixture[str]) -> None:
    assert serve_command(["--model", "toy", "--port", str(taken)]) == NO_PORT
    said = capfd.readouterr().err.splitlines()[-1]
    assert said == (
        f"rhapsode serve: Port {taken} of 127.0.0.1 is in use by another program. Choose another with"
        " --port, or stop what uses it."
    )


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["--set", "server.prot=1"], "'server.port'"),
        (["--port", "70000"], "65535"),
        (["--config", "/nowhere/x.toml"], "No such file"),
        (["--model", "nonesuch", "--port", "0"], "model.family"),
        (["--model", "", "--port", "0"], "model.source is empty. Name the folder"),
        (["--model", "/nowhere/ion", "--port", "0"], "/nowhere/ion"),
        (["--model", "toy", "--port", "0", "--set", "model.options.loud=1"], "no option 'loud'"),
        (["--model", "toy", "--port", "0", "--device", "cuda:99"], "model.device"),
        (["--model", "toy", "--port", "0", "--host", "host.invalid"], "no host"),
    ],
)
def test_what_cannot_be_served_is_one_sentence(
    arguments: list[str], words: str, capfd: pytest.CaptureFixture[str]
) -> None:
    assert serve_command(arguments) in (UNUSABLE, NO_PORT)
    said = capfd.readouterr().err
    assert "Traceback" not in said
    last = said.splitlines()[-1]
    assert last.startswith("rhapsode serve: ")
    assert words in last


@pytest.mark.parametrize("slots", ["2", "4096"])
def test_slots_without_memory_are_one_sentence(
    slots: str, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr("rhapsode_server.engine.memory.available", lambda: 10)
    assert serve_command(["--model", "toy", "--port", "0", "--slots", slots]) == UNUSABLE
    said = capfd.readouterr().err
    assert "Traceback" not in said
    assert "never retrieved" not in said
    last = said.splitlines()[-1]
    assert last.startswith(f"rhapsode serve: There is no memory for {slots} utterances at a time")


def test_a_device_too_small_for_the_model_is_one_sentence(
    monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    def load(*_: object, **__: object) -> SpeechModel:
        raise torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 2.00 GiB.")

    monkeypatch.setattr("rhapsode_server.models.registry.load", load)
    assert serve_command(["--model", "toy", "--port", "0", "--device", "cpu"]) == UNUSABLE
    assert "The memory of cpu does not hold 'toy'. Choose a smaller model" in capfd.readouterr().err


def test_help_is_no_error(capsys: pytest.CaptureFixture[str]) -> None:
    assert serve_command(["--help"]) == 0
    assert "--port" in capsys.readouterr().out


async def test_probes_are_answered_while_the_model_loads() -> None:
    go_on = threading.Event()

    def load(_: object) -> SpeechModel:
        assert go_on.wait(30)
        return toy.load()

    settings = load_settings(flags={"server.port": 0, "server.health_port": 0}, environ={})
    serving = Serving(settings, load=load)
    running = asyncio.create_task(serving.run())
    await until(lambda: serving.health_port is not None)
    async with (
        grpc.aio.insecure_channel(f"127.0.0.1:{serving.port}") as channel,
        grpc.aio.insecure_channel(f"127.0.0.1:{serving.health_port}") as probes,
    ):
        health = health_pb2_grpc.HealthStub(probes)

        async def told(service: str) -> int:
            answer = await health.Check(health_pb2.HealthCheckRequest(service=service), wait_for_ready=True)
            return int(answer.status)

        serving_, not_serving = (
            health_pb2.HealthCheckResponse.SERVING,
            health_pb2.HealthCheckResponse.NOT_SERVING,
        )
        assert [await told(name) for name in ("liveness", "readiness", "")] == [
            serving_,
            not_serving,
            not_serving,
        ]
        call = stub_of(channel).Synthesize(
            synthesis_pb2.SynthesizeRequest(text="Hello."), wait_for_ready=True
        )
        assert await refusal(call) == (grpc.StatusCode.UNAVAILABLE, "NOT_READY")
        watching = health.Watch(health_pb2.HealthCheckRequest(service="readiness"))
        assert (await watching.read()).status == not_serving
        go_on.set()
        assert (await watching.read()).status == serving_
        for name in ("", "liveness", "readiness", "rhapsode.tts.v1.SpeechSynthesisService"):
            assert await told(name) == serving_
        with pytest.raises(grpc.aio.AioRpcError) as caught:
            await told("nonesuch")
        assert caught.value.code() is grpc.StatusCode.NOT_FOUND
        watching.cancel()
    serving.stop()
    assert await running == 0


async def test_what_was_loaded_is_not_walked_by_the_garbage_collector() -> None:
    """A full collection over torch and the model keeps all callers waiting for up to 100 ms."""
    gc.unfreeze()
    async with house():
        assert gc.get_freeze_count() > 100_000
        assert gc.isenabled()
    gc.unfreeze()


async def test_a_server_can_be_stopped_while_it_loads() -> None:
    go_on = threading.Event()

    def load(_: object) -> SpeechModel:
        assert go_on.wait(30)
        return toy.load()

    serving = Serving(load_settings(flags={"server.port": 0}, environ={}), load=load)
    running = asyncio.create_task(serving.run())
    await until(lambda: serving.stuck)
    serving.stop()
    assert await running == 0
    go_on.set()


async def test_reflection_is_there_where_it_is_wanted() -> None:
    method = "/grpc.reflection.v1alpha.ServerReflection/ServerReflectionInfo"
    ask = b"\x3a\x01*"  # ServerReflectionRequest(list_services="*")
    async with house({"server.reflection": True}) as running:
        answer = await running.channel.unary_stream(method)(ask).read()
        assert b"rhapsode.tts.v1.SpeechSynthesisService" in answer


# ---- end


async def test_a_drain_lets_what_runs_finish_and_nothing_new_in() -> None:
    settings = {"engine.max_ahead": 0.3, "server.drain_seconds": 30, "server.health_port": 0}
    async with house(settings, lambda: toy.load(step_seconds=0.005)) as running:
        call = running.stub.Synthesize(synthesis_pb2.SynthesizeRequest(text=LONG))
        await call.read()
        await call.read()
        running.serving.stop()
        await until(lambda: running.serving.gate.closed)
        with pytest.raises(grpc.aio.AioRpcError) as late:
            await running.stub.ListVoices(voice_pb2.ListVoicesRequest())
        assert late.value.code() is grpc.StatusCode.UNAVAILABLE
        async with grpc.aio.insecure_channel(f"127.0.0.1:{running.serving.health_port}") as probes:
            told = [await running.health(name, probes) for name in ("", "readiness", "liveness")]
        assert told == ["NOT_SERVING", "NOT_SERVING", "SERVING"]
        messages = await rest(call)
        assert messages[-1].done.finish_reason == synthesis_pb2.FINISH_REASON_STOP


async def test_clients_leave_a_server_that_drains_before_it_has_ended() -> None:
    """Two servers: calls that come while one drains all find the other, and what runs is heard to its end."""
    settings = {"engine.max_ahead": 0.3, "server.drain_seconds": 30}
    async with (
        house(settings, lambda: toy.load(step_seconds=0.02)) as going,
        house(settings) as staying,
        AsyncClient(f"ipv4:{going.target},{staying.target}") as client,
    ):
        running = going.stub.Synthesize(synthesis_pb2.SynthesizeRequest(text=LONG))
        await running.read()
        await asyncio.gather(*(client.voices() for _ in range(8)))  # so that both are connected
        going.serving.stop()
        await until(lambda: going.serving.gate.closed)
        served = len(staying.witness.sequences)
        sounds = await asyncio.gather(*(client.synthesize("abcde").read() for _ in range(8)))
        assert all(sounds)
        assert len(staying.witness.sequences) == served + 8
        messages = await rest(running)
        assert messages[-1].done.finish_reason == synthesis_pb2.FINISH_REASON_STOP


async def test_a_drain_is_not_paced() -> None:
    """27 seconds of sound, of which 0.3 may run ahead of the listener, are there within a grace of 20."""
    async with house({"engine.max_ahead": 0.3, "server.drain_seconds": 20}) as running:
        call = running.stub.Synthesize(synthesis_pb2.SynthesizeRequest(text=LONG * 8))
        await call.read()
        await call.read()
        running.serving.stop()
        messages = await rest(call)
        assert messages[-1].done.finish_reason == synthesis_pb2.FINISH_REASON_STOP
        assert messages[-1].done.usage.delivered_samples > 25 * toy.SAMPLE_RATE


async def test_what_does_not_finish_in_time_is_told_so() -> None:
    settings = {"engine.max_ahead": 0.1, "server.drain_seconds": 0.1}
    async with house(settings, lambda: toy.load(step_seconds=0.01)) as running:
        call = running.stub.Synthesize(synthesis_pb2.SynthesizeRequest(text=LONG))
        await call.read()
        running.serving.stop()
        assert await refusal(call) == (grpc.StatusCode.UNAVAILABLE, "ENGINE_STOPPED")


async def test_an_engine_that_dies_ends_every_call_and_the_server(monkeypatch: pytest.MonkeyPatch) -> None:
    async with house(code=ENGINE_LOST) as running:
        assert running.serving.engine is not None

        def dies(*_: object) -> None:
            raise RuntimeError("a secret of the device")

        call = running.stub.Synthesize(synthesis_pb2.SynthesizeRequest(text=LONG))
        monkeypatch.setattr(running.serving.engine._worker.scheduler, "advance", dies)
        assert await refusal(call) == (grpc.StatusCode.UNAVAILABLE, "ENGINE_STOPPED")


SERVE = """
import sys
from rhapsode_server.main import serve_command
sys.exit(serve_command(sys.argv[1:]))
"""


@pytest.mark.slow
@pytest.mark.parametrize(("signals", "code"), [(1, 0), (2, 128 + signal.SIGTERM)])
async def test_signals_of_a_real_process(tmp_path: Path, signals: int, code: int) -> None:
    """One SIGTERM: the stream that runs is finished, then 0. A second one: at once."""
    log = tmp_path / "log"
    with socket.create_server(("127.0.0.1", 0)) as listener:
        port = listener.getsockname()[1]
    arguments = ["--model", "toy", "--port", str(port), "--set", "engine.max_ahead=0.2"]
    with log.open("w") as written:
        server = await asyncio.create_subprocess_exec(
            *(sys.executable, "-c", SERVE, *arguments), stderr=written, stdout=subprocess.DEVNULL
        )
    try:
        await until(lambda: "ready" in log.read_text() or server.returncode is not None)
        async with grpc.aio.insecure_channel(f"127.0.0.1:{port}") as channel:
            call = stub_of(channel).Synthesize(synthesis_pb2.SynthesizeRequest(text=LONG))
            await call.read()
            server.send_signal(signal.SIGTERM)
            if signals == 1:
                assert (await rest(call))[-1].done.finish_reason == synthesis_pb2.FINISH_REASON_STOP
            else:
                await until(lambda: "SIGTERM" in log.read_text())
                server.send_signal(signal.SIGTERM)
        assert await server.wait() == code
        assert "Traceback" not in log.read_text()
    finally:
        if server.returncode is None:
            server.kill()
            await server.wait()
