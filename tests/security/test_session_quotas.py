"""Nobody takes more than his share by sessions: each open context is an utterance, until it has ended."""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import grpc
import pytest
from google.rpc.error_details_pb2 import ErrorInfo, RetryInfo
from rhapsode.tts.v1 import service_pb2_grpc, session_pb2
from rhapsode_server.models import toy

from tests.integration.conftest import House, house, until
from tests.integration.test_refusals import details
from tests.integration.test_session import Talk
from tests.integration.test_session_lives import lived
from tests.security.conftest import ALICE, BOB, Caller, bearer

EXHAUSTED = grpc.StatusCode.RESOURCE_EXHAUSTED
LONG = "a long text that goes on and on, " * 4
SLOW = {"engine.slots": 4, "engine.max_waiting": 0}


@asynccontextmanager
async def talk(place: House, key: str = ALICE) -> AsyncIterator[Talk]:
    """A session on a connection of its own."""
    options = (("grpc.use_local_subchannel_pool", 1),)
    async with grpc.aio.insecure_channel(place.target, options) as channel:
        stub = service_pb2_grpc.SpeechSynthesisServiceStub(channel)  # type: ignore[no-untyped-call]
        one = Talk(stub.StreamSynthesize(metadata=bearer(key)))
        await one.say(session_config=session_pb2.SessionConfig())
        yield one
        one.call.cancel()


async def speak(one: Talk, name: str, text: str = "Hello.", **how: Any) -> None:
    """A whole context."""
    await one.start(name, **how)
    await one.text(name, text)
    await one.say(name, end_context=session_pb2.EndContext())


async def fate(one: Talk, name: str) -> str:
    """How a context began: "context_started", or the reason of its refusal."""
    while True:
        if one.of(name, "context_started"):
            return "context_started"
        if errors := one.of(name, "context_error"):
            return reason(errors[0])
        event = await one.call.read()
        assert event is not grpc.aio.EOF
        one.events.append(event)


def reason(error: Any) -> str:
    """The stable word of a context's error."""
    found = ErrorInfo()
    assert any(detail.Unpack(found) for detail in error.details)
    return str(found.reason)


def pause() -> session_pb2.PlaybackReport:
    return session_pb2.PlaybackReport(paused=True)


def two(keys: Path, **more: object) -> dict[str, object]:
    """Two utterances at a time for each tenant."""
    return {"security.api_keys": keys, "quotas.concurrent_streams": 2, **more}


async def test_a_context_too_many_is_refused_with_the_time_to_come_back_and_the_session_goes_on(
    keys: Path,
) -> None:
    async with house(two(keys, **{"engine.max_ahead": 0.5})) as place, talk(place) as one:
        for name in ("a", "b"):
            await one.start(name)
            assert await fate(one, name) == "context_started"
        await one.start("c")
        error = await one.until("context_error", "c")
        wait = RetryInfo()
        assert error.code == EXHAUSTED.value[0]
        assert "as many utterances" in error.message
        assert reason(error) == "QUOTA_EXCEEDED"
        assert any(detail.Unpack(wait) for detail in error.details)
        assert wait.retry_delay.ToMilliseconds() > 0
        await one.say("a", end_context=session_pb2.EndContext())
        await one.say("b", cancel=session_pb2.Cancel())
        await one.until("context_cancelled", "b")
        await speak(one, "d")
        await one.until("context_done", "d")


async def test_who_opens_many_contexts_in_many_sessions_keeps_nobody_else_out(keys: Path) -> None:
    """32 contexts in two sessions have two of four slots; somebody else is heard, whose call may not wait."""
    async with house(two(keys, **SLOW), lambda: toy.load(step_seconds=0.005)) as place:
        bob = Caller(place.channel, bearer(BOB))
        async with talk(place) as first, talk(place) as second:
            names = [f"c{number}" for number in range(16)]
            for name in names:
                await asyncio.gather(speak(first, name, LONG), speak(second, name, LONG))
            fates = Counter([await fate(one, name) for name in names for one in (first, second)])
            assert fates == {"context_started": 2, "QUOTA_EXCEEDED": 30}
            assert [message.WhichOneof("event") for message in await bob.speak()][-1] == "done"


async def test_who_pauses_at_the_first_sound_keeps_its_own_share_and_no_more(keys: Path) -> None:
    settings = two(keys, **SLOW, **{"quotas.concurrent_streams": 1})
    async with house(settings) as place, talk(place) as one:
        for name in "abcd":
            await speak(one, name, LONG)
        await one.until("audio", "a")
        await one.say("a", playback_report=pause())
        assert [await fate(one, name) for name in "bcd"] == ["QUOTA_EXCEEDED"] * 3
        bob = Caller(place.channel, bearer(BOB))
        assert [message.WhichOneof("event") for message in await bob.speak()][-1] == "done"
        alice = Caller(place.channel, bearer(ALICE))
        with pytest.raises(grpc.aio.AioRpcError) as caught:
            await alice.speak()
        assert details(caught.value)["ErrorInfo"].reason == "QUOTA_EXCEEDED"


