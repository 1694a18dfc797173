"""Streaming sound: any chunking, any neighbours, the same samples."""

from __future__ import annotations

from itertools import count
from pathlib import Path

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from rhapsode_server.core import Chunking, Window
from rhapsode_server.engine.windows import next_window
from rhapsode_server.models import speecht5
from rhapsode_server.models.base import SpeechModel
from rhapsode_server.models.speecht5.vocoder import SpeechT5Vocoder, VocoderState
from torch import Tensor

TOLERANCE = 1e-5


@pytest.fixture(scope="module")
def vocoder(model: SpeechModel) -> SpeechT5Vocoder:
    assert isinstance(model.vocoder, SpeechT5Vocoder)
    return model.vocoder


def mel(frames: int, seed: int = 0) -> Tensor:
    return 2 * torch.randn(frames, 2, 20, generator=torch.Generator().manual_seed(seed))


def offline(vocoder: SpeechT5Vocoder, frames: Tensor) -> Tensor:
    window = Window(0, 0, len(frames), len(frames), True)
    return vocoder.vocode(vocoder.new_state(1), [0], [frames], [window])[0]


class Stream:
    """One request: frames appear `pace` at a time, windows are taken as the engine takes them."""

    def __init__(self, chunking: Chunking, slot: int, frames: Tensor, pace: int) -> None:
        self.chunking, self.slot, self.frames, self.pace = chunking, slot, frames, pace
        self.made = self.sent = self.chunks = 0
        self.sound: list[Tensor] = []
        self.done = False

    def window(self) -> Window | None:
        finished = self.made == len(self.frames)
        found = next_window(self.chunking, self.made, self.sent, self.chunks, finished)
        if found is None:
            self.made = min(self.made + self.pace, len(self.frames))
        return found

    def take(self, window: Window, sound: Tensor) -> None:
        self.sound.append(sound)
        self.sent, self.chunks, self.done = window.end, self.chunks + 1, window.last


def run(vocoder: SpeechT5Vocoder, streams: list[Stream], state: VocoderState) -> None:
    for _ in count():
        due = [(stream, window) for stream in streams if not stream.done and (window := stream.window())]
        waves = vocoder.vocode(
            state,
            [stream.slot for stream, _ in due],
            [stream.frames[window.start : window.stop] for stream, window in due],
            [window for _, window in due],
        )
        for (stream, window), wave in zip(due, waves, strict=True):
            assert len(wave) == window.wanted * vocoder.samples_per_frame
            stream.take(window, wave)
        if all(stream.done for stream in streams):
            return


@settings(max_examples=40)
@given(st.data())
def test_streamed_equals_offline_in_any_company(vocoder: SpeechT5Vocoder, data: st.DataObject) -> None:
    lengths = data.draw(st.lists(st.integers(1, 70), min_size=1, max_size=4))
    first = data.draw(st.integers(1, 6))
    chunking = Chunking(
        first=first,
        largest=data.draw(st.integers(first, 20)),
        growth=data.draw(st.integers(1, 3)),
        right=vocoder.chunking.right,
    )
    streams = [
        Stream(chunking, slot, mel(length, slot), data.draw(st.integers(1, 9)))
        for slot, length in enumerate(lengths)
    ]
    run(vocoder, streams, vocoder.new_state(len(streams)))
    for stream in streams:
        want = offline(vocoder, stream.frames)
        assert (torch.cat(stream.sound) - want).abs().max() <= TOLERANCE


def test_a_row_is_as_new_after_a_reset(vocoder: SpeechT5Vocoder) -> None:
    state, chunking = vocoder.new_state(1), vocoder.chunking
    tail = chunking.first + chunking.right + 5
    cancelled = Stream(chunking, 0, mel(tail), tail)
    vocoder.vocode(state, [0], [cancelled.frames], [Window(0, 0, 4, tail, False)])
    assert state.rest, "the utterance ended within the look-ahead, so sound was made ahead"
    vocoder.reset(state, [0])
    assert not state.rest
    stream = Stream(chunking, 0, mel(50, 3), 1)
    run(vocoder, [stream], state)
    assert (torch.cat(stream.sound) - offline(vocoder, stream.frames)).abs().max() <= TOLERANCE


def test_a_call_that_fails_changes_nothing(vocoder: SpeechT5Vocoder, monkeypatch: pytest.MonkeyPatch) -> None:
    """The runner tries halves of a batch again: no row may have been fed twice."""
    state, right = vocoder.new_state(2), vocoder.chunking.right
    frames = [mel(40, 1), mel(40, 2)]
    first = Window(0, 0, 4, 4 + right, False)
    shown = [frame[: first.stop] for frame in frames]
    heard = vocoder.vocode(state, [0, 1], shown, [first, first])
    windows = [Window(4, 4, 12, 12 + right, False), Window(4, 4, 9, 9 + right, False)]
    shown = [frame[window.start : window.stop] for frame, window in zip(frames, windows, strict=True)]
    run_group, calls = vocoder._run, []

    def second_fails(state: VocoderState, group: list) -> object:  # type: ignore[type-arg]
        calls.append(group)
        if len(calls) == 2:
            raise RuntimeError
        return run_group(state, group)

    with monkeypatch.context() as patch:
        patch.setattr(vocoder, "_run", second_fails)
        with pytest.raises(RuntimeError):
            vocoder.vocode(state, [0, 1], shown, windows)
    again = vocoder.vocode(state, [0, 1], shown, windows)
    for row, end in enumerate((12, 9)):
        want = offline(vocoder, frames[row])[: end * vocoder.samples_per_frame]
        assert (torch.cat([heard[row], again[row]]) - want).abs().max() <= TOLERANCE


def test_silence_has_no_sound(vocoder: SpeechT5Vocoder) -> None:
    nothing = Window(0, 0, 0, 0, True)
    assert [len(w) for w in vocoder.vocode(vocoder.new_state(1), [0], [mel(0)], [nothing])] == [0]


def test_look_ahead_is_what_the_sizes_need(model: SpeechModel, vocoder: SpeechT5Vocoder) -> None:
    """Sizes of the tiny checkpoint: 5 x 2 slices of postnet, 3 before and 3 samples after the stages.

    Stage 1 is 4 times, stage 2 20 times as fine as mel slices; the chains of kernel 7 reach furthest,
    3 * (1 + 2) + 3 * 2 positions; the upsamplers are 2 and 3 positions late.
    """
    samples = ((10 + 3) * 4 + 2 + 15) * 5 + 3 + 15 + 3
    assert vocoder._postnet.delay * 20 + vocoder._gan.delay == samples
    assert vocoder.samples_per_frame == 40
    assert vocoder.chunking.right == -(-samples // 40)
    assert model.acoustic.frame_rate == 16000 / 40


def test_half_precision_is_near(checkpoint: Path, vocoder: SpeechT5Vocoder) -> None:
    """For processors that compute bfloat16 faster: an option, never the default."""
    half = speecht5.load(str(checkpoint), vocoder_dtype="bfloat16").vocoder
    assert isinstance(half, SpeechT5Vocoder)
    want, got = offline(vocoder, mel(30)), offline(half, mel(30))
    assert got.dtype == torch.float32
    assert (got - want).square().mean() <= 0.01 * want.square().mean(), "20 dB below the sound"
    stream = Stream(half.chunking, 0, mel(30), 1)
    run(half, [stream], half.new_state(1))
    assert (torch.cat(stream.sound) - got).square().mean() <= 0.01 * got.square().mean()
