"""One utterance end to end, without gRPC."""

from __future__ import annotations

import asyncio
import threading
from contextlib import aclosing, suppress
from dataclasses import replace

import numpy as np
import pytest
from rhapsode_server.core import AudioFormat, Encoding, FinishReason, Priority
from rhapsode_server.engine.worker import EngineSettings
from rhapsode_server.errors import (
    DeadlineTooShort,
    Draining,
    EngineStopped,
    GenerationFailed,
    Overloaded,
    TextRefused,
    VoiceNotFound,
)
from rhapsode_server.models import toy
from rhapsode_server.models.base import Step
from rhapsode_server.synthesizer import Audio, Done, Manner, Started, Synthesizer, Terms
from rhapsode_server.text.desk import TextDesk
from torch import Tensor

from tests.unit.synthesizer.conftest import PAUSE, Bench, MakeBench, request

LETTER = toy.FRAMES_PER_LETTER * toy.SAMPLES_PER_FRAME
"""Samples of one letter at speed 1."""
GAP = round(PAUSE * toy.SAMPLE_RATE)


async def test_the_order_of_things_and_the_sums(bench: Bench) -> None:
    text = "hello there|and now more|end"
    heard = await bench.speak(text, voice="bass")
    assert heard.started.voice.name == "bass"
    assert heard.started.audio == AudioFormat(Encoding.PCM_S16LE, toy.SAMPLE_RATE)
    letters = sum(len(part) for part in text.split("|"))
    samples = letters * LETTER + 2 * GAP
    done = heard.done
    assert done.reason is FinishReason.STOP
    assert (done.usage.characters, done.usage.delivered) == (len(text), samples)
    assert (done.usage.generated, done.usage.frames) == (samples, letters * toy.FRAMES_PER_LETTER)
    assert len(heard.data) == 2 * samples
    spent = done.timings
    assert spent.first_audio is not None
    assert 0 < spent.text < spent.total
    assert spent.decode > 0  # overlapping pieces count their common steps twice
    assert 0 < spent.first_audio < spent.total


async def test_pieces_are_joined_by_exact_silence(bench: Bench) -> None:
    whole = np.frombuffer((await bench.speak("one two|three")).data, "<i2")
    first = 7 * LETTER
    assert not whole[first : first + GAP].any()
    assert whole[first + GAP :].any()
    assert len(whole) == 12 * LETTER + GAP


async def test_words_have_their_places_in_the_whole_utterance(bench: Bench) -> None:
    heard = await bench.speak("ab cd|ef", audio=AudioFormat(Encoding.PCM_S16LE, 8_000))
    words = [word for chunk in heard.audio for word in chunk.words]
    assert [(word.text, word.char_start, word.char_end) for word in words] == [
        ("ab", 0, 2),
        ("cd", 3, 5),
        ("ef", 6, 8),
    ]
    half = LETTER // 2
    second = 5 * half + GAP // 2
    assert [(word.start, word.end) for word in words] == [
        (0, 2 * half),
        (3 * half, 5 * half),
        (second, second + 2 * half),
    ]
    for chunk in heard.audio:
        for word in chunk.words:
            assert chunk.start <= word.start < chunk.start + chunk.samples


async def test_the_same_seed_gives_the_same_sound_at_any_pace(make_bench: MakeBench) -> None:
    text = "one two three four|five six|seven eight nine"
    plain = await make_bench().speak(text, seed=11)
    crowded = make_bench()
    neighbours = [asyncio.create_task(crowded.speak(text, seed=seed)) for seed in range(5)]
    slow = []
    async for event in crowded.synthesizer.synthesize(request(text, seed=11)):
        for _ in range(50):
            await asyncio.sleep(0)
        slow.append(event)
    others = await asyncio.gather(*neighbours)
    assert b"".join(event.data for event in slow if isinstance(event, Audio)) == plain.data
    assert all(other.data != plain.data for other in others)


async def test_pieces_do_not_share_their_draws(bench: Bench) -> None:
    data = np.frombuffer((await bench.speak("same|same", seed=3)).data, "<i2")
    first, second = data[: 4 * LETTER], data[4 * LETTER + GAP :]
    assert len(first) == len(second)
    assert (first != second).any()


async def test_a_long_text_starts_like_a_short_one(bench: Bench) -> None:
    """When the first sound comes, at most the piece after the first has been looked at."""
    async with aclosing(bench.synthesizer.synthesize(request("|".join(["word " * 12] * 160)))) as events:
        async for event in events:
            if isinstance(event, Audio):
                break
        assert bench.desk.asked <= 2
        assert len(bench.engine.streams) == 1


async def test_five_hundred_figures_are_spoken_to_their_end(bench: Bench) -> None:
    desk = TextDesk(reads="letters")
    synthesizer = Synthesizer(bench.engine, desk)
    spoken, done = 0, None
    async for event in synthesizer.synthesize(request("1" * 500), Terms(paced=False)):
        if isinstance(event, Audio):
            if not spoken:
                assert len(bench.engine.streams) <= 2, "the first sound waited for more than its own piece"
            spoken += len(event.words)
        elif isinstance(event, Done):
            done = event
    await synthesizer.close()
    assert done is not None
    assert done.reason is FinishReason.STOP
    assert (spoken, done.usage.characters) == (500, 500)


