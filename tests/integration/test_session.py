"""StreamSynthesize over real gRPC: text as it is written, interruption at any word, many contexts at once."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from typing import Any

import grpc
import pytest
from google.protobuf.duration_pb2 import Duration
from google.rpc.error_details_pb2 import ErrorInfo
from rhapsode.tts.v1 import service_pb2_grpc, session_pb2, synthesis_pb2

from tests.integration.conftest import House, house, until

TEXT = (
    "The kettle sings before the water boils. Seven red lanterns hang above the river, and nobody knows why."
)


class Talk:
    """One session from the client's side; keeps every event."""

    def __init__(self, call: Any) -> None:
        self.call = call
        self.events: list[session_pb2.StreamSynthesizeResponse] = []

    async def say(self, name: str = "", **command: Any) -> None:
        await self.call.write(session_pb2.StreamSynthesizeRequest(context_id=name, **command))

    async def start(self, name: str, **how: Any) -> None:
        await self.say(name, start_context=session_pb2.StartContext(**how))

    async def text(self, name: str, text: str) -> None:
        await self.say(name, text=session_pb2.TextInput(text=text))

    async def until(self, kind: str, name: str = "") -> Any:
        """The next event of that kind, about that context where one is named."""
        while True:
            event = await self.call.read()
            assert event is not grpc.aio.EOF, f"the session ended before {kind}: {await self.call.code()}"
            self.events.append(event)
            if event.WhichOneof("event") == kind and name in ("", event.context_id):
                return getattr(event, kind)

    async def rest(self) -> None:
        with suppress(grpc.aio.AioRpcError):  # the test asks for the code
            while (event := await self.call.read()) is not grpc.aio.EOF:
                self.events.append(event)

    def of(self, name: str, kind: str) -> list[Any]:
        return [
            getattr(event, kind)
            for event in self.events
            if event.context_id == name and event.WhichOneof("event") == kind
        ]

    def data(self, name: str) -> bytes:
        chunks = self.of(name, "audio")
        at = 0
        for number, chunk in enumerate(chunks):
            assert (chunk.seq, chunk.start_sample) == (number, at)
            assert chunk.data
            at += chunk.sample_count
        return b"".join(chunk.data for chunk in chunks)


@asynccontextmanager
async def talk(place: House, **config: Any) -> AsyncIterator[Talk]:
    async with grpc.aio.insecure_channel(place.target) as channel:
        call = service_pb2_grpc.SpeechSynthesisServiceStub(channel).StreamSynthesize()  # type: ignore[no-untyped-call]
        one = Talk(call)
        await one.say(session_config=session_pb2.SessionConfig(**config))
        yield one
        call.cancel()


async def test_the_session_says_what_it_may_do(toy_house: House) -> None:
    async with talk(toy_house, idle_timeout=Duration(seconds=5)) as one:
        started = await one.until("session_started")
    assert started.session_id
    assert started.limits.max_contexts == 16
    assert started.limits.idle_timeout.seconds == 5
    assert started.limits.max_ahead.seconds == 10


async def test_a_session_for_a_file_is_not_paced(toy_house: House) -> None:
    async with talk(toy_house, pace=synthesis_pb2.PACE_FASTEST, max_ahead=Duration(nanos=1)) as one:
        started = await one.until("session_started")
        await one.start("c")
        await one.text("c", TEXT)
        await one.say("c", end_context=session_pb2.EndContext())
        done = await one.until("context_done", "c")
    assert not started.limits.HasField("max_ahead")
    assert done.finish_reason == synthesis_pb2.FINISH_REASON_STOP


@pytest.mark.parametrize("size", [1, 3, 7, 1000])
async def test_any_split_of_the_text_gives_the_same_words(toy_house: House, size: int) -> None:
    async with talk(toy_house) as one:
        await one.start("c", seed=5)
        for at in range(0, len(TEXT), size):
            await one.text("c", TEXT[at : at + size])
        await one.say("c", end_context=session_pb2.EndContext())
        done = await one.until("context_done", "c")
    assert done.finish_reason == synthesis_pb2.FINISH_REASON_STOP
    assert done.usage.characters == len(TEXT)
    assert len(one.data("c")) == 2 * done.usage.delivered_samples
    words = [word for chunk in one.of("c", "audio") for word in chunk.words]
    assert " ".join(word.text for word in words) == TEXT.replace(",", "").replace(".", "")
    assert all(TEXT[word.char_start : word.char_end] == word.text for word in words)
    edges = [edge for word in words for edge in (word.start_sample, word.end_sample)]
    assert edges == sorted(edges)
    for chunk in one.of("c", "audio"):
        end = chunk.start_sample + chunk.sample_count
        assert all(chunk.start_sample <= word.start_sample < end for word in chunk.words)


