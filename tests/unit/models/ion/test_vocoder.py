"""The vocoder: windows of any size give the same sound; the pulses have the pitch they are told."""

from __future__ import annotations

import math

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from rhapsode_server.core import Window
from rhapsode_server.models.ion.acoustic import MELS_PER_FRAME
from rhapsode_server.models.ion.generator import Generator, Pulses, VocoderConfig, overlap_add
from rhapsode_server.models.ion.vocoder import FRAMES_AT_ONCE, IonVocoder
from torch import Tensor


def frames_of(count: int, seed: int = 0) -> Tensor:
    """Random frames with a pitch between 80 and 250 Hz."""
    random = torch.Generator().manual_seed(seed)
    frames = torch.randn(count, MELS_PER_FRAME, 82, generator=random)
    frames[..., -1] = frames[..., -1].tanh()
    return frames


def windows(sizes: list[int], right: int) -> list[Window]:
    total, begin, made = sum(sizes), 0, []
    for size in sizes:
        end = begin + size
        last = end == total
        made.append(Window(begin, begin, end, end if last else min(total, end + right), last))
        begin = end
    return made


def speak(vocoder: IonVocoder, frames: Tensor, sizes: list[int]) -> Tensor:
    state = vocoder.new_state(3)
    vocoder.reset(state, [1])
    parts = [
        vocoder.vocode(state, [1], [frames[window.start : window.stop]], [window])[0]
        for window in windows(sizes, vocoder.chunking.right)
    ]
    return torch.cat(parts)


@settings(deadline=None, max_examples=25)
@given(sizes=st.lists(st.integers(1, 5), min_size=1, max_size=6))
def test_windows_of_any_size_give_the_same_sound(generator: Generator, sizes: list[int]) -> None:
    vocoder, frames = IonVocoder(generator), frames_of(sum(sizes))
    whole = speak(vocoder, frames, [sum(sizes)])
    assert whole.shape == (sum(sizes) * vocoder.samples_per_frame,)
    assert whole.abs().max() > 1e-3
    torch.testing.assert_close(speak(vocoder, frames, sizes), whole, atol=1e-5, rtol=0)


def test_windows_of_several_lengths_in_one_call(generator: Generator) -> None:
    vocoder = IonVocoder(generator)
    texts = [frames_of(n, seed) for seed, n in enumerate((1, 4, 2, 4))]
    alone = [speak(vocoder, frames, [len(frames)]) for frames in texts]
    state, rows = vocoder.new_state(6), [5, 0, 3, 2]
    vocoder.reset(state, rows)
    whole = [Window(0, 0, len(frames), len(frames), True) for frames in texts]
    for got, want in zip(vocoder.vocode(state, rows, texts, whole), alone, strict=True):
        torch.testing.assert_close(got, want, atol=1e-5, rtol=0)


def test_reset_forgets(generator: Generator) -> None:
    vocoder, frames = IonVocoder(generator), frames_of(3)
    state, whole = vocoder.new_state(1), Window(0, 0, 3, 3, True)
    sounds = []
    for _ in range(2):
        vocoder.reset(state, [0])
        sounds.append(vocoder.vocode(state, [0], [frames], [whole])[0])
    assert torch.equal(*sounds)
    unset = vocoder.vocode(state, [0], [frames], [whole])[0]
    assert not torch.equal(unset, sounds[0]), "without it the row goes on from what it remembers"


def test_more_rows_than_go_through_at_once(generator: Generator) -> None:
    vocoder, count = IonVocoder(generator), FRAMES_AT_ONCE + 2
    texts = [frames_of(1, seed) for seed in range(count)]
    state, whole = vocoder.new_state(count), Window(0, 0, 1, 1, True)
    sounds = vocoder.vocode(state, list(range(count)), texts, [whole] * count)
    for place in (0, FRAMES_AT_ONCE - 1, FRAMES_AT_ONCE, count - 1):
        torch.testing.assert_close(sounds[place], speak(vocoder, texts[place], [1]), atol=1e-5, rtol=0)


