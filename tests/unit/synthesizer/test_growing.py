"""Contexts of a family that speaks a piece while its text still grows."""

from __future__ import annotations

import asyncio
from itertools import pairwise

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from rhapsode_server.core import FinishReason
from rhapsode_server.engine.engine import Engine
from rhapsode_server.engine.worker import EngineSettings
from rhapsode_server.errors import TextRefused
from rhapsode_server.models import toy
from rhapsode_server.models.base import SpeechModel
from rhapsode_server.synthesizer import Audio, Done, Synthesizer, Terms
from rhapsode_server.synthesizer.context import Cancelled, Context, ContextEvent, Failed, FlushDone

from tests.support import fed_toy
from tests.unit.synthesizer.conftest import Bench, CountingDesk, MakeBench, request

TEXT = "The kettle sings before the water boils, and 20% of it is gone. Seven red lanterns hang above it all"


class Told:
    """A context and everything it says."""

    def __init__(self, synthesizer: Synthesizer, **fields: object) -> None:
        self.events: list[ContextEvent] = []
        self.news = asyncio.Event()
        asked = request("", voice="alto", **fields)
        self.context = synthesizer.context(asked, Terms(), self._tell)
        self.context.start()

    def _tell(self, context: Context, event: ContextEvent) -> None:
        self.events.append(event)
        if isinstance(event, Audio):
            assert context.sends(event)
            context.sent()
        self.news.set()

    async def until(self, kind: type[ContextEvent]) -> ContextEvent:
        while True:
            for event in self.events:
                if isinstance(event, kind):
                    return event
            self.news.clear()
            await self.news.wait()

    @property
    def data(self) -> bytes:
        return b"".join(event.data for event in self.events if isinstance(event, Audio))


@pytest.fixture
def fed(make_bench: MakeBench) -> Bench:
    return make_bench(fed_toy.load(), EngineSettings(slots=2))


async def at_once(bench: Bench, text: str) -> Told:
    told = Told(bench.synthesizer)
    told.context.feed(text)
    told.context.end()
    await told.until(Done)
    return told


async def test_it_sounds_before_any_clause_is_over(fed: Bench) -> None:
    told = Told(fed.synthesizer)
    told.context.feed("The kettle sings befor")
    assert isinstance(await told.until(Audio), Audio)
    assert len(fed.engine.streams) == 1
    told.context.feed(TEXT[len("The kettle sings befor") :])
    told.context.end()
    done = await told.until(Done)
    assert isinstance(done, Done)
    assert done.reason is FinishReason.STOP
    assert told.data == (await at_once(fed, TEXT)).data


async def test_every_sentence_has_a_row_of_its_own(fed: Bench) -> None:
    told = await at_once(fed, TEXT)
    assert len(fed.engine.streams) == 2
    words = [word for event in told.events if isinstance(event, Audio) for word in event.words]
    heard = [TEXT[word.char_start : word.char_end] for word in words]
    assert "".join(heard) == "".join(TEXT.replace(",", "").replace(".", "").split())
    assert all(before.start <= after.start for before, after in pairwise(words))


async def test_a_flush_speaks_what_is_held_and_more_may_follow(fed: Bench) -> None:
    told = Told(fed.synthesizer)
    told.context.feed("The kettle sings befor")
    told.context.flush("one")
    flushed = await told.until(FlushDone)
    assert isinstance(flushed, FlushDone)
    letters = len("The kettle sings befor")
    assert flushed.end >= letters * toy.FRAMES_PER_LETTER * toy.SAMPLES_PER_FRAME
    told.context.feed(" it boils")
    told.context.end()
    await told.until(Done)
    assert len(fed.engine.streams) == 2


async def test_interrupted_while_it_waits_for_text(fed: Bench) -> None:
    told = Told(fed.synthesizer)
    told.context.feed("The kettle sings befor")
    await told.until(Audio)
    await told.context.cancel()
    cancelled = await told.until(Cancelled)
    assert isinstance(cancelled, Cancelled)
    assert cancelled.text[: cancelled.characters].startswith("The")
    await fed.settled()
    assert fed.engine.load().running == 0


async def test_text_that_is_refused_later_ends_the_context_and_frees_the_row(fed: Bench) -> None:
    told = Told(fed.synthesizer)
    told.context.feed("The kettle sings befor")
    await told.until(Audio)
    told.context.feed("e \x00 boils")
    failed = await told.until(Failed)
    assert isinstance(failed, Failed)
    assert isinstance(failed.error, TextRefused)
    await fed.settled()
    assert fed.engine.load().running == 0


async def test_nothing_to_speak(fed: Bench) -> None:
    told = Told(fed.synthesizer)
    told.context.feed("... ")
    told.context.end()
    failed = await told.until(Failed)
    assert isinstance(failed, Failed)
    assert isinstance(failed.error, TextRefused)


@settings(max_examples=10, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(cuts=st.lists(st.integers(0, len(TEXT)), max_size=12), turns=st.lists(st.integers(0, 30), min_size=1))
def test_however_it_is_cut_and_whenever_it_comes(cuts: list[int], turns: list[int]) -> None:
    async def speak() -> None:
        model: SpeechModel = fed_toy.load()
        engine, desk = Engine(model, EngineSettings(slots=2)), CountingDesk()
        engine.start()
        synthesizer = Synthesizer(engine, desk)
        told = Told(synthesizer)
        for number, (begin, end) in enumerate(pairwise(sorted({0, len(TEXT), *cuts}))):
            told.context.feed(TEXT[begin:end])
            for _ in range(turns[number % len(turns)]):
                await asyncio.sleep(0)
        told.context.end()
        await told.until(Done)
        whole = Told(synthesizer)
        whole.context.feed(TEXT)
        whole.context.end()
        await whole.until(Done)
        assert told.data == whole.data
        assert await asyncio.to_thread(engine.stop)
        await synthesizer.close()

    asyncio.run(speak())
