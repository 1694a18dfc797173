"""R1, R2, R5, R10: many callers, too many, those who do not read, and those who have no time."""

from __future__ import annotations

import asyncio
import random
import time
from dataclasses import dataclass
from itertools import accumulate
from pathlib import Path
from typing import Any

import grpc
import pytest
from grpc_health.v1 import health_pb2, health_pb2_grpc
from rhapsode.tts.v1 import service_pb2_grpc, synthesis_pb2
from rhapsode_server.models import toy
from rhapsode_server.models.base import SpeechModel
from rhapsode_server.models.registry import usable_cores

from tests.integration.conftest import House, house, until
from tests.integration.test_refusals import details
from tests.reliability.conftest import Answer, Callers, asking, percentile
from tests.support.process import serving, settings

FRAME = toy.SAMPLES_PER_FRAME / toy.SAMPLE_RATE
WINDOW = 16 * FRAME
"""The longest window of the toy's sound, in seconds: what one chunk holds."""
IN_HAND = WINDOW + (toy.CONTEXT + 2) * FRAME
"""A chunk, the look-ahead that it needs, and what the step that makes it decodes besides."""


# ---- R1: many


async def test_r1_many_streams_all_end_well() -> None:
    """R1. Pass: no errors. Every stream is whole, and nothing is left of any."""
    async with house({"engine.slots": 64, "engine.max_waiting": 200}) as running:
        requests = asking(200, "A stream among many, as long as a word or two.")
        solo = [(await running.speak(requests[n].text, seed=n)).data for n in range(4)]
        spoken = await asyncio.gather(*(running.speak(each.text, seed=each.seed) for each in requests))
        assert all(one.done and one.done.finish_reason == 1 for one in spoken)
        assert [one.data for one in spoken[:4]] == solo
        assert {one.samples for one in spoken} == {spoken[0].samples}
        assert running.witness.failures == []
        assert running.serving.engine is not None
        await until(lambda: running.serving.gate.inside == 0)
        assert running.serving.engine.load()[1:3] == (0, 0)


@dataclass
class Crowd:
    """What callers who keep coming heard; times in seconds."""

    answers: list[Answer]

    @property
    def first(self) -> list[float]:
        return [answer.first for answer in self.answers if answer.first is not None]

    @property
    def gaps(self) -> list[float]:
        return [gap for answer in self.answers for gap in answer.gaps]


async def listening(target: str, count: int, seconds: float, text: str) -> Crowd:
    """`count` people for so long, each beginning at a moment of its own and again when all was played."""
    loop = asyncio.get_running_loop()
    until_ = loop.time() + seconds
    answers: list[Answer] = []
    chance = random.Random(1)
    own = (("grpc.use_local_subchannel_pool", 1),)
    channels = [grpc.aio.insecure_channel(target, own) for _ in range(2)]
    stubs = [service_pb2_grpc.SpeechSynthesisServiceStub(each) for each in channels]  # type: ignore[no-untyped-call]

    async def caller(number: int) -> None:
        await asyncio.sleep(chance.uniform(0, min(seconds / 2, 5)))
        while loop.time() < until_:
            began = loop.time()
            answers.append(await _listen(stubs[number % 2], text, number))
            played = began + (answers[-1].first or 0) + answers[-1].samples / toy.SAMPLE_RATE
            await asyncio.sleep(played - loop.time())

    await asyncio.gather(*(caller(number) for number in range(count)))
    for channel in channels:
        await channel.close()
    return Crowd(answers)


async def _listen(stub: Any, text: str, seed: int) -> Answer:
    loop = asyncio.get_running_loop()
    began, last, answer, gaps = loop.time(), 0.0, Answer(), []
    async for message in stub.Synthesize(synthesis_pb2.SynthesizeRequest(text=text, seed=seed)):
        now = loop.time()
        if message.HasField("audio"):
            answer.samples += message.audio.sample_count
            if answer.first is None:
                answer.first = now - began
            else:
                gaps.append(now - last)
            last = now
        answer.reason = message.done.finish_reason
    answer.gaps = tuple(gaps)
    return answer


STREAMS = min(200, 50 * usable_cores())
"""The server, which computes the toy's tones in Python, and all who listen share the machine's cores."""


