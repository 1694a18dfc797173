"""The promises of every family, always: see docs/architecture.md, "Exactness"."""

from __future__ import annotations

import random
from dataclasses import replace

import numpy as np
import pytest
import torch
from rhapsode_server.core import FinishReason, WordTime
from rhapsode_server.engine.sequence import Status
from rhapsode_server.models.base import Aligned, SpeechModel, Step

from .driver import Driver, Wave, offline, speak
from .families import SENTENCES, Family, prompt


@pytest.fixture(scope="module")
def alone(model: SpeechModel) -> list[Wave]:
    """Each sentence by itself, in a model with one row."""
    return [speak(model, [prompt(model, text, seed)], 1)[0] for seed, text in enumerate(SENTENCES)]


def assert_same(got: Wave, want: Wave, tolerance: float) -> None:
    assert got.shape == want.shape
    assert np.abs(got - want).max(initial=0.0) <= tolerance


def test_streamed_equals_offline(family: Family, model: SpeechModel, alone: list[Wave]) -> None:
    for seed, text in enumerate(SENTENCES):
        whole = offline(model, prompt(model, text, seed))
        assert len(whole) > 0
        assert np.abs(whole).max() > 1e-3, "silence proves nothing"
        assert_same(alone[seed], whole, family.tolerance)


def test_the_sound_comes_in_more_than_one_chunk(model: SpeechModel) -> None:
    driver = Driver(model, 1)
    seq = driver.add(prompt(model, SENTENCES[3], 3))
    driver.run()
    wanted = [window.wanted for window in driver.windows[seq]]
    assert len(wanted) > 1
    assert wanted[0] <= model.vocoder.chunking.first
    assert sum(wanted) == seq.made == seq.sent
    assert len(driver.wave(seq)) == seq.made * model.vocoder.samples_per_frame


def test_alone_equals_among_neighbours(family: Family, model: SpeechModel, alone: list[Wave]) -> None:
    for slots in family.slots:
        prompts = [prompt(model, text, seed) for seed, text in enumerate(SENTENCES)]
        for got, want in zip(speak(model, prompts, slots), alone, strict=True):
            assert_same(got, want, family.tolerance)


