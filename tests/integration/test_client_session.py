"""The client's sessions against a real server: what is written, what comes, what was heard, what is lost."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import suppress
from dataclasses import replace
from functools import partial
from typing import Any

import pytest
import rhapsode
from rhapsode import exchange, session_wire
from rhapsode_server.models import toy

from tests.integration.conftest import House, house, until

TEXT = (
    "The kettle sings before the water boils. Seven red lanterns hang above the river, and nobody knows why."
)
TOKENS = [TEXT[at : at + 5] for at in range(0, len(TEXT), 5)]


def plain(words: list[rhapsode.Word]) -> str:
    return " ".join(word.text for word in words)


SPOKEN = TEXT.replace(",", "").replace(".", "")


@pytest.fixture
async def place() -> AsyncIterator[House]:
    async with house({"engine.max_ahead": 0}) as running:
        yield running


async def blocking(work: Callable[[], Any]) -> Any:
    """Run blocking code beside the server, which lives in this loop."""
    return await asyncio.to_thread(work)


def idle(place: House) -> bool:
    """Whether nothing is being spoken."""
    assert place.serving.engine is not None
    return place.serving.engine.load().running == 0


# ---- the simple forms


async def test_tokens_become_sound_in_one_loop(place: House) -> None:
    def speak() -> None:
        with rhapsode.Client(place.target) as client:
            speech = client.speak(iter(TOKENS), seed=3, voice="bass")
            chunks = list(speech)
            whole = client.synthesize(TEXT, seed=3, voice="bass").read()
        assert speech.result.complete
        assert speech.info.voice == "bass"
        assert plain([word for chunk in chunks for word in chunk.words]) == SPOKEN
        assert len(b"".join(chunk.data for chunk in chunks)) == 2 * speech.result.usage.delivered_samples
        assert abs(len(whole) - sum(len(chunk.data) for chunk in chunks)) < 40_000
        assert speech.heard == rhapsode.Heard(TEXT, "", len(TEXT), speech.heard.end_sample)

    await blocking(speak)


async def test_tokens_become_sound_in_one_async_loop(place: House) -> None:
    async def tokens() -> AsyncIterator[str]:
        for token in TOKENS:
            yield token
            await asyncio.sleep(0)

    async with rhapsode.AsyncClient(place.target) as client:
        for source in (tokens(), TOKENS):
            async with client.speak(source, seed=3) as speech:
                words = [word async for chunk in speech for word in chunk.words]
            assert plain(words) == SPOKEN
            assert speech.result.complete
        words = [word async for chunk in client.speak(TOKENS) for word in chunk.words]
        assert plain(words) == SPOKEN


async def test_sound_comes_before_the_text_has_ended(place: House) -> None:
    heard = asyncio.Event()

    async def tokens() -> AsyncIterator[str]:
        yield TEXT[:60]
        await heard.wait()
        yield TEXT[60:]

    async with rhapsode.AsyncClient(place.target) as client, client.speak(tokens()) as speech:
        async for _ in speech:
            heard.set()
    assert speech.result.usage.characters == len(TEXT)


async def test_a_loop_that_is_left_frees_the_server(place: House) -> None:
    def speak() -> rhapsode.Heard:
        def forever() -> Iterator[str]:
            while True:
                yield "and so on and on "

        with rhapsode.Client(place.target) as client:
            speech = client.speak(forever())
            for _ in speech:
                break
            with pytest.raises(rhapsode.Cancelled):
                _ = speech.result
            return speech.heard

    heard = await blocking(speak)
    assert heard.text_spoken.startswith("and")
    assert heard.text_remaining
    await until(lambda: idle(place))


@pytest.mark.parametrize("asynchronous", [False, True])
async def test_what_the_text_raises_is_raised_to_the_reader(place: House, asynchronous: bool) -> None:
    def broken() -> Iterator[str]:
        yield TEXT
        raise ConnectionError("the language model is gone")

    if asynchronous:
        async with rhapsode.AsyncClient(place.target) as client:
            with pytest.raises(ConnectionError, match="language model"):
                async for _ in client.speak(broken()):
                    pass
    else:

        def speak() -> None:
            with rhapsode.Client(place.target) as client, pytest.raises(ConnectionError, match="language"):
                list(client.speak(broken()))

        await blocking(speak)
    await until(lambda: idle(place))


# ---- contexts


async def test_many_contexts_on_one_stream_and_one_that_fails(place: House) -> None:
    def talk() -> None:
        with rhapsode.Client(place.target) as client, client.session(voice="bass") as session:
            assert session.info.max_contexts == 16
            session.start("a")
            with pytest.raises(ValueError, match="open already"):
                session.start("a")
            wrong = session.start(voice="nobody")
            contexts = [session.speak(TOKENS, seed=seed) for seed in range(3)]
            with pytest.raises(rhapsode.VoiceNotFound, match="nobody") as refused:
                list(wrong)
            assert refused.value.voices == ("alto", "bass")
            assert refused.value.heard == rhapsode.Heard("", "", 0, 0)
            data = [b"".join(chunk.data for chunk in context) for context in contexts]
            assert all(context.result.complete for context in contexts)
            assert [context.info.seed for context in contexts] == [0, 1, 2]
            assert {context.info.voice for context in contexts} == {"bass"}
            assert len(set(data)) == 3
            assert session.ping() > 0

    await blocking(talk)


async def test_flushes_are_told_in_order_and_end_where_they_say(place: House) -> None:
    def talk() -> list[Any]:
        client = rhapsode.Client(place.target)
        with client, client.session() as session, session.start() as context:
            context.send("One moment")
            context.flush("first")
            context.send(" please")
            context.flush("second")
            context.end()
            with pytest.raises(RuntimeError, match="all its text"):
                context.send("more")
            return list(context.events())

    at, ends = 0, {}
    for event in await blocking(talk):
        if isinstance(event, rhapsode.AudioChunk):
            at = event.start_sample + event.sample_count
        elif isinstance(event, rhapsode.Flushed):
            ends[event.name] = event.end_sample
            assert event.end_sample <= at
    assert list(ends) == ["first", "second"]
    assert 0 < ends["first"] < ends["second"]


async def test_an_interruption_says_what_was_heard(place: House) -> None:
    async with rhapsode.AsyncClient(place.target) as client, client.session() as session:
        context = await session.speak(TOKENS)
        words: list[rhapsode.Word] = []
        async for chunk in context:
            words += chunk.words
        middle = words[len(words) // 2]
        assert context.result.complete
        assert context.heard.characters == len(TEXT)

        again = await session.start()
        await again.send(TEXT)
        await again.flush()
        await again.started()
        got = 0
        async for chunk in again:
            got += chunk.sample_count
            if got > middle.start_sample:
                break
        heard = await again.cancel(middle.start_sample + 1)
        assert heard.text_spoken == TEXT[: middle.char_end]
        assert heard.text_spoken + heard.text_remaining == TEXT
        assert heard.end_sample == middle.start_sample + 1
        assert [chunk async for chunk in again] == []
        with pytest.raises(rhapsode.Cancelled):
            _ = again.result
        assert await again.cancel() == heard


async def test_without_a_report_only_what_was_taken_counts_as_heard(place: House) -> None:
    async with rhapsode.AsyncClient(place.target) as client, client.session() as session:
        context = await session.start()
        await context.send(TEXT)
        await context.flush("all")
        first = await anext(aiter(context))
        await until(lambda: context._account.buffered > 20 * first.sample_count)
        heard = await context.cancel()
        assert heard.end_sample == first.sample_count


async def test_speed_and_playback_reach_the_server(place: House) -> None:
    async with rhapsode.AsyncClient(place.target) as client, client.session() as session:
        await session.change_speed(2.0)
        fast = await session.speak(TOKENS)
        quick = sum([chunk.sample_count async for chunk in fast])
        await session.change_speed(1.0)
        slow = await session.speak(TOKENS)
        await slow.pause(0)
        await slow.resume()
        await slow.report(100)
        assert sum([chunk.sample_count async for chunk in slow]) > 1.2 * quick
        assert await session.ping() > 0
        assert (await session.started()).idle_timeout == 60.0
        assert session.draining is None


# ---- back-pressure


async def test_a_context_that_is_not_read_is_held_back_and_no_other(
    place: House, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Nobody reads the first; it stops on its own, the second comes through, and then the first goes on."""
    monkeypatch.setattr(exchange, "MOST_HELD", 2.0)
    monkeypatch.setattr(exchange, "FEW_HELD", 0.5)
    text = TEXT * 8
    async with rhapsode.AsyncClient(place.target) as client:
        alone = await client.synthesize(text, seed=1, pace="fastest").read()
        async with client.session(pace="fastest") as session:
            unread = await session.speak([text], seed=1)
            await until(lambda: unread._account.held_back)
            other = await session.speak([TEXT], seed=2)
            assert plain([word async for chunk in other for word in chunk.words]) == SPOKEN
            assert unread._account.buffered < len(alone) // 2, "it was never held back"
            words = [word async for chunk in unread for word in chunk.words]
            assert unread.result.complete
            assert plain(words).count("lanterns") == 8


