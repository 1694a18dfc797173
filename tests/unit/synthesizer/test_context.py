"""One context: how far it runs, what it wastes, what it believes of its listener."""

from __future__ import annotations

import asyncio
from types import SimpleNamespace
from typing import Any, cast

import pytest
from rhapsode_server.engine.sequence import Status
from rhapsode_server.errors import InvalidRequest
from rhapsode_server.models import toy
from rhapsode_server.synthesizer import Audio, Done, Event, Report, Terms
from rhapsode_server.synthesizer import arriving as arriving_module
from rhapsode_server.synthesizer.context import Cancelled, Context, ContextEvent, Failed, FlushDone
from rhapsode_server.synthesizer.speaking import Speaking

from tests.support import fed_toy
from tests.unit.synthesizer.conftest import Bench, MakeBench, request

CHUNK = 16 * toy.SAMPLES_PER_FRAME
"""The most samples that a chunk of the toy's has."""
FIRST = 2 * toy.SAMPLES_PER_FRAME
"""The samples of its first chunk."""
SENTENCES = "It rains again. " * 12
LONG = "The kettle sings before the water boils and nobody knows why it does so " * 2


class Listener:
    """A context on a wire that takes its sound at once, or not before `taken`."""

    def __init__(self, bench: Bench, terms: Terms | None = None, *, slow: bool = False) -> None:
        self.events: list[ContextEvent] = []
        self.slow = slow
        self.reports = False
        self._news = asyncio.Event()
        self.context = bench.synthesizer.context(request(""), terms or Terms(), self._tell)
        self.context.start()

    def _tell(self, context: Context, event: ContextEvent) -> None:
        self.events.append(event)
        if isinstance(event, Audio) and not self.slow:
            self.take(event)
        self._news.set()

    def take(self, audio: Audio) -> None:
        """The sound goes out; a listener who reports has not begun to play."""
        assert self.context.sends(audio)
        self.context.sent()
        if self.reports:
            self.context.report(0, paused=False)

    async def until(self, kind: type[ContextEvent], count: int = 1) -> ContextEvent:
        while len(self.of(kind)) < count:
            self._news.clear()
            await self._news.wait()
        return self.of(kind)[count - 1]

    def of(self, kind: type[ContextEvent]) -> list[ContextEvent]:
        return [event for event in self.events if isinstance(event, kind)]

    @property
    def samples(self) -> int:
        return sum(event.samples for event in self.events if isinstance(event, Audio))


async def meanwhile(bench: Bench, times: int = 3) -> None:
    """Others speak, so that the engine has had all the steps that it could want."""
    for _ in range(times):
        await bench.speak(LONG, terms=Terms(paced=False))


async def submitted(bench: Bench, pieces: int) -> None:
    while len(bench.engine.streams) < pieces:  # noqa: ASYNC110 - there is no event to wait for
        await asyncio.sleep(0)


async def told(bench: Bench) -> Report:
    """The story of the first context that has ended."""
    while not bench.books.reports:  # noqa: ASYNC110 - there is no event to wait for
        await asyncio.sleep(0)
    return bench.books.reports[0]


def last(bench: Bench) -> int:
    return bench.books.reports[-1].unsent


# ---- waste; time stands still, for nobody is waited for without end


@pytest.fixture
def still(make_bench: MakeBench) -> Bench:
    return make_bench(clock=lambda: 1000.0)


async def test_a_wire_that_takes_nothing_costs_one_chunk(still: Bench) -> None:
    """However long nobody takes it, and however fast the engine: one chunk waits and no other is made."""
    one = Listener(still, slow=True)
    one.context.feed(LONG)
    one.context.end()
    await one.until(Audio)
    await meanwhile(still)
    await one.context.cancel()
    await still.settled()
    assert len(one.of(Audio)) == 1
    assert last(still) == FIRST, "the first chunk, and nothing besides"


@pytest.mark.parametrize("taken", range(1, 12))
async def test_an_interruption_wastes_one_chunk_at_most(still: Bench, taken: int) -> None:
    one = Listener(still, Terms(max_ahead=600.0))
    one.context.feed(LONG)
    one.context.end()
    await one.until(Audio, taken)
    one.slow = True
    await one.until(Audio, taken + 1)
    await meanwhile(still, 1)
    await one.context.cancel()
    await still.settled()
    assert last(still) <= CHUNK


async def test_the_piece_that_follows_has_not_sounded_before_it_is_its_turn(still: Bench) -> None:
    """It is handed to the engine early, and stands ready with its frames."""
    one = Listener(still)
    one.context.feed("Yes. No. " + SENTENCES)
    one.context.end()
    while len(still.engine.streams) < 2:
        await one.until(Audio, len(one.of(Audio)) + 1)
    one.slow = True
    await one.until(Audio, len(one.of(Audio)) + 1)
    await meanwhile(still)
    await one.context.cancel()
    await still.settled()
    assert last(still) <= CHUNK


async def test_a_reader_who_does_not_come_back_costs_one_chunk(still: Bench) -> None:
    """The same for a call of its own."""
    events = still.synthesizer.synthesize(request(LONG), Terms(max_ahead=600.0))
    heard: list[Event] = [await anext(events), await anext(events)]
    assert isinstance(heard[-1], Audio)
    await meanwhile(still)
    await events.aclose()
    await still.settled()
    assert last(still) == FIRST


async def test_sound_on_its_way_when_the_listener_interrupts_counts_as_sent(bench: Bench) -> None:
    one = Listener(bench, slow=True)
    one.context.feed(LONG)
    one.context.end()
    audio = await one.until(Audio)
    assert isinstance(audio, Audio)
    assert one.context.sends(audio)
    await one.context.cancel()
    heard = await one.until(Cancelled)
    assert isinstance(heard, Cancelled)
    assert (heard.end, heard.characters) == (audio.samples, len("The"))
    await bench.settled()
    assert last(bench) == 0


