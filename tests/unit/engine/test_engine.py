"""The engine with its thread: every stream ends, nothing is lost, nothing hangs."""

from __future__ import annotations

import asyncio
import itertools
import threading
from collections.abc import AsyncIterator
from dataclasses import replace

import numpy as np
import pytest
import torch
from rhapsode_server.core import FinishReason
from rhapsode_server.engine.engine import Engine
from rhapsode_server.engine.observer import SequenceEvent, Silent, StepEvent
from rhapsode_server.engine.stream import AudioStream
from rhapsode_server.engine.worker import EngineSettings
from rhapsode_server.errors import (
    ConfigError,
    DeadlineTooShort,
    Draining,
    EngineStopped,
    GenerationFailed,
    InvalidRequest,
    Overloaded,
)
from rhapsode_server.models import toy
from rhapsode_server.models.base import Prompt, SpeechModel, State, Step

from tests.contract.driver import Wave, speak
from tests.contract.families import SENTENCES, prompt


class Notes(Silent):
    """An observer that keeps what it hears."""

    def __init__(self) -> None:
        self.steps: list[StepEvent] = []
        self.finished: list[SequenceEvent] = []
        self.failed: list[tuple[str, str, int]] = []

    def step_done(self, event: StepEvent) -> None:
        self.steps.append(event)

    def sequence_finished(self, event: SequenceEvent) -> None:
        self.finished.append(event)

    def step_failed(self, stage: str, error_type: str, sequences: int) -> None:
        self.failed.append((stage, error_type, sequences))


class Gate(toy.ToyAcoustic):
    """A toy whose decode waits at a gate, so that a test decides when a step ends."""

    def __init__(self) -> None:
        super().__init__()
        self.open = threading.Event()
        self.open.set()
        self.reached = threading.Event()
        self.error: BaseException | None = None

    def decode(self, state: toy.ToyState, slots: torch.Tensor) -> Step:
        self.reached.set()
        self.open.wait(30)
        if self.error is not None:
            raise self.error
        return super().decode(state, slots)


@pytest.fixture
def notes() -> Notes:
    return Notes()


@pytest.fixture
def gate() -> Gate:
    return Gate()


@pytest.fixture
def model(gate: Gate) -> SpeechModel:
    return replace(toy.load(), acoustic=gate)


@pytest.fixture
async def engine(model: SpeechModel, notes: Notes) -> AsyncIterator[Engine]:
    engine = Engine(model, EngineSettings(slots=2, max_waiting=3), notes)
    engine.start()
    yield engine
    assert engine.stop(10)


def ask(model: SpeechModel, which: int = 2) -> Prompt:
    return prompt(model, SENTENCES[which], which)


async def listen(stream: AudioStream) -> Wave:
    chunks = [chunk async for chunk in stream]
    for chunk, after in itertools.pairwise(chunks):
        assert after.start == chunk.start + len(chunk.samples)
    return np.concatenate([np.zeros(0, np.float32), *(chunk.samples for chunk in chunks)])


async def test_what_is_heard_is_what_the_parts_make(engine: Engine, model: SpeechModel) -> None:
    want = speak(model, [ask(model, n) for n in range(4)], 2)
    streams = [engine.submit(ask(model, n)) for n in range(4)]
    for got, expected in zip(await asyncio.gather(*map(listen, streams)), want, strict=True):
        assert np.array_equal(got, expected)
    assert [stream.outcome.reason for stream in streams if stream.outcome] == [FinishReason.STOP] * 4
    assert engine.load() == (2, 0, 0, 0.0, 0.0)


async def test_words_arrive_with_the_first_sound(engine: Engine, model: SpeechModel) -> None:
    first = await anext(engine.submit(ask(model)))
    assert [word.index for word in first.words] == list(range(len(SENTENCES[2].split())))


