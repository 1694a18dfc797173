"""A created voice is its maker's alone, and nothing of a recording or a description is told to anyone."""

from __future__ import annotations

import asyncio
import io
import urllib.request
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import grpc
import pytest
from rhapsode.tts.v1 import session_pb2, voice_pb2, voice_service_pb2, voice_service_pb2_grpc
from rhapsode_server.models.base import SpeechModel

from tests.integration.collector import collecting
from tests.integration.conftest import House, house
from tests.integration.test_created_voices import Held, base, design, on_its_way, refused
from tests.integration.test_refusals import details
from tests.integration.test_session import Talk
from tests.integration.test_telemetry import clean, exporting, log
from tests.security.conftest import ALICE, BOB, CERTIFICATES, Caller, bearer, over_tls
from tests.security.test_secrets import WORDS, shapes
from tests.support.recordings import consenting, parts, recording, send, upload

__all__ = ["base", "clean", "design", "log"]  # fixtures

CLIP = recording(1.2, seed=4)
SECRET = "Quagmire zephyrs flummox the judges."
CODE = grpc.StatusCode

pytestmark = pytest.mark.filterwarnings("ignore::ResourceWarning:opentelemetry.*")


def voices_of(channel: grpc.aio.Channel) -> Any:
    """A stub of the service."""
    return voice_service_pb2_grpc.VoiceServiceStub(channel)  # type: ignore[no-untyped-call]


async def listed(caller: Caller) -> list[str]:
    answer = await caller.stub.ListVoices(voice_pb2.ListVoicesRequest(), metadata=caller.metadata)
    return [voice.name for voice in answer.voices]


@asynccontextmanager
async def guarded(model: SpeechModel, keys: Path, **limits: Any) -> AsyncIterator[House]:
    """A server that asks for keys."""
    settings = {"security.api_keys": str(keys)} | {f"limits.{name}": value for name, value in limits.items()}
    async with house(settings, lambda: model) as running:
        yield running


async def test_nobody_sees_uses_or_deletes_anothers_voice(base: SpeechModel, keys: Path) -> None:
    async with guarded(base, keys) as running:
        alice, bob = (Caller(running.channel, bearer(key)) for key in (ALICE, BOB))
        made = await upload(running.target, consenting(name="anna"), CLIP, alice.metadata)
        assert await listed(alice) == ["anna", "shown", "vector"]
        assert await listed(bob) == ["shown", "vector"]
        assert len(await alice.speak(voice="anna")) > 2

        stub = voices_of(running.channel)
        calls = [
            bob.speak(voice="anna"),
            stub.GetVoice(voice_service_pb2.GetVoiceRequest(name="anna"), metadata=bob.metadata),
            stub.DeleteVoice(voice_service_pb2.DeleteVoiceRequest(name="anna"), metadata=bob.metadata),
        ]
        unknown = await refused(bob.speak(voice="nora"))
        for error in [await refused(call) for call in calls]:
            assert error.code() is CODE.NOT_FOUND
            assert error.details() == unknown.details().replace("nora", "anna"), "as if there were none"
            assert "anna" not in details(error)["ErrorInfo"].metadata["voices"]

        config = consenting(name="anna", transcript="calm words")
        other = await upload(running.target, config, recording(1.3, 5), bob.metadata)
        assert other == made, "the same name, and another voice"
        hers, his = [await caller.speak(voice="anna", seed=1) for caller in (alice, bob)]
        assert [message.audio.data for message in hers] != [message.audio.data for message in his]
        await stub.DeleteVoice(voice_service_pb2.DeleteVoiceRequest(name="anna"), metadata=bob.metadata)
        assert await listed(alice) == ["anna", "shown", "vector"]


