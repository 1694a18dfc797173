"""The voice that ships: it says what it is given, at the pace and the pitch of its speaker."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from itertools import pairwise

import numpy as np
import pytest
import torch
from numpy.typing import NDArray
from rhapsode_server.core import Window, WordTime
from rhapsode_server.models.base import SpeechModel
from rhapsode_server.models.ion import VOICES, load
from rhapsode_server.models.ion.acoustic import IonAcoustic

from .conftest import utterance

SENTENCE = "the bed, the apple to bed. yes, the apple."
SECONDS_A_WORD = (0.15, 0.75)


@pytest.fixture(scope="module")
def model() -> SpeechModel:
    return load()


def say(
    model: SpeechModel, name: str, speed: float = 1.0, text: str = SENTENCE
) -> tuple[NDArray[np.float32], Sequence[WordTime]]:
    """The whole sound and its words' times."""
    prompt = model.frontend.prepare(replace(utterance(text, speed), voice=model.voices[name]))
    acoustic, frames, stopped = model.acoustic, list[torch.Tensor](), False
    assert isinstance(acoustic, IonAcoustic)
    state, sound = acoustic.new_state(1), model.vocoder.new_state(1)
    acoustic.prefill(state, [0], [prompt])
    while not stopped:
        step = acoustic.decode(state, torch.tensor([0]))
        frames.append(step.frames[0])
        stopped = bool(step.stopped[0])
    window = Window(0, 0, len(frames), len(frames), True)
    wave = model.vocoder.vocode(sound, [0], [torch.stack(frames)], [window])[0]
    return wave.numpy(), acoustic.word_times(state, 0)


def pitch_of(wave: NDArray[np.float32]) -> float:
    """Hertz: the lag of the autocorrelation's peak between 60 and 300 Hz."""
    power = np.abs(np.fft.rfft(wave, 2 * len(wave))) ** 2
    lags = np.fft.irfft(power)[: 16_000 // 60]
    shortest = 16_000 // 300
    return float(16_000 / (shortest + int(lags[shortest:].argmax())))


def test_three_voices_one_of_them_the_default(model: SpeechModel) -> None:
    assert sorted(model.voices) == sorted(VOICES)
    assert [voice.name for voice in model.voices.values() if voice.default] == ["ion"]
    assert model.sample_rate == 16_000


@pytest.mark.parametrize("name", VOICES)
def test_it_speaks_at_a_human_pace_and_loudness(model: SpeechModel, name: str) -> None:
    wave, times = say(model, name)
    assert np.isfinite(wave).all()
    assert 0.02 < np.sqrt(np.mean(wave**2)) < 0.4
    assert np.abs(wave).max() <= 1.0
    words = len(SENTENCE.split())
    assert SECONDS_A_WORD[0] < (times[-1].end - times[0].start) / 16_000 / words < SECONDS_A_WORD[1]


@pytest.mark.parametrize("name", VOICES)
def test_words_sound_where_they_are_said_to(model: SpeechModel, name: str) -> None:
    wave, times = say(model, name, text="yes. bed. yes.")
    spoken = np.concatenate([wave[time.start : time.end] for time in times])
    pauses = np.concatenate([wave[a.end : b.start] for a, b in pairwise(times)])
    assert np.mean(spoken**2) > 10 * np.mean(pauses**2)


def test_the_voices_have_the_pitch_of_their_speakers(model: SpeechModel) -> None:
    woman, man, scot = (pitch_of(say(model, name)[0]) for name in ("ion", "ion-rms", "ion-awb"))
    assert 140 < woman < 230
    assert 70 < man < 140
    assert 90 < scot < 170
    assert man < scot < woman


def test_speed_is_real(model: SpeechModel) -> None:
    normal, fast, slow = (len(say(model, "ion", speed)[0]) for speed in (1.0, 2.0, 0.5))
    assert fast / normal == pytest.approx(0.5, abs=0.1)
    assert slow / normal == pytest.approx(2.0, abs=0.15)


def test_it_begins_and_ends_softly(model: SpeechModel) -> None:
    wave, _ = say(model, "ion")
    assert np.abs(wave[:64]).max() < 0.02, "no click"
    assert np.abs(wave[-64:]).max() < 0.05
