"""Both clients against a real connection: sound, errors, retries, cancelling, what goes with a call."""

from __future__ import annotations

import asyncio
import subprocess
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import grpc
import pytest
import rhapsode
from rhapsode import Tls, channel
from rhapsode.options import SpeechOptions
from rhapsode.speech import Stage, StageTime
from rhapsode.tts.v1 import audio_pb2, synthesis_pb2, voice_pb2

from tests.unit.client.fake import RATE, Fake, audio, done, refuse, serve, started, utterance

SOUND = b"\x01\x00" * 100 + b"\x02\x00" * 50


def hear(
    target: str, asynchronous: bool, text: str = "Hello", tls: Tls | bool = False, **options: Any
) -> tuple[Any, list[Any]]:
    """Speak with either client; the finished stream and its chunks."""
    if not asynchronous:
        with rhapsode.Client(target, tls=tls) as client, client.synthesize(text, **options) as stream:
            return stream, list(stream)

    async def run() -> tuple[Any, list[Any]]:
        async with (
            rhapsode.AsyncClient(target, tls=tls) as client,
            client.synthesize(text, **options) as stream,
        ):
            return stream, [chunk async for chunk in stream]

    return asyncio.run(run())


@pytest.fixture(params=[False, True], ids=["sync", "async"])
def asynchronous(request: pytest.FixtureRequest) -> bool:
    """Every test that asks for it runs with both clients."""
    return bool(request.param)


def test_sound_info_and_result(target: str, asynchronous: bool) -> None:
    stream, chunks = hear(target, asynchronous)
    assert b"".join(chunk.data for chunk in chunks) == SOUND
    assert [(c.start_sample, c.sample_count) for c in chunks] == [(0, 100), (100, 50)]
    assert stream.samples == 150
    info = stream.info
    assert (info.voice, info.model, info.request_id, info.seed) == ("ion", "ion-tiny", "r-1", 7)
    assert (info.encoding, info.sample_rate) == (rhapsode.Encoding.PCM_S16LE, RATE)
    assert info.queue_time == pytest.approx(0.002)
    assert info.estimated_first_audio == pytest.approx(0.09)
    assert stream.result.complete
    assert stream.result.usage == rhapsode.Usage(5, 150, 150, 3)
    assert stream.result.timings.decode == pytest.approx(0.1)
    assert stream.result.timings.total == pytest.approx(1.0)
    assert stream.result.stages[2] == StageTime(Stage.DECODE, 0, 0.015, 0.115, 0.1)
    assert stream.result.stages[-1].stage is Stage.UNKNOWN
    assert 0 < stream.first_audio_after <= stream.elapsed


def test_words_come_with_their_sound(fake: Fake, target: str, asynchronous: bool) -> None:
    word = audio_pb2.Word(text="Grüße", char_end=5, start_sample=3, end_sample=99, exact=True)

    def answer(*_: Any) -> Iterator[synthesis_pb2.SynthesizeResponse]:
        yield from (started(), audio(b"\0\0", 0, 0, words=(word,)), done(samples=1))

    fake.answer = answer
    _, chunks = hear(target, asynchronous)
    assert chunks[0].words == (rhapsode.Word("Grüße", 0, 5, 3, 99, exact=True),)


def test_every_option_reaches_the_server(fake: Fake, target: str, asynchronous: bool) -> None:
    options: SpeechOptions = {
        "voice": "ion",
        "format": "ogg_opus",
        "sample_rate": 48000,
        "speed": 1.25,
        "seed": 0,
        "language": "en-GB",
        "instruction": "calm",
        "temperature": 0.5,
        "top_k": 7,
        "top_p": 0.75,
        "repetition_penalty": 1.5,
        "priority": "low",
        "max_ttfa": 0.25,
        "request_id": "mine",
        "pace": "fastest",
    }
    assert options.keys() == SpeechOptions.__annotations__.keys()
    hear(target, asynchronous, "Grüße, 世界 🎻", **options)
    (sent,) = fake.requests
    assert (sent.text, sent.voice, sent.speed) == ("Grüße, 世界 🎻", "ion", 1.25)
    assert sent.audio_format.encoding == audio_pb2.AUDIO_ENCODING_OGG_OPUS
    assert sent.audio_format.sample_rate_hz == 48000
    assert sent.HasField("seed")
    assert (sent.seed, sent.language, sent.instruction, sent.request_id) == (0, "en-GB", "calm", "mine")
    drawn = sent.sampling
    assert (drawn.temperature, drawn.top_k, drawn.top_p, drawn.repetition_penalty) == (0.5, 7, 0.75, 1.5)
    assert sent.priority == synthesis_pb2.PRIORITY_LOW
    assert sent.max_ttfa.ToMilliseconds() == 250
    assert sent.pace == synthesis_pb2.PACE_FASTEST