async def test_a_session_speaks_with_its_callers_voices(base: SpeechModel, keys: Path) -> None:
    async with guarded(base, keys) as running:
        await upload(running.target, consenting(name="anna"), CLIP, bearer(ALICE))
        for key, ends in ((ALICE, "context_done"), (BOB, "context_error")):
            session = Talk(running.stub.StreamSynthesize(metadata=bearer(key)))
            await session.say(session_config=session_pb2.SessionConfig(voice="anna"))
            await session.start("a")
            await session.text("a", "Good morning.")
            await session.say("a", end_context=session_pb2.EndContext())
            await session.call.done_writing()
            await session.rest()
            assert len(session.of("a", ends)) == 1


async def test_no_voice_is_made_without_a_key(base: SpeechModel, design: SpeechModel, keys: Path) -> None:
    async with guarded(base, keys) as running:
        for metadata in ((), bearer("nobody-key-0123456789")):
            error = await refused(upload(running.target, consenting(name="anna"), CLIP, metadata))
            assert error.code() is CODE.UNAUTHENTICATED
        stub = voices_of(running.channel)
        for call in (
            stub.DesignVoice(voice_service_pb2.DesignVoiceRequest(description="calm")),
            stub.GetVoice(voice_service_pb2.GetVoiceRequest()),
            stub.DeleteVoice(voice_service_pb2.DeleteVoiceRequest(name="anna")),
        ):
            assert (await refused(call)).code() is CODE.UNAUTHENTICATED


async def test_one_tenant_never_has_all_the_places(base: SpeechModel, keys: Path) -> None:
    async with guarded(base, keys, voice_uploads=2) as running:
        held = Held()
        target, mine = running.target, bearer(ALICE)
        first = asyncio.create_task(asyncio.to_thread(send, target, held.parts("anna"), mine))
        await on_its_way(running)
        error = await refused(upload(target, consenting(name="bert"), CLIP, mine))
        assert error.code() is CODE.RESOURCE_EXHAUSTED
        assert (await upload(target, consenting(name="bert"), CLIP, bearer(BOB))).name == "bert"
        held.go.set()
        await first


async def test_a_tenant_that_makes_many_voices_pushes_out_its_own(base: SpeechModel, keys: Path) -> None:
    async with guarded(base, keys, created_voices=3) as running:
        await upload(running.target, consenting(name="kept"), CLIP, bearer(BOB))
        for name in ("a", "b", "c", "d"):
            await upload(running.target, consenting(name=name), CLIP, bearer(ALICE))
        assert await listed(Caller(running.channel, bearer(BOB))) == ["kept", "shown", "vector"]
        assert await listed(Caller(running.channel, bearer(ALICE))) == ["c", "d", "shown", "vector"]


# ---- what is told


def leaks(told: str) -> list[str]:
    """Everything of a recording, its transcript or a description that is in a text."""
    middle = len(CLIP) // 2
    secrets = (*WORDS, *shapes(CLIP[:middle] + CLIP[middle + 1000 :]))
    return [secret for secret in secrets if secret.lower() in told.lower()]


