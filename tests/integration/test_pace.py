"""Pace and admission in a session over real gRPC: pauses, reports, refusals that say when to come back."""

from __future__ import annotations

import asyncio
from typing import Any

import grpc
from google.protobuf.duration_pb2 import Duration
from google.rpc.error_details_pb2 import ErrorInfo, RetryInfo
from rhapsode.tts.v1 import session_pb2
from rhapsode_server.models import toy

from tests.integration.conftest import House, house, until
from tests.integration.test_session import Talk, talk

LONG = "abcdefgh " * 16
FRAME = toy.SAMPLES_PER_FRAME / toy.SAMPLE_RATE
IN_HAND = (16 + toy.CONTEXT + 2) * FRAME
"""A chunk, the look-ahead that it needs, and what the step that makes it decodes besides, in seconds."""
SOON = Duration(nanos=1_000_000)


async def speaking(one: Talk, name: str, text: str = LONG, **how: Any) -> None:
    await one.start(name, **how)
    await one.text(name, text)
    await one.say(name, end_context=session_pb2.EndContext())


async def report(one: Talk, name: str, played: int, paused: bool) -> None:
    told = session_pb2.PlaybackReport(played_samples=played, paused=paused)
    await one.say(name, playback_report=told)
    await one.say(ping=session_pb2.Ping(nonce=1))
    await one.until("pong")


def frames_of(place: House, number: int) -> int:
    """Frames that were decoded for one sequence."""
    return sum(number in step.members and step.decoded > 0 for step in place.witness.steps)


async def test_a_listener_who_stands_still_is_served_no_further() -> None:
    """Its reports say that nothing was played, so all that is made is `max_ahead` and the chunk in hand, and
    what it might have heard since its last report."""
    ahead, loop = 0.4, asyncio.get_running_loop()
    async with house({"engine.max_ahead": ahead}) as place, talk(place) as one:
        await speaking(one, "c")
        await one.until("audio", "c")
        number = max(n for step in place.witness.steps for n in step.members)
        began, unreported = loop.time(), 0.0
        while loop.time() < began + 2.0:
            asked = loop.time()
            await report(one, "c", 0, paused=False)
            await report(one, "c", 0, paused=False)
            unreported = max(unreported, loop.time() - asked)
        heard = sum(chunk.sample_count for chunk in one.of("c", "audio")) / toy.SAMPLE_RATE
        made = frames_of(place, number) * FRAME
        assert 0.4 <= heard <= made <= ahead + IN_HAND + unreported


async def test_a_paused_context_is_not_worked_on() -> None:
    async with house({"engine.slots": 2}, lambda: toy.load(step_seconds=0.002)) as place, talk(place) as one:
        await speaking(one, "c")
        await one.until("audio", "c")
        number = max(n for step in place.witness.steps for n in step.members)
        await report(one, "c", 0, paused=True)
        told = len(place.witness.steps)
        for _ in range(3):
            await place.speak("Somebody else, meanwhile.")
        steps = place.witness.steps[told:]
        assert len(steps) > 100
        assert sum(number in step.members for step in steps) <= 1, "only the step that was under way"
        await report(one, "c", 0, paused=False)
        assert (await one.until("context_done", "c")).finish_reason == 1


def refusal(error: Any) -> tuple[str, int]:
    """Reason and milliseconds to wait of a context_error."""
    info, retry = ErrorInfo(), RetryInfo()
    for detail in error.details:
        detail.Unpack(info)
        detail.Unpack(retry)
    return info.reason, retry.retry_delay.ToMilliseconds()


BUSY = {"engine.slots": 1, "engine.max_waiting": 4, "engine.max_ahead": 0.5}


async def test_max_ttfa_is_honoured_in_every_context_of_a_session() -> None:
    """Each is refused when it begins, where the server is full then."""
    async with house(BUSY, lambda: toy.load(step_seconds=0.002)) as place, talk(place) as one:
        await speaking(one, "first", "Hello there.", max_ttfa=Duration(seconds=20))
        await one.until("context_done", "first")
        await speaking(one, "holder")
        await one.until("audio", "holder")
        await one.start("second", max_ttfa=SOON)
        error = await one.until("context_error", "second")
        assert error.code == grpc.StatusCode.RESOURCE_EXHAUSTED.value[0]
        reason, wait = refusal(error)
        assert reason == "OVERLOADED"
        assert wait >= 100
        await speaking(one, "patient", "Hello again.", max_ttfa=Duration(seconds=3600))
        await one.until("context_started", "patient")


async def test_max_ttfa_counts_from_the_first_text_that_can_be_spoken() -> None:
    """A context that was opened while the server was idle is refused when its text comes to a full one."""
    async with house(BUSY, lambda: toy.load(step_seconds=0.002)) as place, talk(place) as one:
        await one.start("early", max_ttfa=SOON)
        await one.until("context_started", "early")
        await speaking(one, "holder")
        await one.until("audio", "holder")
        await one.text("early", "Now there is something to say.")
        await one.say("early", flush=session_pb2.Flush(flush_id="f"))
        reason, wait = refusal(await one.until("context_error", "early"))
        assert reason == "OVERLOADED"
        assert wait >= 100
        engine = place.serving.engine
        assert engine is not None
        assert engine.load()[1:3] == (1, 0), "nothing was queued for it"
        assert not one.of("holder", "context_error"), "the session and its other context go on"


async def test_a_full_server_tells_a_context_when_to_come_back() -> None:
    wanted = {"engine.slots": 1, "engine.max_waiting": 0, "engine.max_ahead": 0.5}
    async with house(wanted, lambda: toy.load(step_seconds=0.002)) as place, talk(place) as one:
        await speaking(one, "holder")
        await one.until("audio", "holder")
        await one.start("more")
        reason, wait = refusal(await one.until("context_error", "more"))
        assert (reason, wait >= 100) == ("OVERLOADED", True)
        await one.say("holder", cancel=session_pb2.Cancel())
        await one.until("context_cancelled", "holder")
        engine = place.serving.engine
        assert engine is not None
        await until(lambda: engine.load().running == 0)
        await speaking(one, "more", "Now there is room.")
        await one.until("context_done", "more")
