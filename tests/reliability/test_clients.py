"""R3, R4, R15: callers who are killed, who freeze, who come and go by thousands or never say a whole word."""

from __future__ import annotations

import asyncio
import os
import signal
import socket
from collections import Counter
from collections.abc import Iterator
from contextlib import suppress

import pytest
from rhapsode.tts.v1 import synthesis_pb2
from rhapsode_server.core import FinishReason
from rhapsode_server.models import toy
from rhapsode_server.models.base import SpeechModel

from tests.integration.conftest import House, house, until
from tests.security.conftest import CERTIFICATES
from tests.support import http2
from tests.support.crowd import crowd

TEXT = "abcdefgh " * 16
"""One piece of 432 frames, 8.6 seconds of sound."""
REQUEST = synthesis_pb2.SynthesizeRequest(text=TEXT).SerializeToString()


def slow(step_seconds: float = 0.005) -> SpeechModel:
    return toy.load(step_seconds=step_seconds)


def steps_after_leaving(running: House) -> list[int]:
    """In how many steps each utterance still took part once its call had ended."""
    steps = running.witness.steps
    begun = {line["request_id"]: line["steps_so_far"] for line in running.access.lines}
    return [
        sum(piece.number in step.members for step in steps[begun[report.request.request_id] :])
        for report in running.witness.reports
        if report.request.request_id in begun
        for piece in report.pieces
    ]


def created_and_released(running: House) -> bool:
    """Every sequence that ever was has ended; they are numbered from 1."""
    numbers = [event.number for event in running.witness.sequences]
    return sorted(numbers) == list(range(1, len(numbers) + 1))


async def killed(count: int, step_seconds: float = 0.005) -> float:
    """Kill so many callers in the middle of their sound; seconds until the server had let go of all."""
    settings = {"engine.slots": count, "engine.max_ahead": 0.5}
    async with house(settings, lambda: slow(step_seconds)) as running:
        engine, loop = running.serving.engine, asyncio.get_running_loop()
        assert engine is not None
        running.access.also = lambda: {"steps_so_far": len(running.witness.steps)}
        async with crowd(running.serving.port, REQUEST, count) as callers:
            assert engine.load().running == count
            for number in callers:
                os.kill(number, signal.SIGKILL)
            began = loop.time()
            await until(lambda: engine.load().running == 0)
            took = loop.time() - began
        await until(lambda: len(running.witness.reports) >= count)
        reasons = Counter(report.done.reason for report in running.witness.reports)
        assert reasons[FinishReason.CANCELLED] == count
        after = steps_after_leaving(running)
        assert len(after) == count
        assert max(after) <= 1
        assert created_and_released(running)
        assert (await running.speak("Still here.")).done is not None
    return took


async def test_r3_callers_who_are_killed_hold_nothing() -> None:
    """R3. Pass: slots are free within one step, and whatever was created is released."""
    await killed(40)


@pytest.mark.slow
async def test_r3_two_hundred_callers_are_killed(quiet: None) -> None:
    """R3. Pass: slots are free within one step, none is active after 1 s, created = released."""
    assert await killed(200, 0.05) <= 1.0


KEEPALIVE = {"server.keepalive_time": 1, "server.keepalive_timeout": 1}


async def frozen() -> float:
    """Stop a caller without ending it; seconds until the server has dropped the call."""
    async with house({**KEEPALIVE, "engine.max_ahead": 0.1, "engine.slots": 1}, slow) as running:
        request = synthesis_pb2.SynthesizeRequest(text=TEXT * 8).SerializeToString()
        async with crowd(running.serving.port, request, 1) as [caller]:
            os.kill(caller, signal.SIGSTOP)
            began = asyncio.get_running_loop().time()
            line = await running.access.seen("CANCELLED")
            took = asyncio.get_running_loop().time() - began
            assert line["request_id"] == "caller-0"
        assert (await running.speak("The only slot is free.")).done is not None
    return took


async def test_r4_a_caller_who_freezes_is_dropped() -> None:
    """R4. Pass: a half-open connection is dropped by keepalive, long before its utterance ends."""
    await frozen()