async def test_a_context_gives_its_share_back_however_it_ends(keys: Path) -> None:
    """One at a time: each is let in only where the one before it counts no more."""
    wanted = {
        "security.api_keys": keys,
        "quotas.concurrent_streams": 1,
        "engine.max_ahead": 0.5,
        "model.options.faults": True,
        "server.max_stream_seconds": 0.2,
    }
    async with house(wanted, lambda: toy.load(faults=True)) as place, talk(place) as one:
        for turn in range(3):
            await speak(one, f"done{turn}")
            await one.until("context_done")
            await speak(one, f"fails{turn}", LONG, voice="raises")
            assert (await one.until("context_error")).code == grpc.StatusCode.INTERNAL.value[0]
            await one.start(f"nobody{turn}", voice="nobody")
            assert (await one.until("context_error")).code == grpc.StatusCode.NOT_FOUND.value[0]
            await speak(one, f"empty{turn}", "...")
            assert (await one.until("context_error")).code == grpc.StatusCode.INVALID_ARGUMENT.value[0]
            await one.start(f"interrupted{turn}")
            await one.text(f"interrupted{turn}", LONG)
            await one.until("audio")
            await one.say(f"interrupted{turn}", cancel=session_pb2.Cancel())
            await one.start(f"cutoff{turn}")  # without waiting for the answer, as who interrupts does
            assert (await one.until("context_error")).code == grpc.StatusCode.DEADLINE_EXCEEDED.value[0]
            await one.start(f"all{turn}")
            await one.say(cancel=session_pb2.Cancel(all=True))
            await one.until("context_cancelled", f"all{turn}")


@pytest.mark.parametrize("seed", range(2))
async def test_whatever_is_said_in_sessions_nothing_is_held_when_they_have_ended(
    keys: Path, seed: int
) -> None:
    """As many as may be are let in again, and not one more."""
    async with house(two(keys, **{"quotas.concurrent_sessions": 4})) as place:
        lives = (asyncio.to_thread(lived, place.target, 4 * seed + n, bearer(ALICE)) for n in range(4))
        kinds = sum(await asyncio.gather(*lives), Counter())
        assert {"context_started", "context_cancelled", "context_error"} <= set(kinds)
        await until(lambda: not place.serving.gate.inside)
        async with talk(place) as one, talk(place) as other:
            for name, where in (("a", one), ("b", other)):
                await where.start(name)
                assert await fate(where, name) == "context_started"
            await one.start("c")
            assert await fate(one, "c") == "QUOTA_EXCEEDED"


@pytest.mark.parametrize("leaving", ["resets", "breaks the protocol", "says no more"])
async def test_a_session_takes_its_contexts_with_it(keys: Path, leaving: str) -> None:
    async with house(two(keys)) as place:
        async with talk(place) as one:
            for name in ("a", "b"):
                await one.start(name)
                await one.text(name, LONG)
                assert await fate(one, name) == "context_started"
            if leaving == "breaks the protocol":
                await one.start("a")
                await one.rest()
                assert await one.call.code() is grpc.StatusCode.INVALID_ARGUMENT
            elif leaving == "says no more":
                await one.call.done_writing()
                await one.rest()
                assert len(one.of("a", "context_done") + one.of("b", "context_done")) == 2
        await until(lambda: not place.serving.gate.inside)
        async with talk(place) as next_one:
            for name in ("a", "b"):
                await next_one.start(name)
                assert await fate(next_one, name) == "context_started"


async def test_open_sessions_have_a_bound_and_take_no_utterance(keys: Path) -> None:
    wanted = {"security.api_keys": keys, "quotas.concurrent_streams": 1}
    async with house({**wanted, "quotas.concurrent_sessions": 2}) as place:
        alice = Caller(place.channel, bearer(ALICE))
        async with talk(place) as one, talk(place) as other, talk(place, BOB) as bobs:
            for session in (one, other, bobs):
                await session.until("session_started")
            assert (await alice.speak())[-1].WhichOneof("event") == "done", "nothing is spoken in them"
            answer = await asyncio.to_thread(opened, place.target)
            assert answer.code() is EXHAUSTED
            assert details(answer)["ErrorInfo"].reason == "QUOTA_EXCEEDED"
            assert details(answer)["RetryInfo"].retry_delay.ToMilliseconds() > 0
        await until(lambda: not place.serving.gate.inside)
        async with talk(place) as one:
            await one.until("session_started")


def opened(target: str) -> Any:
    """The error of a session that is refused; by the blocking client."""
    config = session_pb2.StreamSynthesizeRequest(session_config=session_pb2.SessionConfig())
    with grpc.insecure_channel(target) as channel:
        stub = service_pb2_grpc.SpeechSynthesisServiceStub(channel)  # type: ignore[no-untyped-call]
        with pytest.raises(grpc.RpcError) as caught:
            list(stub.StreamSynthesize(iter([config]), metadata=bearer(ALICE), timeout=30))
    return caught.value