async def everything(target: str) -> str:
    """Voices made well and badly; returns what the errors said."""
    told = []
    config = consenting(name="anna", transcript=SECRET, description=SECRET)
    await upload(target, config, CLIP)
    for wrong in (
        upload(target, config, CLIP),
        upload(target, consenting(transcript=SECRET), CLIP[: len(CLIP) // 4]),
        upload(target, consenting(transcript=SECRET), SECRET.encode() * 99),
        upload(target, consenting(transcript=SECRET * 99, description=SECRET * 99), CLIP),
        upload(target, consenting(name=SECRET, language=SECRET), CLIP),
        upload(target, consenting(language=SECRET), CLIP),
        upload(target, consenting(transcript=SECRET + "\0"), CLIP),
    ):
        error: Any = await refused(wrong)
        told.append(f"{error.details()} {error.debug_error_string()} {error.trailing_metadata()}")
    return "\n".join(told)


async def design_some(channel: grpc.aio.Channel) -> str:
    """Descriptions taken and refused."""
    stub = voices_of(channel)
    wanted = voice_service_pb2.DesignVoiceRequest(name="anna", description=SECRET)
    await stub.DesignVoice(wanted)
    errors: list[Any] = [await refused(stub.DesignVoice(wanted))]
    for description in (SECRET * 99, SECRET + "\0"):
        wrong = voice_service_pb2.DesignVoiceRequest(description=description)
        errors.append(await refused(stub.DesignVoice(wrong)))
    return "\n".join(f"{error.details()} {error.trailing_metadata()}" for error in errors)


async def test_no_log_span_metric_or_error_tells_of_a_recording(
    monkeypatch: pytest.MonkeyPatch, log: io.StringIO, base: SpeechModel, design: SpeechModel
) -> None:
    errors = ""
    with collecting() as collector:
        monkeypatch.setenv("OTEL_EXPORTER_OTLP_ENDPOINT", collector.address)
        for model in (base, design):
            async with exporting(model=model, limits__voice_upload_bytes=100_000) as running:
                target = f"127.0.0.1:{running.serving.port}"
                async with grpc.aio.insecure_channel(target) as channel:
                    errors += await everything(target) if model is base else await design_some(channel)
                await running.speak("Good morning.", voice="anna")
        exported = collector.everything()
    assert [leaks(told) for told in (log.getvalue(), exported, errors)] == [[], [], []]
    assert "VoiceService/CreateVoice" in log.getvalue()
    assert "VoiceService/DesignVoice" in exported


def metrics_page(port: int | None) -> str:
    """What Prometheus is given."""
    with urllib.request.urlopen(f"http://127.0.0.1:{port}/metrics") as answer:
        page: bytes = answer.read()
    return page.decode()


async def test_the_metrics_page_counts_and_tells_nothing(
    monkeypatch: pytest.MonkeyPatch, base: SpeechModel
) -> None:
    monkeypatch.setenv("OTEL_METRICS_EXPORTER", "prometheus")
    monkeypatch.setenv("OTEL_EXPORTER_PROMETHEUS_HOST", "127.0.0.1")
    monkeypatch.setenv("OTEL_EXPORTER_PROMETHEUS_PORT", "0")
    async with exporting(model=base, limits__created_voices=1) as running:
        target = f"127.0.0.1:{running.serving.port}"
        await everything(target)
        await running.speak("Good morning.", voice="anna")
        await asyncio.to_thread(send, target, parts(consenting(name="bert"), CLIP))
        with pytest.raises(grpc.aio.AioRpcError):
            await running.speak("Good morning.", voice="anna")
        page = ""
        while 'voice_kind="cloned"' not in page:  # utterances are counted a little after their end
            page = await asyncio.to_thread(metrics_page, running.telemetry.prometheus_port)
    values = {
        line.partition("{")[0]: float(line.rpartition(" ")[2])
        for line in page.splitlines()
        if line.startswith("tts_voices")
    }
    assert values.pop("tts_voices_memory_bytes") > 1024
    assert values == {
        "tts_voices_created": 1,
        "tts_voices_hits_total": 1,
        "tts_voices_misses_total": 1,
        "tts_voices_evictions_total": 1,
    }
    assert leaks(page) == []


def test_the_search_finds_what_it_looks_for() -> None:
    assert leaks(f"said {SECRET}")
    assert leaks(f"{CLIP!r}")
    assert leaks(CLIP.hex())


async def test_a_certificate_has_voices_of_its_own(base: SpeechModel) -> None:
    settings = {
        "security.certificate": str(CERTIFICATES / "server.crt"),
        "security.private_key": str(CERTIFICATES / "server.key"),
        "security.client_ca": str(CERTIFICATES / "old.crt"),
    }
    async with (
        house(settings, lambda: base) as running,
        over_tls(running, client="alice") as alice,
        over_tls(running, client="spiffe") as other,
    ):
        call = voices_of(alice.channel).CreateVoice()
        for part in parts(consenting(name="anna"), CLIP):
            await call.write(part)
        await call.done_writing()
        assert (await call).voice.name == "anna"
        assert await listed(alice) == ["anna", "shown", "vector"]
        assert await listed(other) == ["shown", "vector"]