async def test_sound_comes_before_the_text_has_ended(toy_house: House) -> None:
    async with talk(toy_house) as one:
        await one.start("c")
        await one.text("c", "Good morning, dear listener, here ")
        await one.until("audio", "c")
        await one.text("c", "I am.")
        await one.say("c", end_context=session_pb2.EndContext())
        assert (await one.until("context_done", "c")).finish_reason == synthesis_pb2.FINISH_REASON_STOP


async def test_a_flush_forces_and_is_answered_after_its_sound(toy_house: House) -> None:
    async with talk(toy_house, audio_format={"encoding": 1, "sample_rate_hz": 24000}) as one:
        await one.start("c")
        await one.text("c", "well then")
        await one.say("c", flush=session_pb2.Flush(flush_id="f1"))
        flushed = await one.until("flush_done", "c")
        given = sum(chunk.sample_count for chunk in one.of("c", "audio"))
        assert flushed.flush_id == "f1"
        assert 0 < flushed.end_sample <= given
        assert [w.text for chunk in one.of("c", "audio") for w in chunk.words] == ["well", "then"]
        await one.say("c", flush=session_pb2.Flush(flush_id="nothing new"))
        assert (await one.until("flush_done", "c")).flush_id == "nothing new"
        await one.text("c", " and more.")
        await one.say("c", end_context=session_pb2.EndContext())
        await one.until("context_done", "c")
    one.data("c")


async def test_an_interruption_tells_what_was_heard(toy_house: House) -> None:
    async with talk(toy_house) as one:
        await one.start("c")
        await one.text("c", TEXT)
        await one.say("c", end_context=session_pb2.EndContext())
        while sum(chunk.sample_count for chunk in one.of("c", "audio")) < 12_000:
            await one.until("audio", "c")
        third = [word for chunk in one.of("c", "audio") for word in chunk.words][2]
        await one.say("c", cancel=session_pb2.Cancel(playback_offset=third.start_sample + 1))
        told = await one.until("context_cancelled", "c")
        assert told.text_spoken == "The kettle sings"
        assert told.text_spoken + told.text_remaining == TEXT
        assert told.char_offset == len(told.text_spoken)
        assert told.end_sample == third.start_sample + 1
        assert told.usage.generated_samples >= told.usage.delivered_samples > 0
        before = len(one.events)
        await one.say(ping=session_pb2.Ping(nonce=7))
        assert (await one.until("pong")).nonce == 7
        assert not any(event.context_id == "c" for event in one.events[before:]), "nothing follows a cancel"
        await one.start("c")  # the name is free again
        await one.text("c", "Yes.")
        await one.say("c", end_context=session_pb2.EndContext())
        await one.until("context_done", "c")
    engine = toy_house.serving.engine
    assert engine is not None
    await until(lambda: engine.load().running == 0)


async def test_a_playback_report_is_what_was_heard(toy_house: House) -> None:
    async with talk(toy_house) as one:
        await one.start("c")
        await one.text("c", TEXT)
        await one.until("audio", "c")
        await one.say("c", playback_report=session_pb2.PlaybackReport(played_samples=100))
        await one.say(cancel=session_pb2.Cancel(all=True))
        told = await one.until("context_cancelled", "c")
    assert told.end_sample == 100
    assert told.text_spoken == "The"
    await until(lambda: any(report.unheard for report in toy_house.witness.reports))
    [given_up] = [report for report in toy_house.witness.reports if report.unheard]
    sent = sum(chunk.sample_count for chunk in one.of("c", "audio"))
    assert given_up.unheard >= sent - 100 > 0, "sent, and the listener had not come to it"


async def test_contexts_share_a_stream_and_one_that_fails_harms_no_other(toy_house: House) -> None:
    async with talk(toy_house) as one:
        await one.start("good")
        await one.start("bad", voice="nobody")
        await one.start("empty")
        await one.start("control")
        await one.text("control", "ring \x07 the bell")
        await one.say("empty", end_context=session_pb2.EndContext())
        await one.text("good", TEXT)
        await one.say("good", end_context=session_pb2.EndContext())
        await one.until("context_done", "good")
        await one.say("bad", text=session_pb2.TextInput(text="late"))
        await one.until("warning", "bad")
        await one.call.done_writing()
        await one.rest()
    errors = {name: one.of(name, "context_error") for name in ("bad", "empty", "control")}
    assert {name: error.code for name, (error,) in errors.items()} == {
        "bad": grpc.StatusCode.NOT_FOUND.value[0],
        "empty": grpc.StatusCode.INVALID_ARGUMENT.value[0],
        "control": grpc.StatusCode.INVALID_ARGUMENT.value[0],
    }
    info = ErrorInfo()
    assert errors["bad"][0].details[0].Unpack(info)
    assert info.reason == "VOICE_NOT_FOUND"
    assert await one.call.code() is grpc.StatusCode.OK


