"""The stateful codec: windows, neighbours, seams, clips; and that a call that fails has changed nothing."""

from __future__ import annotations

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from rhapsode_server.core import Chunking, Window
from rhapsode_server.models.base import SpeechModel
from rhapsode_server.models.qwen3_tts.vocoder import QwenVocoder, Seams
from torch import Tensor

CHUNKING = Chunking(1, 8)
EXACT = 2e-6
"""Float32 rounding of some forty layers; the same difference separates two ways to sum."""


def vocoder_of(model: SpeechModel, seams: Seams | None = None) -> QwenVocoder:
    assert isinstance(model.vocoder, QwenVocoder)
    return QwenVocoder(model.vocoder.codec, chunking=CHUNKING, seams=seams)


def codes(frames: int, seed: int = 0) -> Tensor:
    return torch.randint(0, 32, (frames, 4), generator=torch.Generator().manual_seed(seed))


def window(begin: int, end: int, *, last: bool = False) -> Window:
    return Window(begin, begin, end, end, last)


@torch.inference_mode()
def sound(vocoder: QwenVocoder, frames: Tensor, sizes: list[int], slot: int = 1) -> Tensor:
    """Sound of `frames` in windows of these sizes, the last of which is repeated."""
    state, begin, parts = vocoder.new_state(3), 0, list[Tensor]()
    vocoder.reset(state, [slot])
    while begin < len(frames):
        end = min(len(frames), begin + (sizes.pop(0) if len(sizes) > 1 else sizes[0]))
        parts += vocoder.vocode(state, [slot], [frames[begin:end]], [window(begin, end)])
        begin = end
    return torch.cat(parts)


@settings(max_examples=10)
@given(sizes=st.lists(st.integers(1, 9), min_size=1))
def test_any_windows_sound_like_one(presets: SpeechModel, sizes: list[int]) -> None:
    vocoder = vocoder_of(presets)
    whole = sound(vocoder, codes(20), [20])
    assert whole.shape == (20 * 1920,)
    assert (sound(vocoder, codes(20), sizes) - whole).abs().max() <= EXACT


def test_frame_by_frame_beyond_the_window_of_attention(presets: SpeechModel) -> None:
    vocoder = vocoder_of(presets)
    whole = sound(vocoder, codes(60), [60])
    assert whole.abs().max() > 0.01
    assert (sound(vocoder, codes(60), [1]) - whole).abs().max() <= EXACT


def test_state_does_not_grow(presets: SpeechModel) -> None:
    vocoder = vocoder_of(presets)
    state = vocoder.new_state(1)
    before = state.row(0).nbytes
    with torch.inference_mode():
        vocoder.vocode(state, [0], [codes(50)], [window(0, 50)])
    assert state.row(0).nbytes == before


def test_rows_of_one_call_do_not_hear_each_other(presets: SpeechModel) -> None:
    vocoder = vocoder_of(presets)
    rows = [codes(frames, seed) for seed, frames in enumerate((3, 5, 3))]
    alone = [sound(vocoder, row, [99]) for row in rows]
    state = vocoder.new_state(4)
    with torch.inference_mode():
        together = vocoder.vocode(state, [3, 0, 2], rows, [window(0, len(row)) for row in rows])
    for got, want in zip(together, alone, strict=True):
        assert (got - want).abs().max() <= EXACT


def test_a_reset_row_is_as_new(presets: SpeechModel) -> None:
    vocoder = vocoder_of(presets)
    state = vocoder.new_state(1)
    with torch.inference_mode():
        vocoder.vocode(state, [0], [codes(9, 5)], [window(0, 9)])
        vocoder.reset(state, [0])
        again = vocoder.vocode(state, [0], [codes(9)], [window(0, 9)])[0]
    assert torch.equal(again, sound(vocoder, codes(9), [9]))


def test_an_empty_window_is_silent(presets: SpeechModel) -> None:
    vocoder = vocoder_of(presets)
    state = vocoder.new_state(2)
    got = vocoder.vocode(state, [0], [codes(0)], [window(4, 4, last=True)])
    assert got[0].shape == (0,)


@pytest.mark.parametrize("sizes", [[40], [1], [3, 5, 7]])
def test_seams_are_where_the_reference_has_them(presets: SpeechModel, sizes: list[int]) -> None:
    """Chunks of 10 frames, each decoded on its own after 4 frames of context whose sound is dropped."""
    frames = codes(37)
    plain = vocoder_of(presets)
    chunks = []
    for begin in range(0, 37, 10):
        context = min(begin, 4)
        chunk = sound(plain, frames[begin - context : begin + 10], [99])
        chunks.append(chunk[context * 1920 :])
    got = sound(vocoder_of(presets, Seams(10, 4)), frames, sizes)
    assert (got - torch.cat(chunks)).abs().max() <= EXACT
    assert (got - sound(plain, frames, [99])).abs().max() > 1e-3, "the seams can be heard"


@pytest.mark.parametrize("seams", [None, Seams(10, 4)])
def test_a_primed_row_goes_on_from_the_clip(presets: SpeechModel, seams: Seams | None) -> None:
    vocoder = vocoder_of(presets, seams)
    clip, rest = codes(64, 1), codes(9, 2)
    state = vocoder.new_state(2)
    state.put(1, vocoder.primed(clip))
    with torch.inference_mode():
        got = vocoder.vocode(state, [1], [rest], [window(0, 9)])[0]
    assert (got - sound(vocoder, torch.cat((clip, rest)), [99])[64 * 1920 :]).abs().max() <= EXACT


def test_a_call_that_fails_has_changed_nothing(presets: SpeechModel) -> None:
    """The second group of rows raises after the first has been through the codec."""
    vocoder = vocoder_of(presets)
    state = vocoder.new_state(2)
    rows = [codes(3), codes(2)]
    wrong = [rows[0], rows[1][:, :3]]
    with torch.inference_mode():
        with pytest.raises(RuntimeError):
            vocoder.vocode(state, [0, 1], wrong, [window(0, 3), window(0, 2)])
        again = vocoder.vocode(state, [0, 1], rows, [window(0, 3), window(0, 2)])
    assert torch.equal(again[0], sound(vocoder, rows[0], [99]))
