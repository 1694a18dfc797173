"""What a request may cost is known before any work: small things that unfold into large ones are refused."""

from __future__ import annotations

import asyncio
import io
import socket
import struct
import tracemalloc
from collections.abc import Callable
from contextlib import suppress

import grpc
import numpy as np
import pytest
import soundfile
from rhapsode.tts.v1 import service_pb2_grpc, session_pb2, synthesis_pb2
from rhapsode_server.audio.clip import read_clip
from rhapsode_server.errors import InvalidRequest

from tests.integration.conftest import House, house, toy_house, until
from tests.integration.test_refusals import details
from tests.security.conftest import Caller
from tests.support import http2

__all__ = ["toy_house"]

EXHAUSTED, INVALID = grpc.StatusCode.RESOURCE_EXHAUSTED, grpc.StatusCode.INVALID_ARGUMENT
BILLION_LAUGHS = (
    '<?xml version="1.0"?><!DOCTYPE l [<!ENTITY a "lol"><!ENTITY b "&a;&a;&a;&a;&a;&a;&a;&a;&a;&a;">'
    '<!ENTITY c "&b;&b;&b;&b;&b;&b;&b;&b;&b;&b;">]><speak>&c;&c;&c;&c;&c;&c;&c;&c;&c;&c;</speak>'
)


async def refused(running: House, text: str) -> grpc.aio.AioRpcError:
    with pytest.raises(grpc.aio.AioRpcError) as caught:
        await running.speak(text)
    return caught.value


async def test_text_has_a_longest_length_in_characters_and_in_bytes(toy_house: House) -> None:
    assert (await refused(toy_house, "a " * 6000)).code() is INVALID
    assert (await refused(toy_house, "ä" * 3_000_000)).code() is EXHAUSTED
    assert (await toy_house.speak("still here")).done is not None


async def test_a_session_cannot_go_around_the_length_bit_by_bit() -> None:
    command = session_pb2.StreamSynthesizeRequest
    async with house({"limits.max_characters": 40, "engine.max_ahead": 0}) as running:
        call = running.stub.StreamSynthesize(timeout=30)
        await call.write(command(session_config=session_pb2.SessionConfig()))
        await call.write(command(context_id="a", start_context=session_pb2.StartContext()))
        for _ in range(12):
            await call.write(command(context_id="a", text=session_pb2.TextInput(text="a word. ")))
        while (event := await call.read()).WhichOneof("event") != "context_error":
            assert event.WhichOneof("event") in ("session_started", "context_started", "audio", "warning")
        assert event.context_error.code == INVALID.value[0]
        call.cancel()


@pytest.mark.parametrize("size", [5_000_000, 50_000_000])
async def test_it_is_the_unpacked_size_of_a_packed_message_that_counts(toy_house: House, size: int) -> None:
    """A message of 5 MB is packed a thousand to one, well below the limit of 4 MiB."""
    request = synthesis_pb2.SynthesizeRequest(text="a" * size)
    async with grpc.aio.insecure_channel(toy_house.target, compression=grpc.Compression.Gzip) as channel:
        stub = service_pb2_grpc.SpeechSynthesisServiceStub(channel)  # type: ignore[no-untyped-call]
        with pytest.raises(grpc.aio.AioRpcError) as caught:
            await stub.Synthesize(request).read()
        assert caught.value.code() is EXHAUSTED
        assert [message async for message in stub.Synthesize(synthesis_pb2.SynthesizeRequest(text="hello"))]


async def test_markup_is_text_and_unfolds_into_nothing(toy_house: House) -> None:
    spoken = await toy_house.speak(BILLION_LAUGHS)
    plain = await toy_house.speak("x" * len(BILLION_LAUGHS))
    assert spoken.done is not None
    assert spoken.done.usage.characters == len(BILLION_LAUGHS)
    assert spoken.samples < 3 * plain.samples


async def test_metadata_has_a_largest_size(toy_house: House) -> None:
    caller = Caller(toy_house.channel, (("x-large", "a" * 100_000),))
    assert await caller.list() is EXHAUSTED
    assert await Caller(toy_house.channel).list() is grpc.StatusCode.OK


# ---- recordings


def flac(seconds: float, rate: int, channels: int) -> bytes:
    """Nearly silent, so that it packs into next to nothing."""
    written = io.BytesIO()
    block = np.zeros((rate, channels), dtype=np.int16)
    with soundfile.SoundFile(written, "w", rate, channels, format="FLAC") as file:
        for _ in range(int(seconds)):
            file.write(block)
    return written.getvalue()