async def test_stamps_tell_the_stages_in_order(engine: Engine, model: SpeechModel, notes: Notes) -> None:
    stream = engine.submit(ask(model))
    await listen(stream)
    assert stream.outcome is not None
    s = stream.outcome.stamps
    times = [s.submitted, s.admitted, s.prefilled, s.first_frame, s.first_audio, s.finished]
    assert all(time is not None for time in times)
    assert times == sorted(times)  # type: ignore[type-var]
    assert s.steps == stream.outcome.frames_made == s.batch_total
    assert (s.smallest_batch, s.largest_batch) == (1, 1)
    assert notes.finished[-1].number == stream.number
    assert s.last_step - s.first_step + 1 == s.steps
    assert {event.step for event in notes.steps} >= {s.first_step, s.last_step}


async def test_cancel_frees_the_slot_before_the_next_step(
    engine: Engine, model: SpeechModel, gate: Gate, notes: Notes
) -> None:
    stream, other = engine.submit(ask(model, 3)), engine.submit(ask(model, 3))
    await anext(stream)
    gate.open.clear()
    gate.reached.clear()
    await asyncio.to_thread(gate.reached.wait, 10)
    step = len(notes.steps) + 1
    stream.cancel()
    stream.cancel()
    gate.open.set()
    await listen(stream)
    assert stream.outcome is not None
    assert stream.outcome.reason is FinishReason.CANCELLED
    await listen(other)
    later = [event for event in notes.steps if event.step > step]
    assert later
    assert all(stream.number not in event.members for event in later)


async def test_the_queue_is_bounded_and_says_when_to_come_back(
    engine: Engine, model: SpeechModel, gate: Gate
) -> None:
    gate.open.clear()
    streams = [engine.submit(ask(model)) for _ in range(5)]
    with pytest.raises(Overloaded, match="Try again in") as refused:
        engine.submit(ask(model))
    assert refused.value.retry_after > 0
    follower = engine.submit(ask(model), before=streams[0])
    gate.open.set()
    await asyncio.gather(*map(listen, [*streams, follower]))
    await listen(engine.submit(ask(model)))


async def test_who_leaves_the_last_slot_to_others_is_no_queue(
    model: SpeechModel, gate: Gate, notes: Notes
) -> None:
    engine = Engine(model, EngineSettings(slots=2, max_waiting=0), notes)
    engine.start()
    gate.open.clear()
    first = engine.submit(ask(model, 3))
    follower = engine.submit(ask(model, 3), before=first)
    while not any(event.waiting for event in notes.steps):
        gate.reached.clear()
        gate.open.set()
        await asyncio.to_thread(gate.reached.wait, 10)
        gate.open.clear()
    assert engine.load()[:4] == (2, 1, 1, 0.0)
    newcomer = engine.submit(ask(model))
    gate.open.set()
    await asyncio.gather(*map(listen, [first, follower, newcomer]))
    assert engine.stop(10)


async def test_a_drain_admits_nothing_new_but_lets_what_runs_go_on(
    engine: Engine, model: SpeechModel
) -> None:
    first = engine.submit(ask(model))
    engine.drain()
    with pytest.raises(Draining):
        engine.submit(ask(model))
    follower = engine.submit(ask(model), before=first)
    assert len(await listen(first)) == len(await listen(follower)) > 0


async def test_a_prompt_that_fits_no_row_is_refused(engine: Engine, model: SpeechModel) -> None:
    with pytest.raises(InvalidRequest, match="too long"):
        engine.submit(replace(ask(model), positions=model.positions + 1))
    assert engine.load().waiting == 0


async def test_stop_ends_every_stream(model: SpeechModel, gate: Gate) -> None:
    engine = Engine(model, EngineSettings(slots=1))
    engine.start()
    streams = [engine.submit(ask(model, 3)) for _ in range(3)]
    await anext(streams[0])
    assert await asyncio.to_thread(engine.stop, 10)
    for stream in streams:
        with pytest.raises(EngineStopped):
            await listen(stream)
    with pytest.raises(EngineStopped):
        engine.submit(ask(model))
    assert not engine.alive


async def test_a_row_that_raises_is_told_and_the_others_go_on(
    engine: Engine, model: SpeechModel, gate: Gate, notes: Notes
) -> None:
    gate.error = RuntimeError("secret words")
    with pytest.raises(GenerationFailed) as failed:
        await listen(engine.submit(ask(model)))
    assert "secret" not in failed.value.message
    gate.error = None
    assert len(await listen(engine.submit(ask(model)))) > 0
    assert notes.failed == [("decode", "RuntimeError", 1)]
    assert engine.alive