def test_what_is_left_out_is_not_sent(fake: Fake, target: str, asynchronous: bool) -> None:
    hear(target, asynchronous)
    assert fake.requests == [synthesis_pb2.SynthesizeRequest(text="Hello")]


@pytest.mark.parametrize(
    ("options", "field"),
    [
        ({"format": "mp3"}, "format"),
        ({"priority": "urgent"}, "priority"),
        ({"pace": "slow"}, "pace"),
        ({"sample_rate": -1}, "sample_rate_hz"),
        ({"top_k": -1}, "top_k"),
        ({"voice": "\udc80"}, "voice"),
    ],
)
def test_what_cannot_be_sent_is_refused_by_name(nowhere: str, options: dict[str, Any], field: str) -> None:
    with rhapsode.Client(nowhere) as client, pytest.raises(rhapsode.InvalidRequest) as caught:
        client.synthesize("Hello", **options)
    assert caught.value.field == field
    assert caught.value.code == "INVALID_ARGUMENT"


def test_an_option_that_does_not_exist_is_a_mistake_of_the_program(nowhere: str) -> None:
    with rhapsode.Client(nowhere) as client, pytest.raises(TypeError, match="no such option: pitch"):
        client.synthesize("Hello", pitch=2)  # type: ignore[call-arg]


def test_an_error_carries_its_details(fake: Fake, target: str, asynchronous: bool) -> None:
    def answer(_request: Any, context: Any) -> Iterator[synthesis_pb2.SynthesizeResponse]:
        refuse(
            context,
            grpc.StatusCode.INVALID_ARGUMENT,
            "The text is empty. Send some.",
            reason="TEXT_REFUSED",
            field="text",
        )
        yield from ()

    fake.answer = answer
    with pytest.raises(rhapsode.InvalidRequest) as caught:
        hear(target, asynchronous)
    error = caught.value
    assert str(error) == "The text is empty. Send some."
    assert (error.code, error.reason, error.field) == ("INVALID_ARGUMENT", "TEXT_REFUSED", "text")
    assert error.request_id == "r-9"
    assert error.retry_after is None


def test_an_unknown_voice_names_those_there_are(fake: Fake, target: str, asynchronous: bool) -> None:
    def answer(_request: Any, context: Any) -> Iterator[synthesis_pb2.SynthesizeResponse]:
        known = {"voices": "ion,rhea"}
        refuse(context, grpc.StatusCode.NOT_FOUND, "No.", reason="VOICE_NOT_FOUND", metadata=known)
        yield from ()

    fake.answer = answer
    with pytest.raises(rhapsode.VoiceNotFound) as caught:
        hear(target, asynchronous)
    assert caught.value.voices == ("ion", "rhea")


def test_a_full_server_is_asked_again_when_it_says(fake: Fake, target: str, asynchronous: bool) -> None:
    """The server's pushback is obeyed: the second attempt comes, and not before."""
    attempts: list[float] = []

    def answer(request: Any, context: Any) -> Iterator[synthesis_pb2.SynthesizeResponse]:
        attempts.append(time.monotonic())
        if len(attempts) == 1:
            full = grpc.StatusCode.RESOURCE_EXHAUSTED
            refuse(context, full, "Full.", reason="OVERLOADED", retry_after=0.5)
        yield from utterance(SOUND)(request, context)

    fake.answer = answer
    _, chunks = hear(target, asynchronous)
    assert b"".join(chunk.data for chunk in chunks) == SOUND
    assert len(attempts) == 2
    assert attempts[1] - attempts[0] >= 0.5


def test_a_server_that_stays_full_is_asked_three_times(fake: Fake, target: str, asynchronous: bool) -> None:
    def answer(_request: Any, context: Any) -> Iterator[synthesis_pb2.SynthesizeResponse]:
        full = grpc.StatusCode.RESOURCE_EXHAUSTED
        refuse(context, full, "All 8 places are taken.", reason="OVERLOADED", retry_after=0.01)
        yield from ()

    fake.answer = answer
    with pytest.raises(rhapsode.Overloaded, match="All 8 places") as caught:
        hear(target, asynchronous)
    assert caught.value.retry_after == pytest.approx(0.01)
    assert len(fake.requests) == 3


