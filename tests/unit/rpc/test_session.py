"""A session by itself, without a network: what a client that never reads may cost, who counts refusals."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable
from typing import Any, cast

import grpc
import pytest
from rhapsode.tts.v1 import session_pb2
from rhapsode_server.errors import RhapsodeError
from rhapsode_server.rpc import call as calls
from rhapsode_server.rpc.gate import Gate
from rhapsode_server.rpc.session import Session
from rhapsode_server.rpc.session_convert import SessionLimits
from rhapsode_server.rpc.session_events import MOST_UNTOLD, Witness
from rhapsode_server.synthesizer.arriving import MOST_UNREAD

from tests.unit.synthesizer.conftest import Bench, bench, make_bench

__all__ = ["bench", "make_bench"]

Command = session_pb2.StreamSynthesizeRequest
OPENING = Command(session_config=session_pb2.SessionConfig())
START = Command(context_id="a", start_context=session_pb2.StartContext())
REFUSED = Command(context_id="b", start_context=session_pb2.StartContext(voice="nobody"))


def text(words: str) -> Command:
    return Command(context_id="a", text=session_pb2.TextInput(text=words))


class Client:
    """What gRPC calls a context: takes events, or never comes back from the first of them."""

    def __init__(self, *, deaf: bool = False) -> None:
        self.events: list[session_pb2.StreamSynthesizeResponse] = []
        self._deaf = deaf

    async def send_initial_metadata(self, _metadata: object) -> None:
        pass

    async def write(self, event: session_pb2.StreamSynthesizeResponse) -> None:
        self.events.append(event)
        if self._deaf:
            await asyncio.Event().wait()

    def warnings(self) -> list[Any]:
        return [event.warning for event in self.events if event.HasField("warning")]

    def kinds(self) -> list[str]:
        return [str(event.WhichOneof("event")) for event in self.events]


def opened(place: Bench, witness: Witness | None = None) -> Session:
    gate = Gate()
    gate.open(place.synthesizer, cast("Any", None))
    call = calls.begin("/m", ())
    return Session(place.synthesizer, gate, call, SessionLimits(), witness or Witness())


async def said(*commands: Command) -> AsyncIterator[Command]:
    for command in (OPENING, *commands):
        await asyncio.sleep(0)  # as a network would
        yield command


FLOODS: dict[str, Callable[[int], Command]] = {
    "pings": lambda number: Command(ping=session_pb2.Ping(nonce=number)),
    "words for nobody": lambda _: Command(context_id="x", text=session_pb2.TextInput(text="hello")),
    "contexts that are refused": lambda _: REFUSED,
    "flushes": lambda n: Command(context_id="a", flush=session_pb2.Flush(flush_id=str(n))),
    "speeds that there are not": lambda _: Command(
        context_id="a", update_config=session_pb2.UpdateConfig(speed=99.0)
    ),
}


@pytest.mark.parametrize("name", FLOODS)
async def test_who_asks_and_never_reads_is_not_listened_to_for_ever(bench: Bench, name: str) -> None:
    """What it is to be told waits for it, and takes memory; so it is not asked for more."""
    asked = 0

    async def flood() -> AsyncIterator[Command]:
        nonlocal asked
        yield OPENING
        yield START
        while True:
            asked += 1
            yield FLOODS[name](asked)

    serving = asyncio.create_task(opened(bench).run(flood(), cast("Any", Client(deaf=True))))
    while asked < MOST_UNTOLD - 2:  # noqa: ASYNC110 - there is no event to wait for
        await asyncio.sleep(0)
    for _ in range(2000):
        await asyncio.sleep(0)
    assert asked <= MOST_UNTOLD + MOST_UNREAD + 8
    serving.cancel()
    await asyncio.wait([serving])


async def test_how_each_context_ended_is_told(bench: Bench) -> None:
    """The session goes on and ends well, so nobody else would tell."""
    ended: list[tuple[str, bool]] = []

    def told(error: BaseException | None, sounded: bool) -> None:
        ended.append((error.reason if isinstance(error, RhapsodeError) else type(error).__name__, sounded))

    client, cancel = Client(), Command(context_id="a", cancel=session_pb2.Cancel())
    other = (
        Command(context_id="b", start_context=session_pb2.StartContext()),
        Command(context_id="b", text=session_pb2.TextInput(text="Hello there.")),
        Command(context_id="c", start_context=session_pb2.StartContext()),
        Command(context_id="c", text=session_pb2.TextInput(text="\x07")),
    )
    commands = said(REFUSED, START, cancel, *other)
    await opened(bench, Witness(ended=told)).run(commands, cast("Any", client))
    assert client.kinds().count("context_error") == 2
    assert sorted(ended) == [
        ("CancelledError", False),
        ("NoneType", True),
        ("TEXT_REFUSED", False),
        ("VOICE_NOT_FOUND", False),
    ]


@pytest.mark.parametrize("name", ["a", ""])
@pytest.mark.parametrize("speed", [99.0, float("nan")])
async def test_a_speed_that_there_is_not_harms_nobody(bench: Bench, name: str, speed: float) -> None:
    client = Client()
    fast = Command(context_id=name, update_config=session_pb2.UpdateConfig(speed=speed))
    await opened(bench).run(said(START, text("Hello there."), fast), cast("Any", client))
    [warning] = client.warnings()
    assert warning.reason == "INVALID_REQUEST"
    assert "0.5 to 2 times" in warning.message
    assert client.kinds()[-1] == "context_done"


async def test_a_name_is_free_as_soon_as_its_context_was_cancelled(bench: Bench) -> None:
    """Who interrupts and speaks on at once need not wait for the answer."""
    client = Client()
    cancel = Command(context_id="a", cancel=session_pb2.Cancel())
    again = (START, text("Hello. "), cancel)
    commands = (*again, *again, START, text("Yes."))
    await opened(bench).run(said(*commands), cast("Any", client))
    ends = ("context_started", "context_cancelled", "context_done", "context_error")
    assert [kind for kind in client.kinds() if kind in ends] == [
        *("context_started", "context_cancelled"),
        *("context_started", "context_cancelled"),
        *("context_started", "context_done"),
    ]


async def test_who_waits_for_text_when_the_time_is_up_is_told(bench: Bench) -> None:
    """The engine cuts off what it speaks; this context has nothing in the engine."""
    gate, client = Gate(), Client()
    gate.open(bench.synthesizer, cast("Any", None))
    session = Session(bench.synthesizer, gate, calls.begin("/m", ()), SessionLimits(), Witness())

    async def commands() -> AsyncIterator[Command]:
        async for command in said(START, text("Well ")):
            yield command
        await asyncio.sleep(0)
        gate.close(0.0)
        await asyncio.Event().wait()

    await session.run(commands(), cast("Any", client))
    assert client.kinds()[-2:] == ["server_notice", "context_error"]
    assert client.events[-1].context_error.code == grpc.StatusCode.UNAVAILABLE.value[0]
    assert "Ask another server" in client.events[-1].context_error.message


async def test_a_listener_who_pauses_for_ever_gives_its_place_back(bench: Bench) -> None:
    """So does a text that never ends. What was sent is good, and the session goes on."""
    gate, client = Gate(), Client()
    gate.open(bench.synthesizer, cast("Any", None))
    limits = SessionLimits(longest=0.05)
    session = Session(bench.synthesizer, gate, calls.begin("/m", ()), limits, Witness())
    paused = Command(context_id="a", playback_report=session_pb2.PlaybackReport(paused=True))

    async def commands() -> AsyncIterator[Command]:
        async for command in said(START, paused, text("Hello.")):
            yield command
        while "context_error" not in client.kinds():  # noqa: ASYNC110 - there is no event to wait for
            await asyncio.sleep(0.01)
        yield Command(ping=session_pb2.Ping(nonce=1))

    await session.run(commands(), cast("Any", client))
    assert client.kinds()[-2:] == ["context_error", "pong"]
    error = next(event.context_error for event in client.events if event.HasField("context_error"))
    assert error.code == grpc.StatusCode.DEADLINE_EXCEEDED.value[0]
    while bench.engine.load().running:  # noqa: ASYNC110 - there is no event to wait for
        await asyncio.sleep(0)


async def test_text_after_the_end_is_told_to_be_lost(bench: Bench) -> None:
    client = Client()
    end = Command(context_id="a", end_context=session_pb2.EndContext())
    flush = Command(context_id="a", flush=session_pb2.Flush(flush_id="f"))
    late = (end, text(" And more."), flush, end)
    await opened(bench).run(said(START, text("Hello there."), *late), cast("Any", client))
    assert [warning.reason for warning in client.warnings()] == ["CONTEXT_COMPLETE"] * 3
    [done] = [event.context_done for event in client.events if event.HasField("context_done")]
    assert done.usage.characters == len("Hello there.")


async def test_a_flush_id_without_end_is_refused(bench: Bench) -> None:
    long = Command(context_id="a", flush=session_pb2.Flush(flush_id="f" * 257))
    with pytest.raises(RhapsodeError, match="at most 256 characters"):
        await opened(bench).run(said(START, long), cast("Any", Client()))


async def test_the_log_names_a_voice_that_there_is_and_no_other_words(bench: Bench) -> None:
    call = calls.begin("/m", ())
    for voice, logged in (("nobody, whose words are long", None), ("bass", "bass")):
        config = Command(session_config=session_pb2.SessionConfig(voice=voice))
        session = opened(bench)
        session._call = call

        async def commands(first: Command = config) -> AsyncIterator[Command]:
            yield first
            yield START
            yield text("Hello.")

        await session.run(commands(), cast("Any", Client()))
        assert call.facts.get("voice") == logged


async def test_what_nobody_foresaw_is_logged_by_type_and_place(
    bench: Bench, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    """The client is told INTERNAL; who runs the server must be able to find out why, without the text."""

    def broken(*_: object) -> None:
        raise ZeroDivisionError("Hello there.")

    monkeypatch.setattr("rhapsode_server.synthesizer.packing.Packer.sound", broken)
    client = Client()
    await opened(bench).run(said(START, text("Hello there.")), cast("Any", client))
    assert client.events[-1].context_error.code == grpc.StatusCode.INTERNAL.value[0]
    [line] = [record.getMessage() for record in caplog.records if "a context failed" in record.getMessage()]
    assert "ZeroDivisionError" in line
    assert "test_session.py" in line
    assert "Hello" not in caplog.text