# ---- when things end


class Relay:
    """A way to the server that can be cut."""

    def __init__(self, port: int) -> None:
        self._port = port
        self._ends: list[asyncio.StreamWriter] = []

    async def __aenter__(self) -> str:
        self._server = await asyncio.start_server(self._connected, "127.0.0.1", 0)
        return f"127.0.0.1:{self._server.sockets[0].getsockname()[1]}"

    async def __aexit__(self, *_: object) -> None:
        self.cut()

    def cut(self) -> None:
        """Both sides find the connection broken."""
        self._server.close()
        for end in self._ends:
            end.transport.abort()

    async def _connected(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        there, back = await asyncio.open_connection("127.0.0.1", self._port)
        self._ends += (writer, back)
        await asyncio.gather(self._pump(reader, back), self._pump(there, writer))

    async def _pump(self, source: asyncio.StreamReader, sink: asyncio.StreamWriter) -> None:
        with suppress(OSError):
            while data := await source.read(65536):
                sink.write(data)
                await sink.drain()


async def test_a_connection_that_is_lost_says_what_was_heard() -> None:
    """Who listens keeps what has come, and learns how far that was."""
    sounding, lost = threading.Event(), threading.Event()

    def endless() -> Iterator[str]:
        yield TEXT
        lost.wait(60)

    samples = []

    def collect(context: rhapsode.Context) -> None:
        for chunk in context:
            samples.append(chunk.sample_count)
            sounding.set()

    def listen(target: str) -> rhapsode.RhapsodeError:
        with rhapsode.Client(target) as client, client.session() as session:
            context = session.speak(endless())
            with pytest.raises(rhapsode.ServerUnreachable) as caught:
                collect(context)
            with pytest.raises(rhapsode.ServerUnreachable, match="was lost before"):
                session.start()
            with pytest.raises(rhapsode.ServerUnreachable):
                session.ping()
            assert caught.value.heard == context.heard
            assert context.heard.end_sample == sum(samples)
            return caught.value

    async with house({"engine.max_ahead": 0.3}, lambda: toy.load(step_seconds=0.002)) as running:
        relay = Relay(running.serving.port)
        async with relay as target:
            listening = asyncio.create_task(blocking(lambda: listen(target)))
            await until(sounding.is_set)
            relay.cut()
            error = await listening
        lost.set()
        await until(lambda: idle(running))
    assert isinstance(error, rhapsode.ServerUnreachable)
    assert error.heard is not None
    assert error.heard.text_spoken + error.heard.text_remaining == TEXT
    assert 0 < error.heard.characters < len(TEXT)
    assert f"{error.heard.characters} of {len(TEXT)} characters had been heard." in error.message


async def test_a_server_that_ends_says_so_first_and_who_is_cut_off_learns_what_was_heard() -> None:
    slow = {"engine.max_ahead": 0.3, "server.drain_seconds": 0.1}
    async with house(slow, lambda: toy.load(step_seconds=0.002)) as running:
        client = rhapsode.AsyncClient(running.target)
        async with client, client.session() as session:
            context = await session.start()
            await context.send(TEXT)
            await context.flush()
            await anext(aiter(context))
            running.serving.stop()
            with pytest.raises(rhapsode.RhapsodeError) as ended:
                _ = [chunk async for chunk in context]
            assert session.draining is not None
            assert session.draining.message
    assert ended.value.heard is not None
    assert ended.value.heard.text_spoken + ended.value.heard.text_remaining == TEXT


async def test_nobody_there_is_said_to_whoever_asks() -> None:
    def talk() -> None:
        with rhapsode.Client("127.0.0.1:1") as client:
            session = client.session()
            with pytest.raises(rhapsode.ServerUnreachable, match="No Rhapsode server answers"):
                _ = session.info
            session.close()
            with pytest.raises(rhapsode.ServerUnreachable):
                list(client.speak(TOKENS))

    await blocking(talk)


async def test_a_closed_session_cancels_what_is_open(place: House) -> None:
    def talk() -> None:
        with rhapsode.Client(place.target) as client:
            session = client.session()
            context = session.start()
            context.send(TEXT)
            assert session.info.session_id
            session.close()
            with pytest.raises(rhapsode.Cancelled, match="session was closed"):
                list(context)
            with pytest.raises(RuntimeError, match="Open another"):
                session.start()

    await blocking(talk)
    async with rhapsode.AsyncClient(place.target) as client:
        session = client.session()
        with pytest.raises(RuntimeError, match="async with"):
            await session.start()
    await until(lambda: idle(place))


async def test_options_that_cannot_be_are_refused_before_anything_is_opened(place: House) -> None:
    def talk() -> None:
        with rhapsode.Client(place.target) as client:
            with pytest.raises(TypeError, match="pitch"):
                client.session(pitch=2)  # type: ignore[call-arg]
            with pytest.raises(rhapsode.InvalidRequest, match="no pace"):
                client.session(pace="slow")
            with client.session() as session:
                with pytest.raises(TypeError, match="format"):
                    session.start(format="wav")  # type: ignore[call-arg]
                context = session.speak(["Good morning."], max_ttfa=30.0, request_id="mine", priority="high")
                assert sum(chunk.sample_count for chunk in context) > 0
                assert context.info.request_id == "mine"

    await blocking(talk)


async def test_many_may_ping_on_one_session_at_a_time(place: House) -> None:
    def talk() -> None:
        with rhapsode.Client(place.target) as client, client.session() as session:
            took: list[float] = []
            rounds = [partial(took.extend, (session.ping() for _ in range(50))) for _ in range(16)]
            threads = [threading.Thread(target=work, daemon=True) for work in rounds]
            for thread in threads:
                thread.start()
            for thread in threads:
                thread.join(15)
            assert not any(thread.is_alive() for thread in threads)
            assert len(took) == 16 * 50
            assert min(took) > 0

    await blocking(talk)
    async with rhapsode.AsyncClient(place.target) as client, client.session() as session:
        assert min(await asyncio.gather(*(session.ping() for _ in range(16)))) > 0


@pytest.mark.parametrize("asynchronous", [False, True])
async def test_a_quiet_session_is_kept_alive_while_a_context_is_open(
    place: House, monkeypatch: pytest.MonkeyPatch, asynchronous: bool
) -> None:
    """A language model may think for longer than the server waits for a silent client."""
    pings, ping = threading.Semaphore(0), session_wire.ping

    def counted(nonce: int = 0) -> session_wire.Command:
        pings.release()
        return ping(nonce)

    def impatient(message: Any) -> rhapsode.SessionInfo:
        return replace(info(message), idle_timeout=0.03)  # which this server does not enforce

    info = session_wire.info
    monkeypatch.setattr(session_wire, "ping", counted)
    monkeypatch.setattr(session_wire, "info", impatient)

    def talk() -> None:
        client = rhapsode.Client(place.target)
        with client, client.session() as session, session.start() as context:
            assert all(pings.acquire(timeout=15) for _ in range(3))
            context.send(TEXT)
            context.end()
            assert sum(chunk.sample_count for chunk in context) > 0

    if not asynchronous:
        await blocking(talk)
        return
    async with rhapsode.AsyncClient(place.target) as client, client.session() as session:
        context = await session.start()
        for _ in range(3):
            assert await asyncio.to_thread(pings.acquire, timeout=15)
        await context.send("Good morning.")
        await context.end()
        assert sum([chunk.sample_count async for chunk in context]) > 0
