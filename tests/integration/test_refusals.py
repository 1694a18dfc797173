"""Every bad input gets the right status, details for programs and a sentence for people; never its text."""

from __future__ import annotations

import asyncio
from typing import Any

import grpc
import pytest
from google.protobuf.duration_pb2 import Duration
from google.rpc.error_details_pb2 import BadRequest, ErrorInfo, RequestInfo, RetryInfo
from google.rpc.status_pb2 import Status
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from rhapsode.tts.v1 import audio_pb2, service_pb2_grpc, synthesis_pb2, voice_pb2

from tests.integration.conftest import House, house

CANARY = "Xylophone quibble"
METHOD = "/rhapsode.tts.v1.SpeechSynthesisService/Synthesize"
INVALID = grpc.StatusCode.INVALID_ARGUMENT


def audio_format(**fields: Any) -> audio_pb2.AudioFormat:
    """Any numbers, also those that have no name."""
    return audio_pb2.AudioFormat(**fields)


CASES: dict[str, tuple[dict[str, Any], grpc.StatusCode, str, str, str]] = {
    "no text": ({"text": ""}, INVALID, "TEXT_REFUSED", "text", "at least one word"),
    "blanks": ({"text": " \n\t "}, INVALID, "TEXT_REFUSED", "text", "at least one word"),
    "too long": ({"text": "a " * 5001}, INVALID, "TEXT_REFUSED", "text", "10000"),
    "NUL": ({"text": f"{CANARY}\0"}, INVALID, "TEXT_REFUSED", "text", "U+0000"),
    "bell": ({"text": f"\a{CANARY}"}, INVALID, "TEXT_REFUSED", "text", "U+0007"),
    "nothing speakable": ({"text": "--- ... ***"}, INVALID, "TEXT_REFUSED", "text", "Send"),
    "voice": ({"voice": "nobody"}, grpc.StatusCode.NOT_FOUND, "VOICE_NOT_FOUND", "", "alto, bass"),
    "voice as path": ({"voice": "../a"}, grpc.StatusCode.NOT_FOUND, "VOICE_NOT_FOUND", "", "alto, bass"),
    "huge voice": ({"voice": "v" * 9999}, grpc.StatusCode.NOT_FOUND, "VOICE_NOT_FOUND", "", "alto, bass"),
    "encoding": (
        {"audio_format": audio_format(encoding=99)},
        *(INVALID, "FORMAT_UNSUPPORTED", "audio_format.encoding", "AUDIO_ENCODING_WAV"),
    ),
    "low rate": (
        {"audio_format": audio_format(sample_rate_hz=4000)},
        *(INVALID, "FORMAT_UNSUPPORTED", "audio_format.sample_rate_hz", "8000 to 48000"),
    ),
    "high rate": (
        {"audio_format": audio_format(sample_rate_hz=96_000)},
        *(INVALID, "FORMAT_UNSUPPORTED", "audio_format.sample_rate_hz", "8000 to 48000"),
    ),
    "rate of opus": (
        {"audio_format": audio_format(encoding=5, sample_rate_hz=44_100)},
        *(INVALID, "FORMAT_UNSUPPORTED", "audio_format.sample_rate_hz", "24000"),
    ),
    "slow": ({"speed": 0.1}, INVALID, "INVALID_REQUEST", "speed", "0.5 to 2 times"),
    "fast": ({"speed": 5.0}, INVALID, "INVALID_REQUEST", "speed", "0.5 to 2 times"),
    "backwards": ({"speed": -1.0}, INVALID, "INVALID_REQUEST", "speed", "0.5 to 2 times"),
    "no number": ({"speed": float("nan")}, INVALID, "INVALID_REQUEST", "speed", "0.5 to 2 times"),
    "language": ({"language": "de"}, INVALID, "INVALID_REQUEST", "language", "It speaks: en"),
    "no language": ({"language": "!!"}, INVALID, "INVALID_REQUEST", "language", "BCP 47"),
    "instruction": (
        {"instruction": "softly"},
        INVALID,
        "SETTING_UNSUPPORTED",
        "instruction",
        "no instruction",
    ),
    "sampling": (
        {"sampling": synthesis_pb2.SamplingParams(temperature=0.5)},
        *(INVALID, "SETTING_UNSUPPORTED", "sampling.temperature", "Leave it out"),
    ),
    "request id": ({"request_id": "a b"}, INVALID, "INVALID_REQUEST", "request_id", "1 to 128"),
    "long id": ({"request_id": "a" * 129}, INVALID, "INVALID_REQUEST", "request_id", "1 to 128"),
    "priority": ({"priority": 42}, INVALID, "INVALID_REQUEST", "priority", "42"),
    "patience of no sign": (
        {"max_ttfa": Duration(seconds=1, nanos=-1)},
        *(INVALID, "INVALID_REQUEST", "max_ttfa", "no valid google.protobuf.Duration"),
    ),
    "no patience": ({"max_ttfa": Duration()}, INVALID, "INVALID_REQUEST", "max_ttfa", "longer than 0"),
}