@pytest.mark.parametrize("dice", range(3))
def test_neighbours_may_come_and_go(family: Family, model: SpeechModel, alone: list[Wave], dice: int) -> None:
    """Others join, finish and are cancelled at random steps; whoever stays sounds as alone."""
    rng = random.Random(dice)
    driver, todo = Driver(model, family.slots[-1] // 2 + 1), list(enumerate(SENTENCES)) * 2
    rng.shuffle(todo)
    sequences, cancelled = {}, set()

    def disturb(driver: Driver, step: int) -> None:
        while todo and (rng.random() < 0.3 or driver.scheduler.idle):
            seed, text = todo.pop()
            sequences[driver.add(prompt(model, text, seed))] = seed
        running = [seq for seq in driver.scheduler.running if seq.made > 2]
        if running and rng.random() < 0.05:
            victim = rng.choice(running)
            slot = victim.row
            driver.scheduler.cancel(victim)
            cancelled.add(victim)
            assert victim.status is Status.FINISHED
            assert all(seq.row != slot for seq in driver.scheduler.running), "the slot is free at once"

    driver.run(disturb)
    assert len(sequences) == 2 * len(SENTENCES)
    for seq, seed in sequences.items():
        got = driver.wave(seq)
        assert seq.reason is (FinishReason.CANCELLED if seq in cancelled else FinishReason.STOP)
        assert_same(got, alone[seed][: len(got)] if seq in cancelled else alone[seed], family.tolerance)


def test_same_seed_same_audio(family: Family, model: SpeechModel, alone: list[Wave]) -> None:
    again = speak(model, [prompt(model, SENTENCES[2], 2)], 1)[0]
    assert_same(again, alone[2], 0.0)
    other = speak(model, [prompt(model, SENTENCES[2], 77)], 1)[0]
    same = other.shape == again.shape and bool(np.array_equal(other, again))
    assert same is not family.samples


def test_every_voice_speaks_and_sounds_different(model: SpeechModel) -> None:
    waves = [
        speak(model, [prompt(model, SENTENCES[1], voice=voice)], 1)[0] for voice in model.voices.values()
    ]
    for i, wave in enumerate(waves):
        assert np.abs(wave).max() > 1e-3
        assert not any(np.array_equal(wave, other) for other in waves[:i])


def test_a_row_is_as_new_for_its_next_request(family: Family, model: SpeechModel, alone: list[Wave]) -> None:
    """One row serves all sentences one after the other, some cancelled midway."""
    driver = Driver(model, 1)
    first = driver.add(prompt(model, SENTENCES[3], 3))
    second = driver.add(prompt(model, SENTENCES[2], 2))

    def stop_the_first(driver: Driver, step: int) -> None:
        if first.status is not Status.FINISHED and first.made >= 3:
            driver.scheduler.cancel(first)

    driver.run(stop_the_first)
    assert first.reason is FinishReason.CANCELLED
    assert_same(driver.wave(second), alone[2], family.tolerance)


def test_stops_at_the_most_frames_it_may_make(model: SpeechModel) -> None:
    driver = Driver(model, 1)
    seq = driver.add(prompt(model, SENTENCES[3], 3))
    seq.max_frames = 3
    driver.run()
    assert (seq.reason, seq.made, seq.sent) == (FinishReason.LENGTH, 3, 3)
    assert len(driver.wave(seq)) == 3 * model.vocoder.samples_per_frame


def test_word_times_are_in_order_and_within_the_sound(model: SpeechModel) -> None:
    if not isinstance(model.acoustic, Aligned):
        pytest.skip(f"{model.family} has no alignment of its own")
    driver = Driver(model, 1)
    seq = driver.add(prompt(model, SENTENCES[3], 3))
    times: list[WordTime] = []

    def told(driver: Driver, step: int) -> None:
        times.extend(driver.runner.words(seq, len(times)))

    driver.run(told)
    assert [time.index for time in times] == list(range(len(SENTENCES[3].split())))
    edges = [edge for time in times for edge in (time.start, time.end)]
    assert edges == sorted(edges)
    assert edges[-1] <= len(driver.wave(seq))
    assert all(time.end > time.start for time in times)


class Saboteur:
    """An acoustic model that raises, or makes frames that are not numbers, for one row."""

    def __init__(self, acoustic: object, slot: int, how: str) -> None:
        self._acoustic, self._slot, self._how, self._steps = acoustic, slot, how, 0

    def __getattr__(self, name: str) -> object:
        return getattr(self._acoustic, name)

    def decode(self, state: object, slots: torch.Tensor) -> Step:
        guilty = slots == self._slot
        self._steps += 1
        if self._how == "raises" and bool(guilty.any()) and self._steps > 4:
            raise RuntimeError("this row is cursed")
        step: Step = self._acoustic.decode(state, slots)  # type: ignore[attr-defined]
        if self._how == "nan" and self._steps > 4 and step.frames.is_floating_point():
            step.frames[guilty] = torch.nan
        return step


@pytest.mark.parametrize("how", ["raises", "nan"])
def test_a_failing_row_harms_nobody_else(
    family: Family, model: SpeechModel, alone: list[Wave], how: str
) -> None:
    if how == "nan" and not family.continuous:
        pytest.skip("frames of this family are whole numbers")
    driver = Driver(model, 4)
    driver.runner.model = replace(model, acoustic=Saboteur(model.acoustic, 2, how))  # type: ignore[arg-type]
    sequences = [driver.add(prompt(model, text, seed)) for seed, text in enumerate(SENTENCES[:4])]
    driver.run()
    reasons = [seq.reason for seq in sequences]
    assert reasons.count(FinishReason.ERROR) == 1
    for seed, seq in enumerate(sequences):
        if seq.reason is FinishReason.STOP:
            assert_same(driver.wave(seq), alone[seed], family.tolerance)
    assert driver.slots.free == 4
