"""What was said, how it sounds, who said it and with which key: nowhere but in the answer itself."""

from __future__ import annotations

import asyncio
import base64
import io
import urllib.request
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import grpc
import pytest
from rhapsode.tts.v1 import session_pb2, synthesis_pb2, voice_pb2

from tests.integration.collector import collecting
from tests.integration.test_telemetry import Running, clean, exporting, log
from tests.security.conftest import Caller, bearer

__all__ = ["clean", "log"]  # fixtures

WORDS = ("quagmire", "zephyrs", "flummox")
TEXT = "Quagmire zephyrs flummox the judges, twice."
TENANT, KEY, WRONG = "wombat-industries", "sesame-open-0123456789", "sesame-shut-0123456789"

pytestmark = pytest.mark.filterwarnings("ignore::ResourceWarning:opentelemetry.*")


@pytest.fixture
def keys(tmp_path: Path) -> Path:
    """One tenant's key."""
    path = tmp_path / "api-keys"
    path.write_text(f"{TENANT}:{KEY}\n")
    return path


def shapes(sound: bytes) -> Iterator[str]:
    """How bytes may look in text: a loud stretch of them as hexadecimal, in base64, and as repr shows it."""
    middle = len(sound) // 2
    part = sound[middle - middle % 3 : middle - middle % 3 + 24]
    assert len(set(part)) > 8, "silence would prove nothing"
    yield from (part.hex(), base64.b64encode(part).decode(), repr(part)[2:-1], str(list(part))[1:-1])


async def everything_that_can_be_said(running: Running) -> tuple[bytes, str]:
    """Calls of all kinds, good and bad: the sound they gave, and every error they ended with."""
    channel = grpc.aio.insecure_channel(f"127.0.0.1:{running.serving.port}")
    async with channel:
        caller = Caller(channel, bearer(KEY))
        sound = b"".join(message.audio.data for message in await caller.speak(TEXT))
        errors = [await failure(caller, TEXT + "\0"), await failure(caller, TEXT * 300)]
        errors += [await failure(caller, TEXT, **{field: TEXT}) for field in ("instruction", "language")]
        errors += [await failure(Caller(channel, bearer(WRONG)), TEXT)]
        errors += [await failure(Caller(channel, (("authorization", f"Basic {KEY}"),)), TEXT)]
        errors += [await failure(Caller(channel, bearer(KEY) + bearer(WRONG)), TEXT)]
        errors += [await broken(channel)]
        sound += await session(caller)
        await caller.stub.ListVoices(voice_pb2.ListVoicesRequest(), metadata=caller.metadata)
        left = caller.stub.Synthesize(synthesis_pb2.SynthesizeRequest(text=TEXT), metadata=caller.metadata)
        await left.read()
        left.cancel()
    return sound, "\n".join(errors)


async def failure(caller: Caller, text: str, **fields: Any) -> str:
    with pytest.raises(grpc.aio.AioRpcError) as caught:
        await caller.speak(text, **fields)
    error = caught.value
    return f"{error.details()} {error.debug_error_string()} {error.trailing_metadata()}"


async def broken(channel: grpc.aio.Channel) -> str:
    """Bytes that are no message."""
    method = "/rhapsode.tts.v1.SpeechSynthesisService/Synthesize"
    call = channel.unary_stream(method)(b"\x0a\x7f" + TEXT.encode(), metadata=bearer(KEY))
    with pytest.raises(grpc.aio.AioRpcError) as caught:
        await call.read()
    return f"{caught.value.details()} {caught.value.trailing_metadata()}"


async def session(caller: Caller) -> bytes:
    command = session_pb2.StreamSynthesizeRequest
    call = caller.stub.StreamSynthesize(metadata=caller.metadata)
    await call.write(command(session_config=session_pb2.SessionConfig()))
    await call.write(command(context_id="a", start_context=session_pb2.StartContext()))
    await call.write(command(context_id="a", text=session_pb2.TextInput(text=TEXT)))
    await call.done_writing()
    sound = b""
    while (event := await call.read()) is not grpc.aio.EOF:
        sound += event.audio.data
    call = caller.stub.StreamSynthesize(metadata=caller.metadata)
    await call.write(command(session_config=session_pb2.SessionConfig(voice=TEXT, language="en")))
    await call.write(command(context_id="a", start_context=session_pb2.StartContext(instruction=TEXT)))
    await call.done_writing()
    while (event := await call.read()) is not grpc.aio.EOF:
        assert event.WhichOneof("event") in ("session_started", "context_error")
    return sound


def leaks(told: str, sound: bytes) -> list[str]:
    """Every secret that is in a text."""
    secrets = (*WORDS, TENANT, KEY, WRONG, "Bearer ", *shapes(sound))
    return [secret for secret in secrets if secret.lower() in told.lower()]


async def test_no_log_span_metric_or_error_has_a_secret(
    monkeypatch: pytest.MonkeyPatch, log: io.StringIO, keys: Path
) -> None:
    with collecting() as collector:
        monkeypatch.setenv("OTEL_EXPORTER_OTLP_ENDPOINT", collector.address)
        async with exporting(security__api_keys=str(keys), limits__max_characters=5000) as running:
            sound, errors = await everything_that_can_be_said(running)
            await asyncio.to_thread(keys.write_text, f"{TENANT}:{WRONG}\n{KEY}\n")
            async with grpc.aio.insecure_channel(f"127.0.0.1:{running.serving.port}") as channel:
                await failure(Caller(channel, bearer(WRONG)), TEXT)
        exported = collector.everything()
    written = log.getvalue()
    assert "line 2 of" in written
    assert [leaks(told, sound) for told in (written, exported, errors.replace("Bearer <key>", ""))] == [
        []
    ] * 3
    assert "call ended" in written
    assert "text_to_speech toy" in exported


async def test_no_page_of_metrics_has_a_secret(monkeypatch: pytest.MonkeyPatch, keys: Path) -> None:
    monkeypatch.setenv("OTEL_METRICS_EXPORTER", "prometheus")
    monkeypatch.setenv("OTEL_EXPORTER_PROMETHEUS_HOST", "127.0.0.1")
    monkeypatch.setenv("OTEL_EXPORTER_PROMETHEUS_PORT", "0")
    async with exporting(security__api_keys=str(keys), limits__max_characters=5000) as running:
        sound, _ = await everything_that_can_be_said(running)
        address = f"http://127.0.0.1:{running.telemetry.prometheus_port}/metrics"
        answer = await asyncio.to_thread(urllib.request.urlopen, address)
        with answer:
            page = answer.read().decode()
    assert "tts_" in page
    assert leaks(page, sound) == []


def test_the_search_finds_what_it_looks_for() -> None:
    sound = bytes(range(200))
    for told in (
        TEXT,
        f"key={KEY}",
        TENANT.upper(),
        *shapes(sound),
        f"x {sound!r}",
        base64.b64encode(sound).decode(),
    ):
        assert leaks(told, sound), told
    assert leaks("call ended code=OK", sound) == []