async def test_a_lost_device_ends_the_engine_and_every_stream(model: SpeechModel, gate: Gate) -> None:
    died = threading.Event()
    engine = Engine(model, EngineSettings(slots=1), on_death=died.set)
    engine.start()
    gate.open.clear()
    gate.error = torch.AcceleratorError("CUDA error: an illegal memory access was encountered")
    gate.open.clear()
    streams = [engine.submit(ask(model)) for _ in range(3)]
    gate.open.set()
    for stream in streams:
        with pytest.raises(EngineStopped):
            await listen(stream)
    assert await asyncio.to_thread(died.wait, 10)
    assert not engine.alive
    assert engine.stop(1)


async def test_a_model_that_cannot_make_its_state_ends_the_engine(model: SpeechModel) -> None:
    class NoRoom(toy.ToyAcoustic):
        def new_state(self, slots: int) -> State:
            raise torch.OutOfMemoryError("not that many")

    died = threading.Event()
    engine = Engine(replace(model, acoustic=NoRoom()), on_death=died.set)
    engine.start()
    assert await asyncio.to_thread(died.wait, 10)
    with pytest.raises(ConfigError, match="There is no memory for"):
        engine.submit(ask(model))


async def test_the_heart_beats_while_a_step_hangs_and_rests_when_idle(model: SpeechModel, gate: Gate) -> None:
    now = [100.0]
    engine = Engine(model, EngineSettings(slots=1), clock=lambda: now[0])
    engine.start()
    assert engine.heartbeat_age() == 0.0
    gate.reached.clear()
    gate.open.clear()
    stream = engine.submit(ask(model))
    await asyncio.to_thread(gate.reached.wait, 10)
    now[0] += 7.0
    assert engine.heartbeat_age() == pytest.approx(7.0)
    gate.open.set()
    await listen(stream)
    assert await asyncio.to_thread(engine.stop, 10)
    assert engine.heartbeat_age() == 0.0


async def test_a_reader_that_reports_a_pause_holds_the_stream(engine: Engine, model: SpeechModel) -> None:
    stream = engine.submit(ask(model, 3))
    await anext(stream)
    engine.report_playback(stream, 0.0, paused=True)
    other = engine.submit(ask(model, 3))
    await listen(other)
    assert stream.outcome is None
    engine.report_playback(stream, 0.0)
    await listen(stream)


async def test_it_sleeps_when_every_stream_is_ahead(model: SpeechModel, notes: Notes) -> None:
    now = [0.0]
    engine = Engine(model, EngineSettings(slots=1), notes, clock=lambda: now[0])
    engine.start()
    stream = engine.submit(ask(model, 3), ahead_limit=0.3)
    heard = 0
    async for chunk in stream:
        heard += len(chunk.samples)
        ahead = heard / model.sample_rate - now[0]
        assert ahead <= 0.3 + model.vocoder.chunking.largest / model.acoustic.frame_rate + 1e-6
        now[0] += len(chunk.samples) / model.sample_rate
        engine.report_playback(stream, now[0])
    assert await asyncio.to_thread(engine.stop, 10)


async def test_who_waits_beyond_his_deadline_is_told_and_never_computed(
    model: SpeechModel, gate: Gate, notes: Notes
) -> None:
    now = [0.0]
    engine = Engine(model, EngineSettings(slots=1), notes, clock=lambda: now[0])
    engine.start()
    holder, late = engine.submit(ask(model)), engine.submit(ask(model), deadline=5.0)
    await anext(holder)
    gate.open.clear()
    now[0] = 6.0
    gate.open.set()
    with pytest.raises(DeadlineTooShort):
        await listen(late)
    await listen(holder)
    assert late.outcome is not None
    assert (late.outcome.reason, late.outcome.frames_made) == (FinishReason.DEADLINE, 0)
    assert all(late.number not in step.members for step in notes.steps)
    assert await asyncio.to_thread(engine.stop, 10)
    assert engine.load().waiting == 0