# ---- what is known of the listener


async def test_reports_of_a_listener_who_stands_still_hold_up_every_piece(make_bench: MakeBench) -> None:
    """Many short sentences are no way around `max_ahead`: what went before them is not played yet either."""
    bench, ahead = make_bench(clock=lambda: 1000.0), 1.0
    one = Listener(bench, Terms(max_ahead=ahead))
    one.reports = True
    one.context.feed(SENTENCES)
    one.context.end()
    await one.until(Audio)
    await meanwhile(bench)
    assert len(bench.engine.streams) >= 2
    assert ahead <= one.samples / toy.SAMPLE_RATE <= ahead + 2 * CHUNK / toy.SAMPLE_RATE
    await one.context.cancel()


async def test_who_pauses_before_there_is_any_text_hears_nothing(bench: Bench) -> None:
    one = Listener(bench)
    one.context.report(0, paused=True)
    one.context.feed(LONG)
    one.context.end()
    await submitted(bench, 1)
    await meanwhile(bench)
    assert one.of(Audio) == []
    one.context.report(0, paused=False)
    await one.until(Done)


async def test_a_pause_holds_for_pieces_that_begin_later(bench: Bench) -> None:
    one = Listener(bench)
    one.context.feed("It rains again. ")
    one.context.flush("one")
    await one.until(FlushDone)
    one.context.report(10, paused=True)
    one.context.feed("It snows again. ")
    one.context.flush("two")
    await submitted(bench, 2)
    await meanwhile(bench)
    assert bench.engine.streams[1].sequence.delivered == 0
    one.context.report(10, paused=False)
    await one.until(FlushDone, 2)


W, D, F = Status.WAITING, Status.DECODING, Status.FINISHED


@pytest.mark.parametrize(
    ("pieces", "paused", "queued"),
    [
        ([], False, False),
        ([W], False, True),
        ([W, W], False, True),
        ([D, W], False, False),  # the last free slot is left to others
        ([Status.DRAINING, W], False, False),
        ([F, W], False, True),
        ([F, D], False, False),
        ([F, F], False, False),
        ([W], True, False),  # who has paused waits for nothing
    ],
)
def test_who_waits_for_a_slot(pieces: list[Status], paused: bool, queued: bool) -> None:
    flights = [SimpleNamespace(stream=SimpleNamespace(sequence=SimpleNamespace(status=x))) for x in pieces]
    speaking = Speaking.__new__(Speaking)
    speaking._paused, speaking._flights = paused, cast("Any", flights)
    assert speaking.queued is queued


@pytest.mark.parametrize("growing", [False, True])
async def test_waiting_for_text_is_nobodys_gap(make_bench: MakeBench, growing: bool) -> None:
    """The language model thinks for a minute in mid-text: the server has kept nobody waiting."""
    now = [1000.0]
    bench = make_bench(fed_toy.load() if growing else None, clock=lambda: now[0])
    one = Listener(bench, Terms(max_ahead=600.0))
    one.context.feed("It rains again. And then ")
    one.context.flush("one")
    await one.until(FlushDone)
    now[0] += 60.0
    one.context.feed("it snows.")
    one.context.end()
    await one.until(Done)
    report = await told(bench)
    assert (report.underruns, max(report.gaps, default=0.0)) == (0, 0.0)


async def test_a_listener_who_paused_has_heard_no_gap(make_bench: MakeBench) -> None:
    now = [1000.0]
    bench = make_bench(clock=lambda: now[0])
    one = Listener(bench, Terms(max_ahead=600.0), slow=True)
    one.context.feed(LONG)
    one.context.end()
    audio = await one.until(Audio)
    assert isinstance(audio, Audio)
    one.context.report(0, paused=True)
    now[0] += 60.0
    one.slow = False
    one.take(audio)
    one.context.report(0, paused=False)
    await one.until(Done)
    assert (await told(bench)).underruns == 0


async def test_a_server_that_stood_still_is_a_gap(make_bench: MakeBench) -> None:
    now = [1000.0]
    bench = make_bench(clock=lambda: now[0])
    one = Listener(bench, Terms(max_ahead=600.0), slow=True)
    one.context.feed(LONG)
    one.context.end()
    for number in (1, 2):
        audio = await one.until(Audio, number)
        assert isinstance(audio, Audio)
        now[0] += 60.0
        one.slow = number == 1
        one.take(audio)
    await one.until(Done)
    assert (await told(bench)).underruns == 1


# ---- more than can be read


async def test_text_that_comes_faster_than_it_is_read_waits(
    bench: Bench, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(arriving_module, "MOST_UNREAD", 4)
    one = Listener(bench)
    for _ in range(5):
        one.context.feed("word ")
    assert one.context._pieces._crowded()
    await one.context.room()
    assert not one.context._pieces._crowded()
    await one.context.cancel()


async def test_text_for_a_context_that_was_refused_is_not_kept(bench: Bench) -> None:
    one = Listener(bench)
    one.context.feed("a bell \x07 rings")
    await one.until(Failed)
    for _ in range(100):
        one.context.feed("more")
        await one.context.room()
    assert one.context._pieces.text == "a bell \x07 rings"


async def test_flushes_without_end_are_refused(bench: Bench, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(arriving_module, "MOST_FLUSHES", 3)
    one = Listener(bench, slow=True)
    for number in range(3):
        one.context.flush(str(number))
    with pytest.raises(InvalidRequest, match="Flush less often"):
        one.context.flush("too many")
    await one.context.cancel()
