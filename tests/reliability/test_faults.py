"""R12, R13: what breaks ends those it belongs to, and everybody else hears what they hear alone."""

from __future__ import annotations

import asyncio
import signal
import threading
import time
from pathlib import Path
from typing import Any

import grpc
import pytest
from grpc_health.v1 import health_pb2, health_pb2_grpc
from rhapsode.tts.v1 import synthesis_pb2
from rhapsode_server.models import toy
from rhapsode_server.models.base import SpeechModel

from tests.integration.conftest import House, house, until
from tests.reliability.conftest import Answer, Callers, asking
from tests.support.process import ServerProcess, serving, settings

TEXT = "The neighbours of a broken utterance hear their own words to the end."
ENGINE_LOST = 70
SERVING = health_pb2.HealthCheckResponse.SERVING
NOT_SERVING = health_pb2.HealthCheckResponse.NOT_SERVING


def breakable() -> SpeechModel:
    return toy.load(faults=True, step_seconds=0.001)


async def alone(running: House, count: int) -> list[bytes]:
    """What each of these requests sounds like when nobody else is there."""
    return [(await running.speak(TEXT, seed=seed)).data for seed in range(count)]


async def broken(running: House, voice: str) -> Answer:
    """A call that fails, by a blocking client."""
    [request] = asking(1, TEXT, voice=voice)
    callers = Callers(running.target, 1)
    try:
        return await asyncio.to_thread(callers.one, 0, request)
    finally:
        await asyncio.to_thread(callers.close)


@pytest.mark.parametrize(
    ("voice", "told"),
    [
        ("raises", "decode RuntimeError 1"),
        ("no-memory", "decode OutOfMemoryError 1"),
        ("not-finite", "decode NonFinite 1"),
    ],
)
async def test_r12_a_row_that_breaks_ends_alone(voice: str, told: str) -> None:
    """R12. Pass: the right request fails with the right code, others are bit-identical to their solo run."""
    async with house(model=breakable) as running:
        solo = await alone(running, 6)
        guilty = asyncio.create_task(broken(running, voice))
        crowd = await asyncio.gather(*(running.speak(TEXT, seed=seed) for seed in range(6)))
        answer = await guilty
        assert answer.code is grpc.StatusCode.INTERNAL
        assert answer.samples > 0, "it broke in the middle, after its first sound"
        assert "purpose" not in answer.words
        assert [spoken.data for spoken in crowd] == solo
        assert running.witness.failures == [told]
        assert await running.health("liveness") == "SERVING"
        engine = running.serving.engine
        assert engine is not None
        await until(lambda: engine.load().running == 0)


class Watching:
    """What a probe's Watch of one service hears."""

    def __init__(self, target: str, service: str) -> None:
        self.heard: list[tuple[float, int]] = []
        self._channel = grpc.insecure_channel(target)
        self._call = health_pb2_grpc.HealthStub(self._channel).Watch(
            health_pb2.HealthCheckRequest(service=service)
        )
        self._thread = threading.Thread(target=self._listen)
        self._thread.start()

    def _listen(self) -> None:
        try:
            for answer in self._call:
                self.heard.append((time.monotonic(), answer.status))
        except grpc.RpcError:  # the server has ended
            pass

    def end(self) -> list[tuple[float, int]]:
        self._call.cancel()
        self._thread.join()
        self._channel.close()
        return self.heard


def one_call(server: ServerProcess, voice: str) -> Answer:
    callers = Callers(server.target, 1)
    try:
        return callers.one(0, asking(1, TEXT, voice=voice)[0])
    finally:
        callers.close()


HANG = 1.0


def hung(folder: Path) -> tuple[list[tuple[float, int]], float, str]:
    """What the probes heard of a step that hangs, when it was asked for, and the log."""
    wanted = settings(model__options__faults="true", engine__hang_seconds=HANG)
    with serving(folder, *wanted) as server:
        watching = Watching(server.target, "liveness")
        began = time.monotonic()
        answer = one_call(server, "hangs")
        assert answer.code is grpc.StatusCode.UNAVAILABLE
        assert server.popen.wait() == ENGINE_LOST
        return watching.end(), began, server.said


