"""R14: thousands of requests, half of them given up, leave nothing behind; one that leaks on purpose fails.

Two ways to look. Quick: the objects of a request, counted one by one, which finds a single one. Slow: memory,
descriptors and threads of a real process over 20,000 requests, which finds what no count of ours would.
"""

from __future__ import annotations

import asyncio
import gc
import os
import threading
from collections import Counter
from pathlib import Path
from typing import Any

import pytest
from rhapsode.tts.v1 import session_pb2, synthesis_pb2
from rhapsode_server.engine.sequence import Sequence
from rhapsode_server.engine.stream import AudioStream
from rhapsode_server.engine.worker import Flight
from rhapsode_server.models import toy
from rhapsode_server.rpc.call import Call
from rhapsode_server.rpc.session import Session
from rhapsode_server.synthesizer.context import Context
from rhapsode_server.synthesizer.job import Job
from rhapsode_server.synthesizer.speaking import Speaking

from tests.integration.conftest import House, house, until
from tests.reliability.conftest import Callers, asking
from tests.support.process import RHAPSODE, ServerProcess, serving, settings

OF_A_REQUEST = (Sequence, AudioStream, Flight, Job, Speaking, Context, Call, Session, toy.ToyPrompt)
"""What is made for each request and has no business after its end."""


async def some_of_everything(running: House, rounds: int) -> None:
    """Calls and sessions, spoken to the end and given up."""
    for turn in range(rounds):
        await running.speak("Spoken to its end.", seed=turn)
        call = running.stub.Synthesize(synthesis_pb2.SynthesizeRequest(text="Given up. " * 20))
        await call.read()
        call.cancel()
        await _session(running, cancel=bool(turn % 2))
    await until(lambda: running.serving.gate.inside == 0)


async def _session(running: House, *, cancel: bool) -> None:
    command = session_pb2.StreamSynthesizeRequest
    call = running.stub.StreamSynthesize()
    await call.write(command(session_config=session_pb2.SessionConfig()))
    await call.write(command(context_id="a", start_context=session_pb2.StartContext()))
    await call.write(command(context_id="a", text=session_pb2.TextInput(text="One of two ends.")))
    if cancel:
        await call.read()
        call.cancel()
        return
    await call.done_writing()
    while (event := await call.read()).WhichOneof("event") != "context_done":
        assert event.WhichOneof("event") in ("session_started", "context_started", "audio")
    await call.read()


def alive() -> Counter[str]:
    """How many of each there are."""
    gc.collect()
    return Counter(type(each).__name__ for each in gc.get_objects() if type(each) in OF_A_REQUEST)


async def left_behind(running: House, rounds: int, patience: int = 40) -> tuple[Counter[str], int, int, int]:
    """What is there after so many rounds that was not before: objects, descriptors, threads, tasks."""
    await some_of_everything(running, 5)
    await _settled()
    before, counted = alive(), _counts()
    await some_of_everything(running, rounds)
    for _ in range(patience):  # gRPC lets go of a call that was given up a little later
        await _settled()
        more = [now - then for now, then in zip(_counts(), counted, strict=True)]
        if not leaked(alive() - before, rounds) and max(more) <= 0:
            break
    return alive() - before, more[0], more[1], more[2]


async def _settled() -> None:
    """Let the tasks of what has just ended come to their ends.

    asyncio keeps cancelled timers, and the contexts they were made in, until there are more than a hundred:
    a deadline that nobody waits for any more would look like a call that stays.
    """
    loop = asyncio.get_running_loop()
    for timer in [loop.call_later(3600, gc.collect) for _ in range(300)]:
        timer.cancel()
    for _ in range(50):
        await asyncio.sleep(0.001)


def _counts() -> tuple[int, int, int]:
    """Descriptors, threads and tasks; not the text workers, which their bounded pool begins late."""
    threads = [each for each in threading.enumerate() if not each.name.startswith("rhapsode-text")]
    return len(os.listdir("/proc/self/fd")), len(threads), len(asyncio.all_tasks())


def leaked(objects: Counter[str], rounds: int) -> list[str]:
    """The kinds of which something stays with each round; a stray one of the last call is no leak."""
    return sorted(name for name, count in objects.items() if count >= rounds / 4)


async def test_r14_nothing_of_a_request_stays() -> None:
    """R14. Pass: no object of a request, no descriptor, thread or task is left; created = released."""
    async with house({"engine.slots": 4}) as running:
        rounds = 60
        objects, descriptors, threads, tasks = await left_behind(running, rounds)
        assert leaked(objects, rounds) == []
        assert max(descriptors, threads, tasks) <= 2, (descriptors, threads, tasks)
        numbers = [event.number for event in running.witness.sequences]
        assert sorted(numbers) == list(range(1, len(numbers) + 1))