def wav(size: int, rate: int = 24_000, channels: int = 1) -> bytes:
    """A header that promises `size` bytes of sound, and a second of it."""
    sound = np.sin(np.arange(24_000) / 20).astype("<f4").tobytes()
    form = struct.pack("<HHIIHH", 3, channels, rate, (rate * channels * 4) & 0xFFFFFFFF, channels * 4, 32)
    head = b"RIFF" + struct.pack("<I", 0xFFFFFFFF) + b"WAVEfmt " + struct.pack("<I", len(form)) + form
    return head + b"data" + struct.pack("<I", size) + sound


def ogg(seconds: int) -> bytes:
    written = io.BytesIO()
    with soundfile.SoundFile(written, "w", 8000, 1, format="OGG", subtype="VORBIS") as file:
        for _ in range(seconds):
            file.write(np.zeros(8000, dtype=np.float32))
    return written.getvalue()


RECORDINGS: dict[str, Callable[[], bytes]] = {
    "an hour in a few kilobytes": lambda: flac(3600, 8000, 1),
    "an hour of ogg": lambda: ogg(3600),
    "many channels": lambda: flac(20, 48_000, 8),
    "an absurd rate": lambda: flac(3, 655_350, 1),
    "many channels at an absurd rate": lambda: flac(8, 655_350, 8),
    "a header with an absurd rate": lambda: wav(96_000, rate=2_000_000_000),
    "a header with many channels": lambda: wav(96_000, channels=1000),
    "a slow rate": lambda: wav(96_000, rate=1),
}


@pytest.mark.parametrize("name", RECORDINGS)
def test_a_recording_is_refused_before_it_is_unpacked(name: str) -> None:
    data = RECORDINGS[name]()
    tracemalloc.start()
    try:
        with pytest.raises(InvalidRequest):
            read_clip(data, 24_000, shortest=1.0, longest=30.0)
        peak = tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()
    assert peak < 64 * 1024 * 1024, f"{len(data)} bytes became {peak}"


def test_a_header_that_promises_more_than_there_is_is_not_believed() -> None:
    for size in (0xFFFFFFFF, 0x7FFFFFFF, 96_000):
        assert len(read_clip(wav(size), 24_000, shortest=0.5, longest=30.0)) == 24_000


# ---- connections


def resets(port: int, count: int, request: bytes) -> bytes:
    """Open and reset so many streams on one connection (CVE-2023-44487), then one more call.

    Returns what came back: that call's answer, or that the server has had enough.
    """
    head, message = http2.headers(), b"\0" + len(request).to_bytes(4, "big") + request
    flood = b"".join(
        http2.frame(http2.HEADERS, http2.END_HEADERS, stream, head)
        + http2.frame(http2.DATA, http2.END_STREAM, stream, message)
        + http2.frame(http2.RST_STREAM, 0, stream, http2.CANCEL)
        for stream in range(1, 2 * count, 2)
    )
    last = 2 * count + 1
    calm = http2.frame(http2.RST_STREAM, 0, last, http2.ENHANCE_YOUR_CALM)
    came = b""
    with socket.create_connection(("127.0.0.1", port)) as raw, suppress(OSError):
        raw.settimeout(30)
        raw.sendall(http2.PREFACE + http2.frame(http2.SETTINGS, 0, 0) + flood)
        raw.sendall(http2.begin(last, request))
        while not (b"grpc-status" in came or calm in came) and (more := raw.recv(1 << 16)):
            came += more
    return came


@pytest.mark.parametrize("count", [0, 500])
async def test_streams_that_are_opened_and_reset_at_once_leave_nothing_behind(count: int) -> None:
    request = synthesis_pb2.SynthesizeRequest(text="on and on").SerializeToString()
    async with house({"engine.slots": 2, "engine.max_waiting": 2}) as running:
        flood = asyncio.create_task(asyncio.to_thread(resets, running.serving.port, count, request))
        for _ in range(3):
            assert await Caller(running.channel).list() is grpc.StatusCode.OK
        came = await flood
        assert count or b"grpc-status" in came, "these frames are calls, so the flood is one, too"
        await until(lambda: running.serving.gate.inside == 0)
        assert (await running.speak("hello")).done is not None


async def test_a_call_that_is_too_much_for_one_connection_waits_its_turn() -> None:
    settings = {"server.max_concurrent_streams": 2, "engine.max_ahead": 0.5}
    async with house(settings) as running:
        request = synthesis_pb2.SynthesizeRequest(text="a long text that goes on and on, " * 4)
        first = [running.stub.Synthesize(request) for _ in range(2)]
        for call in first:
            await call.read()
        third = asyncio.ensure_future(running.stub.Synthesize(request, timeout=0.2).read())
        with pytest.raises(grpc.aio.AioRpcError) as caught:
            await third
        assert caught.value.code() is grpc.StatusCode.DEADLINE_EXCEEDED
        assert "ErrorInfo" not in (details(caught.value) if caught.value.trailing_metadata() else {})
        assert running.serving.gate.inside == 2
        for call in first:
            call.cancel()
