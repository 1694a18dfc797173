"""R6 to R9: too large, malformed, and too much of HTTP/2 itself; good callers never notice."""

from __future__ import annotations

import asyncio
import random
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import grpc
import pytest
from rhapsode.tts.v1 import session_pb2, synthesis_pb2, voice_pb2

from tests.integration.conftest import House, house, until
from tests.reliability.conftest import Callers, asking, percentile
from tests.support import http2
from tests.support.process import ServerProcess, serving

SERVICE = "/rhapsode.tts.v1.SpeechSynthesisService/"
EXHAUSTED, INVALID = grpc.StatusCode.RESOURCE_EXHAUSTED, grpc.StatusCode.INVALID_ARGUMENT
REQUEST = synthesis_pb2.SynthesizeRequest(text="on and on and on").SerializeToString()
TEXT = "Nothing of all this is heard by those who behave."


# ---- R6: too large


def refused(call: Callable[[], Any]) -> tuple[grpc.StatusCode, str]:
    """How a blocking call that is refused ends; its messages are read."""
    try:
        for _ in call():
            pass
    except grpc.RpcError as error:
        return error.code(), error.details() or ""
    return grpc.StatusCode.OK, ""


@pytest.mark.parametrize(
    ("request_bytes", "metadata_bytes"), [(5 * 1024 * 1024, 0), (10, 70 * 1024)], ids=["message", "metadata"]
)
async def test_r6_what_is_too_large_is_refused(request_bytes: int, metadata_bytes: int) -> None:
    """R6. Pass: a message of 5 MiB and metadata of 70 KB are RESOURCE_EXHAUSTED, and the server is well."""
    async with house() as running:

        def ask() -> tuple[grpc.StatusCode, str]:
            with grpc.insecure_channel(running.target) as channel:
                call = channel.unary_stream(f"{SERVICE}Synthesize")
                sent = synthesis_pb2.SynthesizeRequest(text="a" * request_bytes).SerializeToString()
                return refused(lambda: call(sent, metadata=(("x-large", "a" * metadata_bytes),)))

        assert (await asyncio.to_thread(ask))[0] is EXHAUSTED
        assert (await running.speak(TEXT)).done is not None


# ---- R7: malformed

KINDS: dict[str, Any] = {
    "Synthesize": synthesis_pb2.SynthesizeRequest,
    "ListVoices": voice_pb2.ListVoicesRequest,
    "StreamSynthesize": session_pb2.StreamSynthesizeRequest,
}
TELLTALE = ("Error", "Exception", "Traceback", ".py", "google.protobuf", "<class")
"""What an exception's own words have, and no sentence of ours."""


def malformed(kind: Any, count: int, seed: int) -> list[bytes]:
    """Random bytes, and valid messages with some bytes changed, none of which is a message of `kind`."""
    chance = random.Random(seed)
    found: list[bytes] = []
    valid = synthesis_pb2.SynthesizeRequest(
        text="Hello there.", voice="alto", audio_format={"sample_rate_hz": 16_000}, request_id="r"
    ).SerializeToString()
    while len(found) < count:
        data = bytearray(valid if chance.random() < 0.5 else chance.randbytes(chance.randint(1, 64)))
        for _ in range(chance.randint(1, 4)):
            data[chance.randrange(len(data))] = chance.randrange(256)
        try:
            kind.FromString(bytes(data))
        except Exception:  # noqa: BLE001 - whatever protobuf raises
            found.append(bytes(data))
    return found