def test_a_call_that_meets_a_goodbye_is_tried_again(fake: Fake, target: str, asynchronous: bool) -> None:
    """gRPC's server cancels, without a word, what arrives between its decision to end and its goodbye."""

    def answer(request: Any, context: Any) -> Iterator[synthesis_pb2.SynthesizeResponse]:
        if len(fake.requests) == 1:
            context.abort(grpc.StatusCode.CANCELLED, "CANCELLED")
        yield from utterance(SOUND)(request, context)

    fake.answer = answer
    _, chunks = hear(target, asynchronous)
    assert b"".join(chunk.data for chunk in chunks) == SOUND
    assert len(fake.requests) == 2


def test_nothing_is_tried_again_once_sound_came(fake: Fake, target: str, asynchronous: bool) -> None:
    def answer(_request: Any, context: Any) -> Iterator[synthesis_pb2.SynthesizeResponse]:
        yield from (started(), audio(b"\0\0", 0, 0))
        refuse(context, grpc.StatusCode.UNAVAILABLE, "Going away.", reason="ENGINE_STOPPED")

    fake.answer = answer
    with pytest.raises(rhapsode.Unavailable, match="Going away") as caught:
        hear(target, asynchronous)
    assert not isinstance(caught.value, rhapsode.ServerUnreachable)
    assert len(fake.requests) == 1


@pytest.mark.parametrize(
    "messages",
    [
        [started(), audio(b"\0\0" * 4, 0, 0), audio(b"\0\0" * 4, 5, 1), done()],
        [started(), audio(b"\0\0" * 4, 0, 0), audio(b"\0\0" * 4, 3, 1), done()],
        [started(), audio(b"\0\0" * 4, 0, 0), audio(b"\0\0" * 4, 4, 2), done()],
        [started(), audio(b"\0\0" * 4, 4, 0), done()],
        [audio(b"\0\0", 0, 0), done()],
        [started(), audio(b"\0\0", 0, 0)],
        [started(), done(), audio(b"\0\0", 0, 0)],
        [],
    ],
    ids=["gap", "overlap", "lost", "late start", "no start", "no end", "sound after the end", "nothing"],
)
def test_a_broken_stream_is_no_success(
    fake: Fake, target: str, asynchronous: bool, messages: list[synthesis_pb2.SynthesizeResponse]
) -> None:
    fake.answer = lambda *_: iter(messages)
    with pytest.raises(rhapsode.StreamBroken) as caught:
        hear(target, asynchronous)
    assert caught.value.code == "DATA_LOSS"


def test_an_event_from_the_future_is_no_error(fake: Fake, target: str, asynchronous: bool) -> None:
    newer = synthesis_pb2.SynthesizeResponse.FromString(b"\xaa\x06\x02\x08\x01")  # field 101, unknown here
    fake.answer = lambda *_: iter([started(), newer, audio(b"\0\0", 0, 0), done(99, samples=1)])
    stream, chunks = hear(target, asynchronous)
    assert len(chunks) == 1
    assert stream.result.finish_reason is rhapsode.FinishReason.UNKNOWN
    assert not stream.result.complete


def test_nobody_there_is_one_sentence(nowhere: str, asynchronous: bool) -> None:
    with pytest.raises(rhapsode.ServerUnreachable) as caught:
        hear(nowhere, asynchronous)
    said = str(caught.value)
    assert nowhere in said
    assert "connection was refused" in said
    assert "rhapsode serve" in said
    assert "\n" not in said


def test_a_server_that_dies_while_it_speaks(asynchronous: bool) -> None:
    fake = Fake()
    server, address = serve(fake)

    def answer(*_: Any) -> Iterator[synthesis_pb2.SynthesizeResponse]:
        yield from (started(), audio(b"\0\0", 0, 0))
        server.stop(0)
        fake.gone.wait(10)

    fake.answer = answer
    with pytest.raises(rhapsode.ServerUnreachable, match=r"connection to .* was lost"):
        hear(address, asynchronous)
    server.stop(0).wait()
    assert len(fake.requests) == 1


def test_tls_to_a_plain_server_says_so(target: str) -> None:
    with (
        rhapsode.Client(target, tls=True) as client,
        pytest.raises(rhapsode.ServerUnreachable, match="TLS failed"),
    ):
        client.voices()