def test_a_call_that_fails_moves_nothing(generator: Generator) -> None:
    """The second group is broken; the first one's rows must not have gone on."""
    vocoder, frames = IonVocoder(generator), frames_of(2)
    state, broken = vocoder.new_state(2), torch.zeros(2, MELS_PER_FRAME, 7)
    one, two = Window(0, 0, 1, 2, False), Window(0, 0, 2, 2, True)
    with pytest.raises(RuntimeError):
        vocoder.vocode(state, [0, 1], [frames, broken], [one, two])
    assert all(
        torch.equal(a, b) for a, b in zip(state.tensors(), vocoder.new_state(2).tensors(), strict=True)
    )


def test_an_empty_window_gives_no_sound(generator: Generator) -> None:
    vocoder = IonVocoder(generator)
    state = vocoder.new_state(1)
    (sound,) = vocoder.vocode(state, [0], [frames_of(0)], [Window(4, 4, 4, 4, True)])
    assert sound.shape == (0,)


def test_no_frame_beyond_the_look_ahead_is_heard(generator: Generator) -> None:
    vocoder, frames = IonVocoder(generator), frames_of(4)
    other = frames.clone()
    other[2, generator.config.ahead :] += 1.0
    other[3] += 1.0
    state, window = vocoder.new_state(2), Window(0, 0, 2, 4, False)
    one, two = vocoder.vocode(state, [0, 1], [frames, other], [window, window])
    assert torch.equal(one, two)
    other[2, 0, 0] += 1.0
    state = vocoder.new_state(1)
    (three,) = vocoder.vocode(state, [0], [other], [window])
    assert not torch.allclose(one, three), "but the look-ahead itself is"


def test_a_look_ahead_wider_than_a_frame_is_refused() -> None:
    with pytest.raises(ValueError, match="look-ahead"):
        IonVocoder(Generator(VocoderConfig(width=8, layers=1, noise=1024, ahead=MELS_PER_FRAME + 1)))


@pytest.mark.parametrize("hertz", [80.0, 125.0, 250.0])
def test_pulses_have_their_pitch_and_unit_power(hertz: float) -> None:
    told = torch.full((1, 125), hertz)
    sound, phase = Pulses(VocoderConfig())(told, told[:, 0], torch.zeros(1, dtype=torch.float64))
    assert sound.shape == (1, 125 * 256)
    assert sound.square().mean().item() == pytest.approx(1.0, rel=0.02)
    peaks = (sound[0] > 0.8 * sound.max()).nonzero().flatten()
    assert len(peaks) == pytest.approx(hertz * 2.0, rel=0.02), "two seconds of pulses"
    assert phase.item() == pytest.approx(hertz * 2.0 % 1.0, abs=1e-9)
    spectrum = torch.fft.rfft(sound[0]).abs()
    assert abs(int(spectrum[: int(hertz * 3)].argmax()) - hertz * 2) <= 1, "the lowest line is the pitch"


def test_pulses_are_the_sum_of_their_harmonics() -> None:
    """The closed form against the sum it stands for."""
    hertz = torch.full((1, 1), 500.0)
    sound, _ = Pulses(VocoderConfig())(hertz, hertz[:, 0], torch.zeros(1, dtype=torch.float64))
    cycles = torch.arange(1, 257, dtype=torch.float64) * 500 / 16_000
    count = math.floor(0.49 * 16_000 / 500)
    cosines = torch.stack([torch.cos(2 * math.pi * k * cycles) for k in range(1, count + 1)]).sum(0)
    torch.testing.assert_close(sound[0].double(), cosines * math.sqrt(2 / count), atol=1e-3, rtol=0)


def test_overlap_add_lays_pieces_apart() -> None:
    sound = overlap_add(torch.ones(1, 3, 4), 2)
    assert sound.tolist() == [[1, 1, 2, 2, 2, 2, 1, 1]]