def test_r12_a_step_that_hangs_trips_the_watchdog(tmp_path: Path) -> None:
    """R12. Pass: the watchdog acts, and the process exits non-zero. Stacks are shown before it ends."""
    heard, _, said = hung(tmp_path)
    assert [status for _, status in heard][:2] == [SERVING, NOT_SERVING]
    assert "no progress" in said
    assert "toy.py" in said, "where every thread stands, the one that hangs too"
    assert TEXT not in said


def test_r12_a_hung_server_that_is_told_to_end_says_that_it_hung(tmp_path: Path) -> None:
    """R12. Pass: code 70 with the stacks, at once, where SIGTERM comes before the watchdog's own end."""
    wanted = settings(model__options__faults="true", engine__hang_seconds=4, server__drain_seconds=3600)
    with serving(tmp_path, *wanted) as server:
        watching = Watching(server.target, "liveness")
        calling = threading.Thread(target=one_call, args=(server, "hangs"))
        calling.start()
        while [status for _, status in watching.heard][-1:] != [NOT_SERVING]:
            time.sleep(0.02)
        server.signal(signal.SIGTERM)
        assert server.popen.wait() == ENGINE_LOST
        watching.end()
        calling.join()
        assert server.said.count("no progress") == 1
        assert "toy.py" in server.said


@pytest.mark.slow
def test_r12_the_watchdog_acts_in_time(tmp_path: Path, quiet: None) -> None:
    """R12. Pass: the watchdog acts within 10 s of a step that hangs."""
    heard, began, _ = hung(tmp_path)
    acted = next(when for when, status in heard if status == NOT_SERVING)
    assert acted - began <= 10


def test_r12_a_lost_device_ends_the_process(tmp_path: Path) -> None:
    """R12. Pass: the process exits non-zero if its state is suspect; callers are told UNAVAILABLE."""
    with serving(tmp_path, *settings(model__options__faults="true")) as server:
        assert one_call(server, "device-lost").code is grpc.StatusCode.UNAVAILABLE
        assert server.popen.wait() == ENGINE_LOST
        assert "has died of DeviceLost" in server.said
        assert "purpose" not in server.said.partition(" ready: ")[2], "a foreign error's words stay inside"


def test_r12_faults_are_for_those_who_ask(caplog: pytest.LogCaptureFixture) -> None:
    """R12. Pass: only a server that was told to break has voices that break it, and it says so."""
    assert set(toy.load().voices) == set(toy.VOICES)
    assert not caplog.messages
    assert set(toy.load(faults=True).voices) == {*toy.VOICES, *toy.FAULTS}
    assert "any caller can break this server" in caplog.text


HOSTILE: list[dict[str, Any]] = [
    {"voice": "raises"},
    {"voice": "not-finite"},
    {"voice": "no-memory"},
    {"text": "x" * 400, "speed": 0.5},
    {"text": "\0"},
    {"text": "0" * 9000},
    {"voice": "../alto"},
    {"speed": float("inf")},
    {"text": "a", "seed": 2**64 - 1},
]


@pytest.mark.parametrize("slots", [3, 16])
async def test_r13_nobody_hears_his_neighbours(slots: int) -> None:
    """R13. Pass: each request gives identical samples alone and among hostile neighbours."""
    async with house({"engine.slots": slots, "engine.max_ahead": 0}, breakable) as running:
        solo = await alone(running, 8)
        callers = Callers(running.target, 12)
        requests = [
            synthesis_pb2.SynthesizeRequest(**{"text": TEXT, **HOSTILE[n % len(HOSTILE)]}) for n in range(36)
        ]
        hostile = asyncio.create_task(asyncio.to_thread(callers.all, requests, leave_after=4))
        heard: list[list[bytes]] = []
        while not hostile.done() or len(heard) < 3:
            crowd = await asyncio.gather(*(running.speak(TEXT, seed=seed) for seed in range(8)))
            heard.append([spoken.data for spoken in crowd])
        answers = await hostile
        await asyncio.to_thread(callers.close)
        assert all(each == solo for each in heard)
        assert {answer.code for answer in answers} >= {
            grpc.StatusCode.INVALID_ARGUMENT,
            grpc.StatusCode.NOT_FOUND,
        }