async def test_r14_a_leak_on_purpose_is_found(monkeypatch: pytest.MonkeyPatch) -> None:
    """R14. Pass: the same check fails for a server that keeps its jobs."""
    kept: list[Any] = []
    settle = Job.settle

    async def keeping(self: Job) -> Any:
        kept.append(self)
        return await settle(self)

    monkeypatch.setattr(Job, "settle", keeping)
    async with house({"engine.slots": 4}) as running:
        objects, *_ = await left_behind(running, 20, patience=5)
        assert {"Job", "Speaking", "AudioStream", "Sequence"} <= set(leaked(objects, 20))


# ---- a real process

REQUESTS, WARM, SAMPLES = 20_000, 4_000, 16
SLOPE = 20_000
"""Bytes for each thousand requests."""
LEAKING = """
import sys
from rhapsode_server.main import serve_command
from rhapsode_server.synthesizer.job import Job
kept, settle = [], Job.settle
async def keeping(self):
    kept.append((self, bytearray(100)))
    return await settle(self)
Job.settle = keeping
sys.exit(serve_command(sys.argv[1:]))
"""


BARE = """
import asyncio, grpc
from rhapsode.tts.v1 import synthesis_pb2
SOUND = synthesis_pb2.SynthesizeResponse(audio={"data": b"x" * 2000}).SerializeToString()
async def speak(request, context):
    await context.send_initial_metadata((("x-request-id", "0123456789abcdef"),))
    context.set_trailing_metadata((("endpoint-load-metrics-bin", bytes(60)),))
    for _ in range(12):
        await context.write(SOUND)
        await asyncio.sleep(0)
async def main():
    server = grpc.aio.server()
    methods = {"Synthesize": grpc.unary_stream_rpc_method_handler(speak)}
    name = "rhapsode.tts.v1.SpeechSynthesisService"
    server.add_generic_rpc_handlers((grpc.method_handlers_generic_handler(name, methods),))
    port = server.add_insecure_port("127.0.0.1:0")
    await server.start()
    print(f"listening on 127.0.0.1:{port}; ready: ", flush=True)
    await server.wait_for_termination()
asyncio.run(main())
"""
"""grpc.aio and nothing else, with metadata as ours sends it: a call that is given up leaves 170 bytes behind
for ever, and 40 more for each kind of metadata (grpcio 1.85)."""


def grown(folder: Path, requests: int, *arguments: str, program: tuple[str, ...] = RHAPSODE) -> float:
    """Bytes by which a server's memory grows with each 1,000 requests after a warm-up."""
    with serving(folder, *arguments, program=program) as server:
        soak(server, requests // 4)
        return slope([resident for resident, _, _ in soak(server, requests)], requests / SAMPLES)


def soak(server: ServerProcess, requests: int) -> list[tuple[int, int, int]]:
    """Resident memory, descriptors and threads, SAMPLES times in the course of so many requests."""
    callers = Callers(server.target, 8)
    seen = []
    for _ in range(SAMPLES):
        each = requests // SAMPLES // 2
        callers.all(asking(each, "Spoken."))
        callers.all(asking(each, "Given up by its caller, long before the end of it. " * 4), leave_after=2)
        seen.append((server.resident(), server.descriptors(), server.threads()))
    callers.close()
    return seen


def slope(values: list[int], step: float) -> float:
    """Growth for each 1,000 requests by Theil and Sen: the median over all pairs, blind to single jumps."""
    pairs = [
        (values[b] - values[a]) / ((b - a) * step)
        for a in range(len(values))
        for b in range(a + 1, len(values))
    ]
    return sorted(pairs)[len(pairs) // 2] * 1000


SMALL = ("--set", "engine.slots=8", "--set", "engine.max_ahead=0")


@pytest.mark.slow
def test_r14_twenty_thousand_requests(tmp_path: Path) -> None:
    """R14. Pass: memory grows by < 20 KB for 1,000 requests beyond gRPC's own; files and threads do not."""
    bare = grown(tmp_path, REQUESTS // 2, program=("-c", BARE))
    with serving(tmp_path, *SMALL) as server:
        soak(server, WARM)
        seen = soak(server, REQUESTS)
        assert slope([resident for resident, _, _ in seen], REQUESTS / SAMPLES) - bare < SLOPE
        assert max(fds for _, fds, _ in seen) - min(fds for _, fds, _ in seen) <= 8
        assert len({threads for *_, threads in seen[2:]}) <= 3


@pytest.mark.slow
def test_r14_the_soak_sees_a_leak(tmp_path: Path) -> None:
    """R14. Pass: the control, a server that keeps every job, fails the check of memory."""
    bare = grown(tmp_path, REQUESTS // 5, program=("-c", BARE))
    assert grown(tmp_path, REQUESTS // 5, *SMALL, program=("-c", LEAKING)) - bare > SLOPE


def test_r14_the_slope_is_one() -> None:
    """The measure itself: a line, a jump, nothing."""
    assert slope([0, 10, 20, 30, 40], 1000) == 10
    assert slope([5, 5, 5, 900, 5, 5], 10) == 0
    assert settings(a__b=1) == ["--set", "a.b=1"]