@pytest.mark.slow
async def test_r1_two_hundred_streams_for_a_minute(
    tmp_path: Path, quiet: None, record_property: pytest.FixtureRequest
) -> None:
    """R1. Pass: 0 errors; first audio p99 < alone + 50 ms; gaps p99 < 2 chunks; CPU and RSS recorded."""
    wanted = settings(engine__slots=200, engine__max_ahead=1, model__options__step_seconds=0.01)
    text = "A stream among many, as long as a sentence is."
    with serving(tmp_path, *wanted, *settings(server__max_concurrent_streams=200)) as server:
        alone = await listening(server.target, 1, 10, text)
        rest = server.processor_seconds()
        crowd = await listening(server.target, STREAMS, 60, text)
        record_property("processor", (server.processor_seconds() - rest) / 65)  # type: ignore[operator]
        record_property("resident", server.resident())  # type: ignore[operator]
        assert all(answer.whole for answer in crowd.answers)
        assert percentile(crowd.gaps, 0.99) < 2 * WINDOW
        assert percentile(crowd.first, 0.99) < max(alone.first) + 0.05


# ---- R2: too many

SLOTS, QUEUE = 4, 4


def paced() -> SpeechModel:
    return toy.load(step_seconds=0.002)


async def overloaded(times: int, calls: int) -> tuple[list[Answer], list[str], House]:
    """`times` as many callers as there is room for, until they have made so many calls in all."""
    wanted = {"engine.slots": SLOTS, "engine.max_waiting": QUEUE, "engine.max_ahead": 0}
    async with house(wanted, paced) as running:
        await running.speak("One for the estimate.")
        callers = Callers(running.target, times * (SLOTS + QUEUE))
        load = asyncio.create_task(asyncio.to_thread(callers.all, asking(calls)))
        told = []
        while not load.done():
            told += [await running.health(name) for name in ("", "readiness", "liveness")]
            await asyncio.sleep(0.02)
        await asyncio.to_thread(callers.close)
        return await load, told, running


async def test_r2_overload_is_answered_and_health_is_well() -> None:
    """R2. Pass: at 5 x capacity what is refused is told when to come back, and health stays SERVING."""
    answers, told, running = await overloaded(5, 200)
    refused = [answer for answer in answers if answer.code is not grpc.StatusCode.OK]
    served = [answer for answer in answers if answer.code is grpc.StatusCode.OK]
    assert served
    assert refused
    assert all(answer.whole for answer in served)
    for answer in refused:
        assert answer.code is grpc.StatusCode.RESOURCE_EXHAUSTED
        assert int(dict(answer.trailing)["grpc-retry-pushback-ms"]) >= 100
        assert details(answer)["RetryInfo"].retry_delay.ToMilliseconds() >= 100
    assert set(told) == {"SERVING"}
    reports = [report for report in running.witness.reports if report.done.usage.frames]
    assert len(reports) == len(served) + 1 + 3, "no model work for the refused (1 estimate, 3 to warm up)"


def offered(target: str, rate: float, seconds: float) -> list[Answer]:
    """What became of calls that came at this rate, whether or not those before them had been answered."""
    callers, due = Callers(target, 64), time.monotonic()
    calls = []
    for number, request in enumerate(asking(round(rate * seconds))):
        time.sleep(max(0.0, due + number / rate - time.monotonic()))
        calls.append(callers.submit(number, request))
    answers = [call.result() for call in calls]
    callers.close()
    return answers


def first_audio(answers: list[Answer]) -> float:
    """Its p99 among those who were served."""
    return percentile([answer.first for answer in answers if answer.first is not None], 0.99)


@pytest.mark.slow
def test_r2_five_times_the_capacity(tmp_path: Path, quiet: None) -> None:
    """R2. Pass: accepted p99 of first audio <= 1.5 x that at capacity; refusals in < 20 ms; SERVING."""
    wanted = settings(engine__slots=SLOTS, engine__max_waiting=QUEUE, engine__max_ahead=0)
    with serving(tmp_path, *wanted, *settings(model__options__step_seconds=0.01)) as server:
        callers, room = Callers(server.target, SLOTS + QUEUE), asking(60)
        callers.all(room)
        began = time.monotonic()
        full = callers.all(room)
        capacity = len(full) / (time.monotonic() - began)
        callers.close()
        answers = offered(server.target, 5 * capacity, 20)
        with grpc.insecure_channel(server.target) as channel:
            health = health_pb2_grpc.HealthStub(channel).Check(health_pb2.HealthCheckRequest())
        assert health.status == health_pb2.HealthCheckResponse.SERVING
        refused = [answer.took for answer in answers if answer.code is grpc.StatusCode.RESOURCE_EXHAUSTED]
        assert len(refused) > len(answers) / 2
        assert percentile(refused, 0.95) < 0.02
        assert first_audio(answers) <= 1.5 * first_audio(full)