class WaitsAt(toy.ToyAcoustic):
    """Makes no further frame than this one until it is told to go on."""

    def __init__(self, frames: int) -> None:
        super().__init__()
        self._frames = frames
        self.go_on = threading.Event()

    def decode(self, state: toy.ToyState, slots: Tensor) -> Step:
        if int(state.made.max()) >= self._frames:
            assert self.go_on.wait(30)
        return super().decode(state, slots)


async def test_the_next_piece_is_submitted_before_the_last_ends(make_bench: MakeBench) -> None:
    """The first piece cannot end before the second is submitted, and yet all is spoken."""
    acoustic = WaitsAt(80)
    bench = make_bench(replace(toy.load(), acoustic=acoustic))
    heard = []
    async for event in bench.synthesizer.synthesize(request("a piece that makes 87 frames.|b|c")):
        heard.append(event)
        if len(bench.engine.streams) > 1:
            acoustic.go_on.set()
    assert isinstance(heard[-1], Done)
    assert [how["before"] for how in bench.engine.submitted] == [None, *bench.engine.streams[:2]]
    first, second, _ = bench.engine.streams
    assert first.outcome is not None
    assert first.outcome.frames_made == 87
    assert first.outcome.stamps.finished is not None
    assert second.sequence.stamps.submitted < first.outcome.stamps.finished


async def test_leaving_frees_the_engine_and_is_told_as_cancelled(make_bench: MakeBench) -> None:
    bench = make_bench(toy.load(step_seconds=0.001))
    async with aclosing(bench.synthesizer.synthesize(request("abcdefghij" * 8 + "|more"))) as events:
        async for event in events:
            if isinstance(event, Audio):
                break
    await bench.settled()
    assert bench.engine.load().running == 0
    [report] = bench.books.reports
    assert report.done.reason is FinishReason.CANCELLED
    assert report.failure == ""
    assert report.done.usage.generated > report.done.usage.delivered > 0


async def test_cancelling_the_reader_frees_the_engine(make_bench: MakeBench) -> None:
    bench = make_bench(toy.load(step_seconds=0.001))
    sounding = asyncio.Event()

    async def read() -> None:
        async with aclosing(bench.synthesizer.synthesize(request("abcdefghij" * 15))) as events:
            async for event in events:
                if isinstance(event, Audio):
                    sounding.set()

    reader = asyncio.create_task(read())
    await sounding.wait()
    reader.cancel()
    with pytest.raises(asyncio.CancelledError):
        await reader
    await bench.settled()
    assert bench.engine.load().running == 0
    assert bench.books.reports[0].done.reason is FinishReason.CANCELLED


async def test_a_deadline_that_has_passed_is_told_as_such(make_bench: MakeBench) -> None:
    bench = make_bench(toy.load(step_seconds=0.002))
    events = bench.synthesizer.synthesize(request("abcdefghij" * 10), Terms(time_left=0.001))
    with suppress(DeadlineTooShort):  # where it passes before there is a slot
        async for event in events:
            if isinstance(event, Audio):
                break
    await events.aclose()
    await bench.settled()
    assert bench.books.reports[0].done.reason is FinishReason.DEADLINE


async def test_a_report_says_what_happened_and_never_the_text(bench: Bench) -> None:
    heard = await bench.speak("secret words|more secrets", request_id="r-77")
    await bench.settled()
    [report] = bench.books.reports
    assert report.request.request_id == "r-77"
    assert report.done == heard.done
    assert [piece.number for piece in report.pieces] == [stream.number for stream in bench.engine.streams]
    for piece in report.pieces:
        assert piece.reason is FinishReason.STOP
        assert piece.text_started <= piece.text_ended <= piece.stamps.submitted
        assert piece.stamps.finished is not None
    assert "secret" not in repr(report)


async def test_what_is_refused_is_refused_before_anything_is_said(bench: Bench) -> None:
    with pytest.raises(VoiceNotFound, match="alto, bass"):
        await bench.speak("hello", voice="../alto")
    with pytest.raises(TextRefused):
        await bench.speak("!!!")
    await bench.settled()
    assert bench.engine.streams == []
    assert bench.books.reports == []


async def test_priority_and_look_ahead_reach_the_engine(make_bench: MakeBench) -> None:
    bench = make_bench(manner=Manner(max_ahead=3.0))
    await bench.speak("one|two", priority=Priority.HIGH)
    assert {(how["priority"], how["ahead_limit"]) for how in bench.engine.submitted} == {(Priority.HIGH, 3.0)}


