"""A whole server in this process, on a port of the loopback interface, with the toy family's model.

What must not live here: a stand-in for anything of ours; only the observer listens in.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import AsyncIterator, Callable, Iterator, Mapping
from contextlib import asynccontextmanager, contextmanager
from dataclasses import dataclass, field
from typing import Any

import grpc
import pytest
from grpc_health.v1 import health_pb2, health_pb2_grpc
from rhapsode.tts.v1 import service_pb2_grpc, synthesis_pb2
from rhapsode_server.config import Settings
from rhapsode_server.config import load as load_settings
from rhapsode_server.engine.observer import SequenceEvent, StepEvent
from rhapsode_server.main import Serving
from rhapsode_server.models import toy
from rhapsode_server.models.base import SpeechModel
from rhapsode_server.synthesizer import Report
from rhapsode_server.telemetry.logging import TextLines
from rhapsode_server.telemetry.telemetry import Telemetry

SMALL: dict[str, object] = {"model.source": "toy", "model.threads": 1}
"""Two threads that wait for each other at every small product crawl where the tests share the machine."""


@dataclass
class Witness:
    """Remembers what the engine announced, on its thread, and the story of each utterance."""

    steps: list[StepEvent] = field(default_factory=list)
    sequences: list[SequenceEvent] = field(default_factory=list)
    failures: list[str] = field(default_factory=list)
    reports: list[Report] = field(default_factory=list)

    def step_done(self, event: StepEvent) -> None:
        self.steps.append(event)

    def sequence_finished(self, event: SequenceEvent) -> None:
        self.sequences.append(event)

    def step_failed(self, stage: str, error_type: str, sequences: int) -> None:
        self.failures.append(f"{stage} {error_type} {sequences}")

    def utterance_ended(self, report: Report) -> None:
        self.reports.append(report)


async def rest(call: Any) -> list[synthesis_pb2.SynthesizeResponse]:
    """Every message that is left of a call whose first ones were read."""
    messages = []
    while (message := await call.read()) is not grpc.aio.EOF:
        messages.append(message)
    return messages


async def until(true: Callable[[], bool]) -> None:
    """Wait for what another thread or task brings about; a test that hangs is ended by its time limit."""
    while not true():  # noqa: ASYNC110 - there is no event to wait for
        await asyncio.sleep(0.001)


class AccessLog(logging.Handler):
    """Lines of the access log, as they come and as they are written; `also` adds what is true just then."""

    def __init__(self) -> None:
        super().__init__()
        self.lines: list[dict[str, Any]] = []
        self.written: list[str] = []
        self.also: Callable[[], dict[str, Any]] = dict
        self._news = asyncio.Event()

    def emit(self, record: logging.LogRecord) -> None:
        line = record.__dict__ | record.__dict__.get("facts", {})
        self.written.append(TextLines().format(record))
        self.lines.append(line | self.also())
        self._news.set()

    async def seen(self, code: str) -> dict[str, Any]:
        """The first call that ended with this code; waits for it."""
        while True:
            self._news.clear()
            for line in self.lines:
                if line["code"] == code:
                    return line
            await self._news.wait()


@dataclass
class House:
    """A running server and a channel to it."""

    serving: Serving
    witness: Witness
    access: AccessLog
    channel: grpc.aio.Channel
    stub: Any

    @property
    def target(self) -> str:
        return f"127.0.0.1:{self.serving.port}"

    async def health(self, service: str = "", channel: grpc.aio.Channel | None = None) -> str:
        """What the probes are told."""
        stub = health_pb2_grpc.HealthStub(channel or self.channel)
        answer = await stub.Check(health_pb2.HealthCheckRequest(service=service))
        return str(health_pb2.HealthCheckResponse.ServingStatus.Name(answer.status))

    async def speak(self, text: str, **fields: Any) -> Utterance:
        """One call of Synthesize, read to its end."""
        spoken = Utterance()
        async for message in self.stub.Synthesize(synthesis_pb2.SynthesizeRequest(text=text, **fields)):
            spoken.add(message)
        return spoken


@dataclass
class Utterance:
    """What came of one call."""

    started: synthesis_pb2.SynthesisStarted | None = None
    audio: list[Any] = field(default_factory=list)
    done: synthesis_pb2.SynthesisDone | None = None

    def add(self, message: synthesis_pb2.SynthesizeResponse) -> None:
        kind = message.WhichOneof("event")
        if kind == "started":
            assert self.started is None
            assert not self.audio
            self.started = message.started
        elif kind == "audio":
            assert self.started is not None
            assert self.done is None
            self.audio.append(message.audio)
        else:
            assert self.done is None
            self.done = message.done

    @property
    def data(self) -> bytes:
        return b"".join(chunk.data for chunk in self.audio)

    @property
    def samples(self) -> int:
        return sum(chunk.sample_count for chunk in self.audio)


@asynccontextmanager
async def house(
    settings: Mapping[str, object] | None = None,
    model: Callable[[], SpeechModel] | None = None,
    code: int = 0,
) -> AsyncIterator[House]:
    """A server that is ready; at the end it has to end with this exit code."""
    wanted: Settings = load_settings(
        flags={"server.port": 0, "server.drain_seconds": 5, **SMALL, **(settings or {})},
        environ={},
    )
    witness = Witness()
    telemetry = Telemetry(None)
    telemetry.observer = telemetry.recorder = witness
    serving = Serving(wanted, telemetry, lambda _: (model or toy.load)())
    running = asyncio.create_task(serving.run())
    ready = asyncio.create_task(serving.ready.wait())
    await asyncio.wait([running, ready], return_when=asyncio.FIRST_COMPLETED)
    if running.done():
        ready.cancel()
        await running
    try:
        with access_log() as access:
            async with grpc.aio.insecure_channel(f"127.0.0.1:{serving.port}") as channel:
                stub = service_pb2_grpc.SpeechSynthesisServiceStub(channel)  # type: ignore[no-untyped-call]
                yield House(serving, witness, access, channel, stub)
    finally:  # gRPC crashes the interpreter when the loop of a server that still runs is closed
        serving.stop()
        ended = await running
    assert ended == code


@contextmanager
def access_log() -> Iterator[AccessLog]:
    """Listen to the access log."""
    logger, log = logging.getLogger("rhapsode_server.access"), AccessLog()
    before = logger.level
    logger.setLevel(logging.INFO)
    logger.addHandler(log)
    try:
        yield log
    finally:
        logger.removeHandler(log)
        logger.setLevel(before)


@pytest.fixture
async def toy_house() -> AsyncIterator[House]:
    """The toy family with the usual settings."""
    async with house() as running:
        yield running