@pytest.mark.slow
async def test_r4_a_caller_who_freezes_is_dropped_in_time(quiet: None) -> None:
    """R4. Pass: dropped within keepalive time + timeout (1 s + 1 s; 0.3 s for the timers' own grain)."""
    assert await frozen() <= 2.3


# ---- connections


def descriptors() -> int:
    return len(os.listdir("/proc/self/fd"))


async def churned(count: int) -> None:
    """Connect, say hello or only half of it, and leave, `count` times."""
    async with house() as running:
        assert (await running.speak("Before.")).done is not None
        before = descriptors()

        def come_and_go() -> None:
            for number in range(count):
                with socket.create_connection(("127.0.0.1", running.serving.port)) as raw:
                    hello = http2.PREFACE + http2.frame(http2.SETTINGS, 0, 0)
                    raw.sendall(hello[: number % (len(hello) + 1)])

        await asyncio.to_thread(come_and_go)
        await until(lambda: descriptors() <= before)
        assert (await running.speak("After.")).done is not None


async def test_r15_connections_that_come_and_go_leave_no_descriptor() -> None:
    """R15. Pass: no growth of file descriptors."""
    await churned(500)


@pytest.mark.slow
async def test_r15_five_thousand_connections_leave_no_descriptor() -> None:
    """R15. Pass: no growth of file descriptors over 5,000 connections."""
    await churned(5_000)


HELLO = http2.PREFACE + http2.frame(http2.SETTINGS, 0, 0)
HALF_WORDS = {
    "silence": b"",
    "half a preface": http2.PREFACE[:10],
    "half a frame": HELLO + http2.frame(http2.HEADERS, http2.END_HEADERS, 1, http2.headers())[:20],
    "headers without an end": HELLO + http2.frame(http2.HEADERS, 0, 1, http2.headers()),
}


def closed(raw: socket.socket) -> bool:
    """Whether the other side has hung up; reads away what it had said before."""
    raw.setblocking(False)
    with suppress(BlockingIOError):
        while raw.recv(1 << 16):
            pass
        return True
    return False


@pytest.fixture
def lingering() -> Iterator[list[socket.socket]]:
    """Connections that the test leaves open."""
    kept: list[socket.socket] = []
    yield kept
    for raw in kept:
        raw.close()


@pytest.mark.parametrize("said", HALF_WORDS)
async def test_r15_who_never_says_a_whole_word_is_let_go(said: str, lingering: list[socket.socket]) -> None:
    """R15. Pass: slow hellos and slow headers end by the handshake's time-out or by keepalive; no growth."""
    async with house({**KEEPALIVE, "server.handshake_timeout": 1}) as running:
        assert (await running.speak("Before.")).done is not None
        before = descriptors()
        for _ in range(20):
            lingering.append(socket.create_connection(("127.0.0.1", running.serving.port)))
            lingering[-1].sendall(HALF_WORDS[said])
        assert (await running.speak("Meanwhile.")).done is not None
        await until(lambda: all(closed(raw) for raw in lingering))
        await until(lambda: descriptors() <= before + len(lingering))
        assert (await running.speak("After.")).done is not None


async def test_r15_a_tls_handshake_that_stalls_is_let_go(lingering: list[socket.socket]) -> None:
    """R15. Pass: the handshake's time-out is ours (20 s unless set), not the default of 120."""
    tls = {
        "security.certificate": str(CERTIFICATES / "server.crt"),
        "security.private_key": str(CERTIFICATES / "server.key"),
        "server.handshake_timeout": 1,
    }
    async with house(tls) as running:
        assert running.serving.settings.server.model_fields_set >= {"handshake_timeout"}
        for _ in range(20):
            lingering.append(socket.create_connection(("127.0.0.1", running.serving.port)))
            lingering[-1].sendall(b"\x16\x03\x01\x02\x00\x01")  # the beginning of a ClientHello
        await until(lambda: all(closed(raw) for raw in lingering))


def test_r15_the_time_out_is_twenty_seconds() -> None:
    """R15. Pass: the handshake's time-out is lowered to 20 s."""
    from rhapsode_server.rpc.server import ConnectionLimits, options
    from rhapsode_server.settings import ServerSettings

    assert ServerSettings().handshake_timeout == 20
    assert ("grpc.server_handshake_timeout_ms", 20_000) in options(ConnectionLimits())