@pytest.mark.parametrize(("time_left", "limit"), [(None, 3.0), (1000.0, 3.0), (2.0, None)])
async def test_nobody_is_paced_past_their_deadline(
    make_bench: MakeBench, time_left: float | None, limit: float | None
) -> None:
    bench = make_bench(manner=Manner(max_ahead=3.0))
    await bench.speak("abcdefghij" * 10, terms=Terms(time_left=time_left))
    assert bench.engine.submitted[0]["ahead_limit"] == limit


async def test_nobody_is_paced_who_does_not_listen(make_bench: MakeBench) -> None:
    bench = make_bench(manner=Manner(max_ahead=3.0))
    await bench.speak("one|two", terms=Terms(time_left=1000.0, max_ahead=1.0, paced=False))
    assert [how["ahead_limit"] for how in bench.engine.submitted] == [None, None]


async def test_without_a_pace_a_slow_reader_still_holds_little(bench: Bench) -> None:
    """Who stops reading is not sent on: no piece is begun before the one before it has been read."""
    terms = Terms(paced=False)
    text = "|".join(["word " * 12] * 160)
    async with aclosing(bench.synthesizer.synthesize(request(text), terms)) as events:
        async for event in events:
            if isinstance(event, Audio):
                break
        while bench.engine.load().running:  # noqa: ASYNC110 - there is no event to wait for
            await asyncio.sleep(0.001)
        assert len(bench.engine.streams) == 1


async def test_an_idle_server_refuses_nobody_for_being_slow(bench: Bench) -> None:
    await bench.speak("hello")
    heard = await bench.speak("hello", terms=Terms(time_left=30.0, max_ttfa=1e-6))
    assert heard.done.reason is FinishReason.STOP


async def test_a_busy_server_refuses_what_would_come_too_late(make_bench: MakeBench) -> None:
    bench = make_bench(toy.load(step_seconds=0.002))
    await bench.speak("hello")
    await bench.settled()
    async with aclosing(bench.synthesizer.synthesize(request("abcdefghij" * 15))) as events:
        assert isinstance(await anext(events), Started)
        await anext(events)
        with pytest.raises(Overloaded) as refused:
            await bench.speak("hello", terms=Terms(max_ttfa=1e-6))
        assert refused.value.retry_after >= 0.1
        with pytest.raises(DeadlineTooShort):
            await bench.speak("hello", terms=Terms(time_left=1e-6))
    assert len(bench.engine.streams) == 2


async def test_a_full_engine_refuses_before_the_text_is_read(make_bench: MakeBench) -> None:
    bench = make_bench(toy.load(step_seconds=0.002), EngineSettings(slots=1, max_waiting=0))
    async with aclosing(bench.synthesizer.synthesize(request("abcdefghij" * 15))) as events:
        await anext(events)
        await anext(events)
        asked = bench.desk.asked
        with pytest.raises(Overloaded):
            await bench.speak("hello")
        assert bench.desk.asked == asked


async def test_a_drain_lets_an_utterance_finish_all_its_pieces(bench: Bench) -> None:
    alone = await bench.speak("one|two|three", seed=1)
    heard = []
    async for event in bench.synthesizer.synthesize(request("one|two|three", seed=1)):
        bench.engine.drain()
        heard.append(event)
    assert isinstance(heard[-1], Done)
    assert b"".join(event.data for event in heard if isinstance(event, Audio)) == alone.data
    with pytest.raises(Draining):
        await bench.speak("one")


class FailsAt(toy.ToyAcoustic):
    """Raises once a row has made so many frames."""

    def __init__(self, frames: int) -> None:
        super().__init__()
        self._frames = frames

    def decode(self, state: toy.ToyState, slots: Tensor) -> Step:
        if int(state.made.max()) >= self._frames:
            raise RuntimeError("the text was: secret")
        return super().decode(state, slots)


async def test_a_failure_of_the_model_is_an_error_of_ours(make_bench: MakeBench) -> None:
    bench = make_bench(replace(toy.load(), acoustic=FailsAt(20)))
    with pytest.raises(GenerationFailed) as failed:
        await bench.speak("a text that is long enough to fail")
    assert "secret" not in failed.value.message
    await bench.settled()
    [report] = bench.books.reports
    assert (report.done.reason, report.failure) == (FinishReason.ERROR, "GENERATION_FAILED")
    assert bench.engine.load().running == 0


async def test_an_engine_that_stops_ends_every_utterance(make_bench: MakeBench) -> None:
    bench = make_bench(toy.load(step_seconds=0.002))
    reading = asyncio.create_task(bench.speak("abcdefghij" * 15))
    while not bench.engine.streams:  # noqa: ASYNC110 - a worker thread fills it
        await asyncio.sleep(0)
    await asyncio.to_thread(bench.engine.stop)
    with pytest.raises(EngineStopped):
        await reading


async def test_every_format_of_the_same_words(bench: Bench) -> None:
    for encoding in Encoding:
        heard = await bench.speak("hello", audio=AudioFormat(encoding, 24_000))
        assert heard.started.audio == AudioFormat(encoding, 24_000)
        assert heard.done.usage.delivered == 5 * LETTER * 3 // 2
        assert all(chunk.data for chunk in heard.audio)