async def fuzzed(count: int) -> None:
    async with house() as running:
        solo = (await running.speak(TEXT, seed=1)).data

        def send() -> list[tuple[grpc.StatusCode, str]]:
            with grpc.insecure_channel(running.target) as channel:
                return [
                    refused(lambda data=data, name=name: _call(channel, name, data))  # type: ignore[misc]
                    for seed, (name, kind) in enumerate(KINDS.items())
                    for data in malformed(kind, count // len(KINDS), seed)
                ]

        answers = await asyncio.to_thread(send)
        assert len(answers) == count // len(KINDS) * len(KINDS)
        assert {code for code, _ in answers} <= {INVALID, grpc.StatusCode.INTERNAL}
        told = {words for _, words in answers}
        assert not [words for words in told for sign in TELLTALE if sign in words]
        assert (await running.speak(TEXT, seed=1)).data == solo


def _call(channel: grpc.Channel, name: str, data: bytes) -> Any:
    if name == "StreamSynthesize":
        return channel.stream_stream(SERVICE + name)(iter([data]))
    return channel.unary_stream(SERVICE + name)(data)


async def test_r7_what_is_no_message_is_refused() -> None:
    """R7. Pass: INVALID_ARGUMENT or INTERNAL for bytes that are no message, without an exception's text."""
    await fuzzed(300)


@pytest.mark.slow
async def test_r7_ten_thousand_times() -> None:
    """R7. Pass: the same for 10,000 of them."""
    await fuzzed(10_002)


# ---- R8, R9: HTTP/2 itself


def continuations(count: int) -> bytes:
    """Headers that never end: CVE-2024-27316 and its like."""
    begun = http2.frame(http2.HEADERS, 0, 1, http2.headers())
    more = http2.frame(http2.CONTINUATION, 0, 1, http2.literal(b"x-more", b"a" * 100))
    return begun + more * count


def tiny_frames(count: int) -> bytes:
    """A message that comes byte by byte, each in a frame of its own."""
    message = b"\0" + (count + 1000).to_bytes(4, "big") + b"\x0a" * count
    frames = (http2.frame(http2.DATA, 0, 1, message[at : at + 1]) for at in range(len(message)))
    return http2.frame(http2.HEADERS, http2.END_HEADERS, 1, http2.headers()) + b"".join(frames)


FLOODS: dict[str, Callable[[int], bytes]] = {
    "rapid reset": http2.opened_and_reset,
    "pings": lambda count: http2.frame(http2.PING, 0, 0, b"12345678") * count,
    "settings": lambda count: http2.frame(http2.SETTINGS, 0, 0, b"\0\x04\0\0\xff\xff") * count,
    "continuations": continuations,
    "frames of one byte": tiny_frames,
    "empty frames": lambda count: (
        http2.frame(http2.HEADERS, http2.END_HEADERS, 1, http2.headers())
        + http2.frame(http2.DATA, 0, 1) * count
    ),
}


async def good_callers(running: House, solo: list[bytes], during: asyncio.Task[None]) -> int:
    """Speak and compare for as long as the flood lasts; how many calls that were."""
    calls = 0
    while not during.done() or calls < 8:
        spoken = await asyncio.gather(*(running.speak(TEXT, seed=seed) for seed in range(4)))
        assert [each.data for each in spoken] == solo
        calls += len(spoken)
    return calls


@pytest.mark.parametrize("name", FLOODS)
async def test_r8_r9_a_flood_is_absorbed(name: str) -> None:
    """R8, R9. Pass: GOAWAY or absorbed; no error for good callers, who hear what they hear alone."""
    async with house({"engine.max_ahead": 0}) as running:
        solo = [(await running.speak(TEXT, seed=seed)).data for seed in range(4)]
        data = FLOODS[name](3_000)
        during = asyncio.create_task(asyncio.to_thread(http2.flood, running.serving.port, data))
        assert await good_callers(running, solo, during)
        await during
        await until(lambda: running.serving.gate.inside == 0)
        assert await running.health() == "SERVING"


ROOT = Path(__file__).resolve().parents[2]
FLOODING = """
import sys
from tests.support import http2
http2.flood(int(sys.argv[1]), http2.opened_and_reset(int(sys.argv[2])))
"""


def under_flood(server: ServerProcess, count: int) -> tuple[list[float], int]:
    """The pauses that good callers heard while `count` streams were reset, and the growth of memory."""
    callers = Callers(server.target, 8, channels=2)
    before, gaps = server.resident(), []
    child = subprocess.Popen([sys.executable, "-c", FLOODING, str(server.port), str(count)], cwd=ROOT)
    while child.poll() is None:
        answers = callers.all(asking(16, TEXT))
        assert all(answer.whole for answer in answers)
        gaps += [gap for answer in answers for gap in answer.gaps]
    callers.close()
    assert child.returncode == 0
    return gaps, server.resident() - before


@pytest.mark.slow
def test_r8_twenty_thousand_resets(tmp_path: Path, quiet: None) -> None:
    """R8. Pass: no error for others, their pauses' p99 below 100 ms, memory up by less than 20 MB."""
    with serving(tmp_path, "--set", "engine.max_ahead=0") as server:
        callers = Callers(server.target, 8)
        assert all(answer.whole for answer in callers.all(asking(64, TEXT)))
        callers.close()
        gaps, grown = under_flood(server, 20_000)
        assert percentile(gaps, 0.99) < 0.1
        assert grown < 20_000_000