def certificate(openssl: str, folder: Path) -> tuple[Path, Path]:
    """A key and a certificate for 127.0.0.1 that vouches for itself."""
    key, cert = folder / "key.pem", folder / "cert.pem"
    asked = ["req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes"]
    named = ["-days", "2", "-subj", "/CN=rhapsode", "-addext", "subjectAltName=IP:127.0.0.1"]
    command = [openssl, *asked, *named, "-keyout", str(key), "-out", str(cert)]
    subprocess.run(command, check=True, capture_output=True)
    return key, cert


def test_tls_both_ways(fake: Fake, tool: Callable[[str], str], tmp_path: Path, asynchronous: bool) -> None:
    """The client trusts the file it was given, shows its own certificate, and is refused without."""
    key, cert = certificate(tool("openssl"), tmp_path)
    pair = [(key.read_bytes(), cert.read_bytes())]
    secrets = grpc.ssl_server_credentials(pair, cert.read_bytes(), require_client_auth=True)
    server, address = serve(fake, secrets)
    try:
        tls = rhapsode.Tls(ca=cert, certificate=cert, key=key)
        assert hear(address, asynchronous, tls=tls)[0].result.complete
        for wrong in (rhapsode.Tls(ca=cert), True):
            with pytest.raises(rhapsode.ServerUnreachable):
                hear(address, asynchronous, tls=wrong)
    finally:
        server.stop(0).wait()


def test_a_missing_certificate_is_named(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError, match=r"none\.pem"):
        rhapsode.Client(tls=rhapsode.Tls(ca=tmp_path / "none.pem"))


def test_a_server_of_another_kind(asynchronous: bool) -> None:
    server = grpc.server(None)
    port = server.add_insecure_port("127.0.0.1:0")
    server.start()
    with pytest.raises(rhapsode.Unsupported, match="no Rhapsode server"):
        hear(f"127.0.0.1:{port}", asynchronous)
    server.stop(0).wait()


def test_a_deadline_that_passes(fake: Fake, target: str, asynchronous: bool) -> None:
    fake.answer = fake.endless
    with pytest.raises(rhapsode.DeadlineExceeded):
        hear(target, asynchronous, timeout=0.3)
    assert fake.gone.wait(5)


def test_cancel_frees_the_server_and_ends_reading(fake: Fake, target: str) -> None:
    fake.answer = fake.endless
    with rhapsode.Client(target) as client:
        stream = client.synthesize("Hello")
        assert next(stream).sample_count == 10
        stream.cancel()
        assert list(stream) == []
        assert stream.cancelled
        with pytest.raises(rhapsode.Cancelled):
            _ = stream.result
    assert fake.gone.wait(5)


async def test_cancel_frees_the_server_and_ends_reading_async(fake: Fake, target: str) -> None:
    fake.answer = fake.endless
    async with rhapsode.AsyncClient(target) as client:
        stream = client.synthesize("Hello")
        assert (await anext(stream)).sample_count == 10
        stream.cancel()
        assert [chunk async for chunk in stream] == []
        assert stream.cancelled
    assert await asyncio.to_thread(fake.gone.wait, 5)


async def test_cancelling_the_task_cancels_the_call(fake: Fake, target: str) -> None:
    fake.answer = fake.endless

    async def listen() -> None:
        async with client.synthesize("Hello") as stream:
            async for _ in stream:
                heard.set()

    heard = asyncio.Event()
    async with rhapsode.AsyncClient(target) as client:
        task = asyncio.create_task(listen())
        await heard.wait()
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task
        assert await asyncio.to_thread(fake.gone.wait, 5)


def test_leaving_early_cancels(fake: Fake, target: str) -> None:
    fake.answer = fake.endless
    with rhapsode.Client(target) as client:
        with client.synthesize("Hello") as stream:
            next(stream)
        assert fake.gone.wait(5)


def test_info_waits_and_loses_nothing(target: str) -> None:
    with rhapsode.Client(target) as client:
        stream = client.synthesize("Hello")
        assert stream.info.voice == "ion"
        assert stream.read() == SOUND


async def test_info_is_there_once_started(target: str) -> None:
    async with rhapsode.AsyncClient(target) as client:
        stream = client.synthesize("Hello")
        with pytest.raises(RuntimeError, match="wait for it first"):
            _ = stream.info
        assert (await stream.started()).voice == "ion"
        with pytest.raises(RuntimeError, match="read the stream to its end"):
            _ = stream.result
        assert await stream.read() == SOUND


