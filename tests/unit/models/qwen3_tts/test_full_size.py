"""The released sizes with random weights: written by the command, loaded, and heard on the CPU."""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from pathlib import Path

import pytest
import torch
from rhapsode_server.core import Window
from rhapsode_server.models import qwen3_tts
from rhapsode_server.models.qwen3_tts import random_checkpoint

from .conftest import say


@pytest.fixture
def folder(tmp_path: Path) -> Iterator[Path]:
    """Removed at once: these are gigabytes."""
    yield tmp_path
    shutil.rmtree(tmp_path)


@pytest.mark.slow
@pytest.mark.parametrize(("geometry", "millions"), [("0.6b", 905.8), ("1.7b", 1916.7)])
def test_a_full_size_checkpoint_speaks(folder: Path, geometry: str, millions: float) -> None:
    random_checkpoint.main([str(folder), "--geometry", geometry, "--kind", "custom_voice"])
    model = qwen3_tts.load(str(folder), positions=256)
    assert abs(int(model.details["parameters"]) / 1e6 - millions) < 0.05
    prompt = model.frontend.prepare(say("The kettle sings.", model.voices["ryan"], seed=1))
    frames = []
    with torch.inference_mode():
        state = model.acoustic.new_state(1)
        model.acoustic.prefill(state, [0], [prompt])
        for _ in range(3):
            step = model.acoustic.decode(state, torch.tensor([0]))
            assert bool(step.valid[0])
            frames.append(step.frames[0].clone())
        sound = model.vocoder.new_state(1)
        wave = model.vocoder.vocode(sound, [0], [torch.stack(frames)], [Window(0, 0, 3, 3, True)])[0]
    assert wave.shape == (3 * 1920,)
    assert bool(wave.isfinite().all())
    assert float(wave.abs().max()) > 0.01