async def test_half_closing_ends_what_is_open(toy_house: House) -> None:
    async with talk(toy_house) as one:
        await one.start("c")
        await one.text("c", "one two three")
        await one.call.done_writing()
        await one.rest()
    assert one.of("c", "context_done")
    assert await one.call.code() is grpc.StatusCode.OK


async def test_speed_can_change_midway(toy_house: House) -> None:
    async with talk(toy_house) as one:
        await one.start("c")
        await one.text("c", "A first sentence that is long enough. ")
        await one.say("c", flush=session_pb2.Flush(flush_id="f"))
        slow = (await one.until("flush_done", "c")).end_sample
        await one.say("c", update_config=session_pb2.UpdateConfig(speed=2.0))
        await one.text("c", "A first sentence that is long enough. ")
        await one.say("c", end_context=session_pb2.EndContext())
        done = await one.until("context_done", "c")
    assert done.usage.delivered_samples - slow < 0.9 * slow


async def test_a_silent_client_is_told_and_let_go(toy_house: House) -> None:
    async with talk(toy_house, idle_timeout=Duration(nanos=50_000_000)) as one:
        await one.until("session_started")
        await one.rest()
        assert await one.call.code() is grpc.StatusCode.ABORTED
        assert "ping" in await one.call.details()


@pytest.mark.parametrize(
    ("command", "field"),
    [
        ({"session_config": {}}, "session_config"),
        ({}, "command"),
        ({"context_id": "a b", "start_context": {}}, "context_id"),
        ({"context_id": "", "text": {"text": "x"}}, "context_id"),
        ({"context_id": "x", "cancel": {"all": True}}, "cancel.all"),
    ],
)
async def test_a_command_that_no_client_should_send_ends_the_session(
    toy_house: House, command: dict[str, Any], field: str
) -> None:
    async with talk(toy_house) as one:
        await one.call.write(session_pb2.StreamSynthesizeRequest(**command))
        await one.rest()
        assert await one.call.code() is grpc.StatusCode.INVALID_ARGUMENT
        assert field in str(dict(await one.call.trailing_metadata())["grpc-status-details-bin"])


async def test_the_first_command_is_the_configuration(toy_house: House) -> None:
    async with grpc.aio.insecure_channel(toy_house.target) as channel:
        call = service_pb2_grpc.SpeechSynthesisServiceStub(channel).StreamSynthesize()  # type: ignore[no-untyped-call]
        await call.write(session_pb2.StreamSynthesizeRequest(ping=session_pb2.Ping(nonce=1)))
        with pytest.raises(grpc.aio.AioRpcError) as refused:
            await call.read()
        assert refused.value.code() is grpc.StatusCode.INVALID_ARGUMENT


async def test_a_client_that_leaves_gives_everything_back(toy_house: House) -> None:
    async with talk(toy_house) as one:
        for name in "abc":
            await one.start(name)
            await one.text(name, TEXT * 3)
        await one.until("audio")
    engine = toy_house.serving.engine
    assert engine is not None
    await until(lambda: engine.load().running == 0 and engine.load().waiting == 0)
    await until(lambda: toy_house.serving.gate.inside == 0)


async def test_a_drain_is_announced_and_cuts_no_context() -> None:
    async with house() as place, talk(place) as one:
        await one.start("c")
        await one.text("c", TEXT)
        await one.until("audio", "c")
        place.serving.stop()
        notice = await one.until("server_notice")
        assert notice.kind == session_pb2.SERVER_NOTICE_KIND_DRAINING
        await one.start("late")
        assert (await one.until("context_error", "late")).code == grpc.StatusCode.UNAVAILABLE.value[0]
        await one.say("c", end_context=session_pb2.EndContext())
        await one.rest()
        assert one.of("c", "context_done")[0].finish_reason == synthesis_pb2.FINISH_REASON_STOP
        assert await one.call.code() is grpc.StatusCode.OK