async def test_save_async(target: str, tmp_path: Path) -> None:
    async with rhapsode.AsyncClient(target) as client:
        result = await client.synthesize("Hello").save(tmp_path / "a.pcm")
    assert result.complete
    assert (tmp_path / "a.pcm").read_bytes() == SOUND


async def test_a_file_is_written_as_fast_as_its_sound_can_be_made(
    fake: Fake, target: str, tmp_path: Path
) -> None:
    with rhapsode.Client(target) as client:
        client.synthesize_to_file("Hello", tmp_path / "a.pcm", voice="ion")
    async with rhapsode.AsyncClient(target) as other:
        result = await other.synthesize_to_file("Hello", tmp_path / "b", pace="playback", format="pcm_s16le")
    assert result.complete
    assert ((tmp_path / "a.pcm").read_bytes(), (tmp_path / "b").read_bytes()) == (SOUND, SOUND)
    first, second = fake.requests
    assert (first.pace, second.pace) == (synthesis_pb2.PACE_FASTEST, synthesis_pb2.PACE_PLAYBACK)
    assert (first.voice, first.audio_format.encoding) == ("ion", audio_pb2.AUDIO_ENCODING_PCM_S16LE)


def test_voices(fake: Fake, target: str, asynchronous: bool) -> None:
    fake.voices = [
        voice_pb2.Voice(name="ion", model="m", languages=["en"], sample_rate_hz=24000, is_default=True),
        voice_pb2.Voice(name="rhea", model="m", languages=["de"], labels={"style": "calm"}),
    ]

    async def run() -> list[rhapsode.Voice]:
        async with rhapsode.AsyncClient(target) as client:
            return await client.voices() + await client.voices("de")

    if asynchronous:
        found = asyncio.run(run())
    else:
        with rhapsode.Client(target) as client:
            found = client.voices() + client.voices("de")
    assert [voice.name for voice in found] == ["ion", "rhea", "rhea"]
    assert found[0] == rhapsode.Voice("ion", "m", ("en",), 24000, "", True, {})
    assert found[1].labels == {"style": "calm"}


def test_the_key_goes_with_every_call(fake: Fake, target: str) -> None:
    with rhapsode.Client(target, api_key=" s3cret\n") as client:
        client.voices()
        client.synthesize("Hello").read()
    assert [sent["authorization"] for sent in fake.metadata] == ["Bearer s3cret"] * 2
    assert fake.metadata[0]["user-agent"].startswith("rhapsode-python/")


@pytest.mark.parametrize("key", ["s3crét", "s3c\nret"])
@pytest.mark.parametrize("kind", [rhapsode.Client, rhapsode.AsyncClient])
def test_a_key_that_cannot_be_sent_is_not_shown(key: str, kind: type[rhapsode.Client]) -> None:
    with pytest.raises(rhapsode.Unauthenticated) as caught:
        kind(api_key=key)
    assert "s3c" not in str(caught.value)


def test_a_text_that_is_too_large(target: str, asynchronous: bool) -> None:
    with pytest.raises(rhapsode.InvalidRequest, match="too large"):
        hear(target, asynchronous, "x" * 5_000_000)


def test_the_callers_trace_goes_with_the_call(fake: Fake, target: str, asynchronous: bool) -> None:
    from opentelemetry import trace

    context = trace.SpanContext(0xABC, 0xDEF, is_remote=False, trace_flags=trace.TraceFlags(1))
    hear(target, asynchronous)
    with trace.use_span(trace.NonRecordingSpan(context)):
        hear(target, asynchronous)
    assert "traceparent" not in fake.metadata[0]
    assert fake.metadata[1]["traceparent"] == f"00-{0xABC:032x}-{0xDEF:016x}-01"


def test_no_proxy_stands_between_a_client_and_its_own_machine(
    target: str, asynchronous: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("http_proxy", "http://127.0.0.1:9")
    monkeypatch.setenv("https_proxy", "http://127.0.0.1:9")
    _, chunks = hear(target, asynchronous)
    assert chunks


@pytest.mark.parametrize(
    ("address", "here"),
    [
        ("localhost:1", True),
        ("LOCALHOST", True),
        ("127.0.0.5:50051", True),
        ("[::1]:50051", True),
        ("10.0.0.1:50051", False),
        ("tts.example:443", False),
        ("dns:///tts.example", False),
    ],
)
def test_which_targets_are_this_machine(address: str, here: bool) -> None:
    assert channel.is_here(address) is here