def details(error: grpc.aio.AioRpcError) -> dict[str, Any]:
    """The google.rpc details by their names."""
    trailing = dict(error.trailing_metadata())
    found: dict[str, Any] = {}
    for packed in Status.FromString(trailing["grpc-status-details-bin"]).details:
        for kind in (ErrorInfo, BadRequest, RetryInfo, RequestInfo):
            if packed.Is(kind.DESCRIPTOR):
                found[kind.__name__] = kind.FromString(packed.value)
    return found


async def refused(running: House, **fields: Any) -> grpc.aio.AioRpcError:
    with pytest.raises(grpc.aio.AioRpcError) as caught:
        await running.speak(**{"text": CANARY, **fields})
    return caught.value


@pytest.mark.parametrize("name", CASES)
async def test_it_is_refused_in_words_that_help(toy_house: House, name: str) -> None:
    fields, code, reason, field, words = CASES[name]
    error = await refused(toy_house, **fields)
    assert error.code() is code
    found = details(error)
    assert (found["ErrorInfo"].reason, found["ErrorInfo"].domain) == (reason, "rhapsode")
    violations = found["BadRequest"].field_violations if "BadRequest" in found else []
    assert [violation.field for violation in violations] == ([field] if field else [])
    assert words in error.details()
    assert len(error.details()) < 500
    assert CANARY not in str(error)
    assert dict(error.trailing_metadata())["x-request-id"] == found["RequestInfo"].request_id
    assert dict(error.initial_metadata()) == {}, "a client's retry policy is over once it has seen metadata"
    assert toy_house.witness.failures == []


@pytest.mark.parametrize("tag", ["!!", "e", "en_US", "en-", "english language", "-en", "en\n"])
async def test_a_list_for_what_is_no_language_is_refused(toy_house: House, tag: str) -> None:
    with pytest.raises(grpc.aio.AioRpcError) as caught:
        await toy_house.stub.ListVoices(voice_pb2.ListVoicesRequest(language=tag))
    assert caught.value.code() is INVALID
    assert "BCP 47" in caught.value.details()
    assert details(caught.value)["BadRequest"].field_violations[0].field == "language"


async def test_a_refusal_carries_the_callers_own_id(toy_house: House) -> None:
    error = await refused(toy_house, voice="nobody", request_id="my-id.7")
    assert details(error)["RequestInfo"].request_id == "my-id.7"


@given(data=st.binary(min_size=1, max_size=64))
@settings(max_examples=60, suppress_health_check=[HealthCheck.function_scoped_fixture])
async def test_bytes_that_are_no_message_are_refused(toy_house: House, data: bytes) -> None:
    try:
        synthesis_pb2.SynthesizeRequest.FromString(data)
    except Exception:  # noqa: BLE001 - whatever protobuf raises
        call = toy_house.channel.unary_stream(METHOD)(data)
        with pytest.raises(grpc.aio.AioRpcError) as caught:
            await call.read()
        assert caught.value.code() is INVALID
        assert "protobuf" in caught.value.details()
        assert "rror" not in caught.value.details()
        assert details(caught.value)["ErrorInfo"].reason == "INVALID_REQUEST"


