"""The timeline of an utterance: what began when, in order, and nothing that never was."""

from __future__ import annotations

from contextlib import aclosing
from itertools import pairwise

from rhapsode_server.engine.sequence import Stamps
from rhapsode_server.synthesizer import Audio, Stage, Terms
from rhapsode_server.synthesizer.stages import MOST_PIECES, Spell, StageTime, Worked, timeline

from tests.unit.synthesizer.conftest import Bench, request

WHOLE = Stamps(
    submitted=10.3,
    admitted=10.4,
    prefilled=10.5,
    first_frame=10.6,
    last_frame=10.9,
    finished=11.0,
    prefill_busy=0.05,
    decode_busy=0.2,
    vocode_busy=0.1,
)


def spell(*times: tuple[float, float]) -> Spell:
    made = Spell()
    for start, end in times:
        made.add(start, end)
    return made


def rounded(one: StageTime) -> tuple[str, float, float, float]:
    return one.stage.value, round(one.start, 6), round(one.end, 6), round(one.busy, 6)


def test_every_stage_has_its_place_in_time() -> None:
    told = timeline(
        10.0,
        10.1,
        [Worked(10.1, 10.3, WHOLE)],
        spell((10.7, 10.8), (10.9, 10.95)),
        spell((10.8, 10.85), (10.95, 11.2)),
    )
    assert [rounded(one) for one in told] == [
        ("receive", 0.0, 0.1, 0.1),
        ("normalize", 0.1, 0.3, 0.2),
        ("queue", 0.3, 0.4, 0.0),
        ("prefill", 0.4, 0.5, 0.05),
        ("decode", 0.5, 0.9, 0.2),
        ("vocode", 0.6, 1.0, 0.1),
        ("encode", 0.7, 0.95, 0.15),
        ("send", 0.8, 1.2, 0.3),
    ]


def test_what_never_began_is_not_told_of() -> None:
    waiting = Worked(1.0, 1.5, Stamps(submitted=1.5, finished=2.0))
    told = timeline(1.0, 1.0, [waiting], Spell(), Spell())
    assert [rounded(one) for one in told] == [("normalize", 0.0, 0.5, 0.5), ("queue", 0.5, 1.0, 0.0)]


def test_a_book_is_not_told_of_to_its_end() -> None:
    told = timeline(10.0, 10.0, [Worked(10.1, 10.3, WHOLE)] * 1000, Spell(), Spell())
    assert {one.piece for one in told} == set(range(MOST_PIECES))


async def test_the_stages_of_a_real_utterance_are_in_time_order(bench: Bench) -> None:
    arrived = bench.synthesizer._clock()
    heard = await bench.speak("one two three|four five", terms=Terms(received=arrived))
    spent = heard.done.timings
    assert {one.stage for one in spent.stages} == set(Stage)
    assert [one.start for one in spent.stages] == sorted(one.start for one in spent.stages)
    assert {one.piece for one in spent.stages} == {0, 1}
    took = {(one.stage, one.piece): one for one in spent.stages}
    ordered = (Stage.RECEIVE, Stage.NORMALIZE, Stage.QUEUE, Stage.PREFILL, Stage.DECODE, Stage.VOCODE)
    for before, after in pairwise(ordered):
        assert took[before, 0].start <= took[after, 0].start
    for one in spent.stages:
        assert 0 <= one.start <= one.end
        assert -1e-9 <= one.busy <= one.end - one.start + 1e-9
    send = took[Stage.SEND, 0]
    assert spent.first_audio is not None
    assert abs(send.start - took[Stage.RECEIVE, 0].end - spent.first_audio) < 1e-6


async def test_who_hangs_up_has_a_timeline_too(bench: Bench) -> None:
    async with aclosing(bench.synthesizer.synthesize(request("abcdefghij" * 30))) as events:
        async for event in events:
            if isinstance(event, Audio):
                break
    await bench.settled()
    (report,) = bench.books.reports
    told = {one.stage for one in report.done.timings.stages}
    assert told >= {Stage.NORMALIZE, Stage.QUEUE, Stage.PREFILL, Stage.DECODE, Stage.ENCODE}
    assert Stage.RECEIVE not in told
