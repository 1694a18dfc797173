"""VoiceService over real gRPC: a recording becomes a voice, and what is wrong with one is told."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager
from typing import Any

import grpc
import pytest
from rhapsode.tts.v1 import session_pb2, voice_pb2, voice_service_pb2, voice_service_pb2_grpc
from rhapsode_server.models.base import SpeechModel

from tests.integration.conftest import House, house, toy_house, until
from tests.integration.test_refusals import details
from tests.integration.test_session import Talk
from tests.security.test_voices import NAMES
from tests.support.recordings import Message, consenting, parts, recording, send, silence, tiny, upload

__all__ = ["toy_house"]

CLIP, SAID = recording(1.5, seed=1), "a calm voice, which says this"
INVALID, CODE = grpc.StatusCode.INVALID_ARGUMENT, grpc.StatusCode
TEXT = "Good morning."


@pytest.fixture(scope="module")
def base(tmp_path_factory: pytest.TempPathFactory) -> SpeechModel:
    """A model that clones, with two voices from a folder."""
    folder = tmp_path_factory.mktemp("voices")
    for name in ("shown", "vector"):
        (folder / f"{name}.wav").write_bytes(CLIP)
    (folder / "shown.txt").write_text(SAID, encoding="utf-8")
    return tiny(tmp_path_factory.mktemp("base"), "base", folder)


@pytest.fixture(scope="module")
def design(tmp_path_factory: pytest.TempPathFactory) -> SpeechModel:
    """A model that designs."""
    return tiny(tmp_path_factory.mktemp("design"), "voice_design")


@asynccontextmanager
async def making(model: SpeechModel, **settings: Any) -> AsyncIterator[House]:
    """A server with that model and these limits."""
    wanted = {f"limits.{name}": value for name, value in settings.items()}
    async with house(wanted, lambda: model) as running:
        yield running


def voices_of(running: House) -> Any:
    """A stub of the service."""
    return voice_service_pb2_grpc.VoiceServiceStub(running.channel)  # type: ignore[no-untyped-call]


async def names(running: House) -> list[str]:
    """What ListVoices gives."""
    answer = await running.stub.ListVoices(voice_pb2.ListVoicesRequest())
    return [voice.name for voice in answer.voices]


async def sound(running: House, voice: str, **fields: Any) -> bytes:
    """What one utterance comes to."""
    spoken = await running.speak(TEXT, voice=voice, seed=7, **fields)
    return spoken.data


async def refused(call: Any) -> grpc.RpcError:
    """The error that a call ends with."""
    with pytest.raises(grpc.RpcError) as caught:
        await call
    return caught.value


# ---- what works


@pytest.mark.parametrize("folder", ["shown", "vector"])
async def test_a_recording_that_was_sent_speaks_as_one_in_the_folder(base: SpeechModel, folder: str) -> None:
    transcript = f"  {SAID}\n" if folder == "shown" else ""
    async with making(base) as running:
        config = consenting(name="sent", transcript=transcript, description="Somebody\nwho agreed.")
        voice = await upload(running.target, config, CLIP)
        assert (voice.name, voice.model, voice.is_default) == ("sent", base.name, False)
        assert (voice.description, dict(voice.labels)) == ("Somebody who agreed.", {"kind": "cloned"})
        assert await sound(running, "sent") == await sound(running, folder)
        assert await sound(running, "sent") != await sound(
            running, {"shown": "vector", "vector": "shown"}[folder]
        )


@pytest.mark.parametrize(("kind", "step"), [("FLAC", 100), ("WAV", 7_777), ("WAV", 1_000_000)])
async def test_it_does_not_matter_how_a_recording_is_packed_and_cut(
    base: SpeechModel, kind: str, step: int
) -> None:
    data = recording(1.5, seed=1, kind=kind)
    async with making(base) as running:
        config = consenting(transcript=SAID, audio_bytes=len(data))
        voice = await asyncio.to_thread(send, running.target, parts(config, data, step))
        assert await sound(running, voice.name) == await sound(running, "shown")


async def test_created_voices_are_listed_looked_up_and_forgotten(base: SpeechModel) -> None:
    async with making(base) as running:
        before = await names(running)
        await upload(running.target, consenting(name="anna", language="de-AT"), CLIP)
        assert await names(running) == sorted([*before, "anna"])
        found = await voices_of(running).GetVoice(voice_service_pb2.GetVoiceRequest(name="anna"))
        assert list(found.voice.languages) == ["de"]
        assert "anna" not in str(await running.stub.ListVoices(voice_pb2.ListVoicesRequest(language="fr")))
        assert await sound(running, "anna") == await sound(running, "vector", language="de")
        await voices_of(running).DeleteVoice(voice_service_pb2.DeleteVoiceRequest(name="anna"))
        assert await names(running) == before
        error = await refused(running.speak(TEXT, voice="anna"))
        assert error.code() is CODE.NOT_FOUND
        assert "create it again" in error.details()
        again = await upload(running.target, consenting(name="anna"), CLIP)
        assert len(again.languages) == 10


async def test_a_name_is_drawn_where_none_is_asked_for(base: SpeechModel) -> None:
    async with making(base) as running:
        drawn = {(await upload(running.target, consenting(), CLIP)).name for _ in range(2)}
        assert len(drawn) == 2
        assert drawn < set(await names(running))


async def test_a_described_voice_speaks_as_one_that_is_told_each_time(design: SpeechModel) -> None:
    how = "An elderly man, warm and unhurried."
    async with making(design) as running:
        wanted = voice_service_pb2.DesignVoiceRequest(name="grandpa", description=f" {how}\n")
        voice = (await voices_of(running).DesignVoice(wanted)).voice
        assert (voice.description, dict(voice.labels)) == (how, {"kind": "designed"})
        told = await sound(running, "designed", instruction=how)
        assert await sound(running, "grandpa") == told
        assert await sound(running, "grandpa", instruction="Whisper.") != told
        assert await names(running) == ["designed", "grandpa"]


# ---- what is refused

AUDIO = (INVALID, "INVALID_REQUEST", "audio")
CASES: dict[str, tuple[dict[str, Any], bytes, grpc.StatusCode, str, str, str]] = {
    "no consent": ({"consent": False}, CLIP, INVALID, "CONSENT_REQUIRED", "config.consent", "consent"),
    "no sound": ({}, b"", *AUDIO, "no recording"),
    "not audio": ({}, b"quagmire" * 9999, *AUDIO, "cannot be decoded"),
    "an empty file": ({}, recording(0.0), *AUDIO, "1 to 3 seconds"),
    "too short": ({}, recording(0.9), *AUDIO, "1 to 3 seconds"),
    "too long": ({}, recording(3.1, rate=8000), *AUDIO, "1 to 3 seconds"),
    "a bomb": ({}, silence(3600), *AUDIO, "1 to 3 seconds"),
    "too many bytes": ({}, recording(2.2), *AUDIO, "100,000 bytes"),
    "too many announced": ({"audio_bytes": 100_001}, CLIP, *AUDIO, "100,000 bytes"),
    "half of a WAV": ({}, CLIP[: len(CLIP) // 2], *AUDIO, "The recording was cut off"),
    "cut off": ({"audio_bytes": len(CLIP)}, CLIP[:-1], *AUDIO, "Send it again"),
    "more than said": ({"audio_bytes": 5}, CLIP, *AUDIO, "Send it again"),
    "a truncated file": ({}, recording(kind="FLAC")[:9000], *AUDIO, "cannot be decoded"),
    "taken": ({"name": "shown"}, CLIP, CODE.ALREADY_EXISTS, "VOICE_EXISTS", "", "another name"),
    "language": ({"language": "tlh"}, CLIP, INVALID, "INVALID_REQUEST", "config.language", "de, en"),
    "no language": ({"language": "\0"}, CLIP, INVALID, "INVALID_REQUEST", "config.language", "de, en"),
    "long": ({"transcript": "a" * 1001}, CLIP, INVALID, "INVALID_REQUEST", "config.transcript", "1,000"),
    "control": ({"transcript": "a\x07"}, CLIP, INVALID, "INVALID_REQUEST", "config.transcript", "control"),
    "note": ({"description": "a" * 201}, CLIP, INVALID, "INVALID_REQUEST", "config.description", "200"),
}  # fmt: skip


async def test_what_is_wrong_is_told_and_leaves_nothing(base: SpeechModel) -> None:
    async with making(base, voice_upload_bytes=100_000, voice_clip_seconds=3) as running:
        before = await names(running)
        for case, (fields, data, code, reason, field, words) in CASES.items():
            config = consenting(**{"name": "anna", **fields})
            error = await refused(upload(running.target, config, data))
            found = details(error)
            assert (error.code(), found["ErrorInfo"].reason) == (code, reason), (case, error.details())
            told = found["BadRequest"].field_violations[0].field if "BadRequest" in found else ""
            assert told == field, case
            assert words in error.details(), (case, error.details())
            assert "quagmire" not in error.details()
        assert await names(running) == before
        assert (await upload(running.target, consenting(name="anna"), CLIP)).name == "anna"
        error = await refused(upload(running.target, consenting(name="anna"), CLIP))
        assert (error.code(), details(error)["ErrorInfo"].reason) == (CODE.ALREADY_EXISTS, "VOICE_EXISTS")


async def test_what_is_not_exactly_a_name_is_no_name(base: SpeechModel, design: SpeechModel) -> None:
    evil = [name for name in NAMES.values() if len(name) < 10_000] + ["-anna", "_anna", "a" * 65]
    async with making(base) as running:
        for name in evil:
            error = await refused(upload(running.target, consenting(name=name), CLIP))
            assert (error.code(), "a to z" in error.details()) == (INVALID, True), ascii(name)
        assert await names(running) == ["shown", "vector"]
    async with making(design) as running:
        for name in evil:
            wanted = voice_service_pb2.DesignVoiceRequest(name=name, description="calm")
            error = await refused(voices_of(running).DesignVoice(wanted))
            assert details(error)["BadRequest"].field_violations[0].field == "name"


@pytest.mark.parametrize("order", ["audio first", "config twice", "nothing in it", "nothing at all"])
async def test_messages_come_in_their_order(base: SpeechModel, order: str) -> None:
    config, audio = Message(config=consenting(name="anna")), Message(audio=CLIP)
    sent = {
        "audio first": [audio, config],
        "config twice": [config, audio, config],
        "nothing in it": [config, Message(), audio],
        "nothing at all": [],
    }[order]
    async with making(base) as running:
        error = await refused(asyncio.to_thread(send, running.target, iter(sent)))
        assert error.code() is INVALID
        assert "anna" not in await names(running)


async def test_a_model_says_what_it_cannot_do(
    toy_house: House, base: SpeechModel, design: SpeechModel
) -> None:
    wanted = voice_service_pb2.DesignVoiceRequest(name="anna", description="calm")
    for model, cannot in ((base, "design"), (design, "clone")):
        async with making(model) as running:
            call = (
                voices_of(running).DesignVoice(wanted)
                if cannot == "design"
                else upload(running.target, consenting(), CLIP)
            )
            error = await refused(call)
            assert error.code() is CODE.UNIMPLEMENTED
            assert "such as Qwen3-TTS" in error.details()
            assert details(error)["ErrorInfo"].reason == "VOICE_CREATION_UNSUPPORTED"
    stub = voices_of(toy_house)
    assert (await refused(stub.DesignVoice(wanted))).code() is CODE.UNIMPLEMENTED
    assert (await stub.GetVoice(voice_service_pb2.GetVoiceRequest())).voice.is_default
    error = await refused(stub.GetVoice(voice_service_pb2.GetVoiceRequest(name="anna")))
    assert error.code() is CODE.NOT_FOUND
    assert "again" not in error.details()
    error = await refused(stub.DeleteVoice(voice_service_pb2.DeleteVoiceRequest(name="alto")))
    assert (error.code(), "cannot be deleted" in error.details()) == (INVALID, True)
    error = await refused(stub.DeleteVoice(voice_service_pb2.DeleteVoiceRequest(name="anna")))
    assert error.code() is CODE.NOT_FOUND


async def test_whoever_runs_the_server_may_allow_no_voices(base: SpeechModel) -> None:
    async with making(base, created_voices=0) as running:
        error = await refused(upload(running.target, consenting(), CLIP))
        assert (error.code(), "limits.created_voices" in error.details()) == (CODE.UNIMPLEMENTED, True)


@pytest.mark.parametrize("description", ["", " \n", "a" * 1001, "calm\0"])
async def test_a_description_must_be_one(design: SpeechModel, description: str) -> None:
    async with making(design) as running:
        wanted = voice_service_pb2.DesignVoiceRequest(name="anna", description=description)
        error = await refused(voices_of(running).DesignVoice(wanted))
        assert details(error)["BadRequest"].field_violations[0].field == "description"


# ---- on the way


class Held:
    """An upload that stops before its last part until it is let go."""

    def __init__(self) -> None:
        self.go = threading.Event()

    def parts(self, name: str) -> Iterator[Message]:
        *most, last = parts(consenting(name=name), CLIP, 10_000)
        yield from most
        self.go.wait()
        yield last


async def on_its_way(running: House) -> None:
    """Until the server has taken an upload in."""
    await until(lambda: running.serving.gate.inside > 0)


async def test_a_client_that_leaves_leaves_nothing_behind(base: SpeechModel) -> None:
    async with making(base, voice_uploads=1) as running:
        call = voices_of(running).CreateVoice()
        for part in list(parts(consenting(name="anna"), CLIP, 10_000))[:3]:
            await call.write(part)
        await on_its_way(running)
        call.cancel()
        await running.access.seen("CANCELLED")
        assert running.serving.gate.inside == 0
        assert "anna" not in await names(running)
        assert (await upload(running.target, consenting(name="anna"), CLIP)).name == "anna"


async def test_there_are_only_so_many_uploads_at_a_time(base: SpeechModel) -> None:
    async with making(base, voice_uploads=1) as running:
        held = Held()
        first = asyncio.create_task(asyncio.to_thread(send, running.target, held.parts("anna")))
        await on_its_way(running)
        error = await refused(upload(running.target, consenting(name="bert"), CLIP))
        assert error.code() is CODE.RESOURCE_EXHAUSTED
        assert details(error)["RetryInfo"].retry_delay.seconds > 0
        held.go.set()
        assert (await first).name == "anna"
        assert (await upload(running.target, consenting(name="bert"), CLIP)).name == "bert"


async def test_a_name_that_is_on_its_way_is_taken(base: SpeechModel) -> None:
    async with making(base) as running:
        held = Held()
        first = asyncio.create_task(asyncio.to_thread(send, running.target, held.parts("anna")))
        studio = await _studio(running)
        await until(lambda: ("", "anna") in studio._reserved)
        error = await refused(upload(running.target, consenting(name="anna"), CLIP))
        assert error.code() is CODE.ALREADY_EXISTS
        held.go.set()
        assert (await first).name == "anna"


async def _studio(running: House) -> Any:
    assert running.serving._studio is not None
    return running.serving._studio


async def test_an_upload_that_never_ends_is_ended(base: SpeechModel) -> None:
    async with making(base, voice_upload_seconds=0.2) as running:
        held = Held()
        error = await refused(asyncio.to_thread(send, running.target, held.parts("anna")))
        held.go.set()
        assert (error.code(), details(error)["ErrorInfo"].reason) == (
            CODE.DEADLINE_EXCEEDED,
            "UPLOAD_TOO_SLOW",
        )
        assert "anna" not in await names(running)


# ---- making room


async def test_a_voice_that_made_room_speaks_to_the_end_and_is_then_not_found(base: SpeechModel) -> None:
    async with making(base, created_voices=1) as running:
        await upload(running.target, consenting(name="anna", transcript=SAID), CLIP)
        session = Talk(running.stub.StreamSynthesize())
        await session.say(session_config=session_pb2.SessionConfig(voice="anna"))
        await session.start("a", seed=7)
        await session.until("context_started", "a")
        await upload(running.target, consenting(name="bert"), CLIP)
        assert "anna" not in await names(running)
        await session.text("a", TEXT)
        await session.say("a", end_context=session_pb2.EndContext())
        await session.until("context_done", "a")
        await session.start("b")
        failed = await session.until("context_error", "b")
        assert "create it again" in failed.message
        await session.call.done_writing()
        await session.rest()
        assert session.data("a") == await spoken_in_a_session(running, "shown")
        created = running.serving.gate.synthesizer().voices.created
        assert created is not None
        assert (created.hits, created.misses, created.evictions, len(created)) == (1, 1, 1, 1)


async def spoken_in_a_session(running: House, voice: str) -> bytes:
    """The same words, arriving in the same way."""
    session = Talk(running.stub.StreamSynthesize())
    await session.say(session_config=session_pb2.SessionConfig(voice=voice))
    await session.start("a", seed=7)
    await session.text("a", TEXT)
    await session.say("a", end_context=session_pb2.EndContext())
    await session.call.done_writing()
    await session.rest()
    return session.data("a")


async def test_a_voice_that_never_fits_is_refused(base: SpeechModel) -> None:
    async with making(base, voice_memory_bytes=2000) as running:
        assert (await upload(running.target, consenting(name="small"), CLIP)).name == "small"
        error = await refused(upload(running.target, consenting(name="large", transcript=SAID), CLIP))
        assert (error.code(), details(error)["ErrorInfo"].reason) == (
            CODE.FAILED_PRECONDITION,
            "VOICE_TOO_LARGE",
        )
        assert await names(running) == ["shown", "small", "vector"]