async def test_text_that_is_not_utf8_is_refused(toy_house: House) -> None:
    with pytest.raises(grpc.aio.AioRpcError) as caught:
        await toy_house.channel.unary_stream(METHOD)(b"\x0a\x02\xff\xfe").read()
    assert caught.value.code() is INVALID


async def test_a_message_that_is_too_large_is_refused() -> None:
    async with house({"server.max_message_bytes": 2048}) as running:
        error = await refused(running, text="a" * 4000)
        assert error.code() is grpc.StatusCode.RESOURCE_EXHAUSTED
        assert (await running.speak("hello")).done is not None


async def test_what_nobody_foresaw_tells_an_id_and_nothing_else(
    toy_house: House, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    def broken(*_: object) -> None:
        raise KeyError(CANARY)

    monkeypatch.setattr("rhapsode_server.rpc.convert.request", broken)
    error = await refused(toy_house, request_id="r-broken")
    assert error.code() is grpc.StatusCode.INTERNAL
    assert "r-broken" in error.details()
    assert CANARY not in str(error)
    assert "KeyError" not in str(error)
    assert CANARY not in caplog.text
    assert any("KeyError" in line.message and "test_refusals.py" in line.message for line in caplog.records)


async def test_a_method_that_is_not_offered_says_so(toy_house: House) -> None:
    call = toy_house.channel.unary_unary("/rhapsode.tts.v1.SpeechSynthesisService/Sing")(b"")
    with pytest.raises(grpc.aio.AioRpcError) as caught:
        await call
    assert caught.value.code() is grpc.StatusCode.UNIMPLEMENTED


BUSY = {"engine.slots": 1, "engine.max_waiting": 0, "engine.max_ahead": 0.5}
LONG = "a long text that goes on and on, " * 4


async def test_overload_is_answered_with_the_time_to_come_back() -> None:
    async with house(BUSY) as running:
        first = running.stub.Synthesize(synthesis_pb2.SynthesizeRequest(text=LONG))
        await first.read()
        error = await refused(running)
        assert error.code() is grpc.StatusCode.RESOURCE_EXHAUSTED
        found = details(error)
        assert found["ErrorInfo"].reason == "OVERLOADED"
        wait = found["RetryInfo"].retry_delay.ToMilliseconds()
        assert wait >= 100
        assert abs(int(dict(error.trailing_metadata())["grpc-retry-pushback-ms"]) - wait) <= 1
        assert dict(error.initial_metadata()) == {}
        assert await running.health() == "SERVING"
        first.cancel()


async def test_a_stock_retry_policy_comes_back_as_it_was_told() -> None:
    """gRPC's own client, whose policy would retry at once, waits for the pushback and is then served."""
    policy = """{"methodConfig": [{"name": [{}], "retryPolicy": {"maxAttempts": 5, "initialBackoff": "0.001s",
        "maxBackoff": "0.001s", "backoffMultiplier": 1, "retryableStatusCodes": ["RESOURCE_EXHAUSTED"]}}]}"""
    async with house(BUSY) as running:
        first = running.stub.Synthesize(synthesis_pb2.SynthesizeRequest(text=LONG))
        await first.read()
        options = (("grpc.service_config", policy),)
        async with grpc.aio.insecure_channel(running.target, options) as channel:
            stub = service_pb2_grpc.SpeechSynthesisServiceStub(channel)  # type: ignore[no-untyped-call]
            second = stub.Synthesize(synthesis_pb2.SynthesizeRequest(text="hello"))
            reading = asyncio.ensure_future(second.read())
            await running.access.seen("RESOURCE_EXHAUSTED")
            first.cancel()
            message = await reading
        assert message.WhichOneof("event") == "started"
