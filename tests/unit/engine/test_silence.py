"""A model that goes on without a sound is ended, at the same sample at any load."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from rhapsode_server.core import FinishReason, Window
from rhapsode_server.engine.engine import Engine
from rhapsode_server.engine.silence import LOUDNESS, Silence
from rhapsode_server.engine.worker import EngineSettings
from rhapsode_server.models import ion, toy
from torch import Tensor

from tests.unit.engine.test_engine import ask, listen

FRAMES = st.lists(st.sampled_from([0.0, LOUDNESS / 2, LOUDNESS * 2, 0.3]), max_size=40)


@given(frames=FRAMES, cuts=st.lists(st.integers(0, 40), max_size=6))
def test_what_is_counted_does_not_depend_on_the_windows(frames: list[float], cuts: list[int]) -> None:
    silence, size = Silence(), 16
    wave = np.repeat(np.array(frames, np.float32), size) * np.tile([1.0, -1.0], len(frames) * size // 2)
    for part in np.split(wave.astype(np.float32), [min(cut, len(frames)) * size for cut in sorted(cuts)]):
        silence.hear(part, size)
    loud = [n for n, frame in enumerate(frames) if frame > LOUDNESS]
    assert silence.frames == len(frames) - (loud[-1] + 1 if loud else 0)


class Falling(toy.ToyVocoder):
    """Sounds for the first `sounds` frames of every stream, and never again."""

    sounds = 20

    def vocode(
        self, state: None, slots: list[int], frames: Sequence[Tensor], windows: Sequence[Window]
    ) -> list[Tensor]:
        waves = super().vocode(state, slots, frames, windows)
        for wave, window in zip(waves, windows, strict=True):
            wave[max(0, self.sounds - window.begin) * toy.SAMPLES_PER_FRAME :] = 1e-5
        return waves


@pytest.mark.parametrize("neighbours", [0, 5])
async def test_a_stream_that_falls_silent_is_ended_as_a_runaway(neighbours: int) -> None:
    model = replace(toy.load(), vocoder=Falling(), silence=0.5)
    engine = Engine(model, EngineSettings(slots=3))
    streams = [engine.submit(ask(model, 3)) for _ in range(neighbours + 1)]
    engine.start()
    waves = await asyncio.gather(*map(listen, streams))
    for stream, wave in zip(streams, waves, strict=True):
        assert stream.outcome is not None
        assert stream.outcome.reason is FinishReason.RUNAWAY
        assert len(wave) == stream.outcome.frames_sent * toy.SAMPLES_PER_FRAME
        silent = stream.outcome.frames_sent - Falling.sounds
        limit = round(0.5 * model.acoustic.frame_rate)
        assert limit <= silent < limit + model.vocoder.chunking.largest
    assert len({len(wave) for wave in waves}) == 1
    assert engine.load().running == 0
    assert engine.stop()


async def test_silence_at_the_end_of_a_text_is_no_runaway() -> None:
    model = replace(toy.load(), vocoder=Falling(), silence=10.0)
    engine = Engine(model, EngineSettings(slots=1))
    engine.start()
    stream = engine.submit(ask(model, 3))
    await listen(stream)
    assert stream.outcome is not None
    assert stream.outcome.reason is FinishReason.STOP
    assert engine.stop()


def test_families_that_cannot_run_away_are_not_listened_to() -> None:
    assert toy.load().silence == 0.0
    assert ion.load().silence == 0.0