# ---- R5: who does not read

LONG = "abcdefgh " * 16
AHEAD = 0.5


def looked_ahead(running: House, number: int) -> float:
    """The most sound that was there before its listener could have heard it, by the engine's own clock."""
    steps = [step for step in running.witness.steps if number in step.members and step.decoded]
    began = next(step.ended for step in running.witness.steps if number in step.members and step.vocoded)
    made = accumulate(1 for _ in steps)
    return max(frames * FRAME - (step.ended - began) for frames, step in zip(made, steps, strict=True))


async def test_r5_who_never_reads_is_not_served_ahead() -> None:
    """R5. Pass: the engine looks ahead by at most `max_ahead` seconds of sound and the chunk in hand."""
    async with house({"engine.max_ahead": AHEAD, "engine.slots": 8}) as running:
        lazy = [running.stub.Synthesize(each) for each in asking(4, LONG)]
        for call in lazy:
            assert (await call.read()).HasField("started")
        engine = running.serving.engine
        assert engine is not None
        first = len(running.witness.sequences)
        await until(lambda: len(running.witness.sequences) >= first + 4)  # all are made, in their time
        numbers = [event.number for event in running.witness.sequences[first:]]
        assert len(numbers) == 4
        for number in numbers:
            assert looked_ahead(running, number) <= AHEAD + IN_HAND
        for call in lazy:
            call.cancel()


@pytest.mark.slow
def test_r5_the_server_does_not_grow_for_those_who_do_not_read(tmp_path: Path) -> None:
    """R5. Pass: resident memory is flat (10 MB for 50 callers who read nothing of 30 s each)."""
    wanted = settings(engine__max_ahead=1, server__max_concurrent_streams=100)
    with serving(tmp_path, *wanted) as server, grpc.insecure_channel(server.target) as channel:
        stub = service_pb2_grpc.SpeechSynthesisServiceStub(channel)  # type: ignore[no-untyped-call]
        assert list(stub.Synthesize(asking(1)[0]))
        calls = [stub.Synthesize(each) for each in asking(50, LONG * 4)]
        assert all(next(iter(call)).HasField("started") for call in calls)
        before = server.resident()
        time.sleep(30)  # what is tested is that nothing happens meanwhile
        assert server.resident() - before < 10_000_000
        for call in calls:
            call.cancel()


# ---- R10: who has no time


def soon(number: int) -> float:
    """Deadlines of 1 to 50 ms."""
    return (1 + number % 50) / 1000


async def stormed(calls: int) -> None:
    wanted = {"engine.slots": 2, "engine.max_waiting": 64}
    async with house(wanted, lambda: toy.load(step_seconds=0.005)) as running:
        requests = asking(calls)
        for number, request in enumerate(requests):
            request.request_id = f"storm.{number}"
        callers = Callers(running.target, 32)
        answers = await asyncio.to_thread(callers.all, requests, timeout=soon)
        await asyncio.to_thread(callers.close)
        assert {answer.code for answer in answers} <= {
            grpc.StatusCode.DEADLINE_EXCEEDED,
            grpc.StatusCode.RESOURCE_EXHAUSTED,
            grpc.StatusCode.OK,
        }
        engine = running.serving.engine
        assert engine is not None
        await until(lambda: engine.load()[1:3] == (0, 0) and running.serving.gate.inside == 0)
        late = [report for report in running.witness.reports if admitted_late(report)]
        assert late == [], f"{len(late)} were given a slot after their deadline"
        assert (await running.speak("Time enough.")).done is not None


def admitted_late(report: Any) -> bool:
    """Whether the engine began with an utterance after its caller's deadline."""
    if not report.request.request_id.startswith("storm."):
        return False
    deadline = report.started + soon(int(report.request.request_id[6:]))
    return any(piece.stamps.admitted and piece.stamps.admitted > deadline for piece in report.pieces)


async def test_r10_no_model_work_after_a_deadline() -> None:
    """R10. Pass: with deadlines of 1 to 50 ms nothing reaches the model after expiry; the queue empties."""
    await stormed(300)


@pytest.mark.slow
async def test_r10_a_thousand_calls_without_time() -> None:
    """R10. Pass: the same for 1,000 calls."""
    await stormed(1_000)
