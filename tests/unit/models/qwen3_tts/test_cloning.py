"""Voices from clips: what is computed, what is refused, and that a clip is heard once."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import soundfile
import torch
from rhapsode_server.errors import ConfigError, InvalidRequest
from rhapsode_server.models import qwen3_tts
from rhapsode_server.models.base import SpeechModel
from rhapsode_server.models.qwen3_tts.cloning import QwenCloner
from rhapsode_server.models.qwen3_tts.conditioning import Conditioning
from torch import Tensor


def noise(seconds: float, seed: int = 0) -> Tensor:
    return torch.randn(int(24_000 * seconds), generator=torch.Generator().manual_seed(seed)) * 0.1


@pytest.fixture
def cloner(base: SpeechModel) -> QwenCloner:
    assert isinstance(base.cloner, QwenCloner)
    return base.cloner


def traits(cloner: QwenCloner, samples: Tensor, transcript: str = "") -> Conditioning:
    made = cloner.clone("anna", samples, transcript).conditioning
    assert isinstance(made, Conditioning)
    return made


def test_a_vector_alone(cloner: QwenCloner) -> None:
    made = traits(cloner, noise(1.3))
    assert made.clip is None
    assert made.x_vector is not None
    assert made.x_vector.shape == (64,)
    assert made.nbytes == 64 * 4
    other = traits(cloner, noise(1.3, 1)).x_vector
    assert other is not None
    assert not torch.allclose(made.x_vector, other)


@pytest.mark.parametrize(("samples", "frames"), [(24_000, 13), (1920 * 20, 20), (1920 * 20 + 1, 21)])
def test_a_clip_is_as_many_frames_as_it_has_begun(cloner: QwenCloner, samples: int, frames: int) -> None:
    clip = traits(cloner, noise(2.0)[:samples], "what is said").clip
    assert clip is not None
    assert clip.codes.shape == (frames, 4)
    assert int(clip.codes.max()) < 32
    assert clip.primed.heard == frames


def test_the_end_of_a_clip_changes_no_earlier_frame(cloner: QwenCloner) -> None:
    whole, part = cloner.codes(noise(2.4)), cloner.codes(noise(2.4)[: 1920 * 20])
    assert torch.equal(whole[:19], part[:19])


def test_a_quiet_tail_can_be_added(cloner: QwenCloner) -> None:
    made = cloner.clone("anna", noise(2.0), "so", quiet_tail=0.4).conditioning
    assert isinstance(made, Conditioning)
    assert made.clip is not None
    assert made.clip.frames == 30


def test_the_voice_speaks_every_language(cloner: QwenCloner) -> None:
    voice = cloner.clone("anna", noise(1.5))
    assert (voice.name, voice.sample_rate) == ("anna", 24_000)
    assert "zh" in voice.languages


@pytest.mark.parametrize("seconds", [0.0, 0.9, 30.1])
def test_clips_of_other_lengths_are_refused(cloner: QwenCloner, seconds: float) -> None:
    with pytest.raises(InvalidRequest, match="1 to 30 seconds"):
        cloner.clone("anna", noise(seconds))


def test_a_clip_that_is_no_sound(cloner: QwenCloner) -> None:
    samples = noise(1.5)
    samples[7] = torch.nan
    with pytest.raises(InvalidRequest, match="not numbers"):
        cloner.clone("anna", samples)


def test_a_transcript_that_cannot_belong_to_it(cloner: QwenCloner) -> None:
    with pytest.raises(InvalidRequest, match="1000 characters"):
        cloner.clone("anna", noise(1.5), "x" * 1001)


def write(path: Path, samples: Tensor, rate: int = 24_000) -> None:
    soundfile.write(path, np.stack([samples.numpy()] * 2, 1), rate)


def test_a_folder_of_clips(base_folder: Path, tmp_path: Path) -> None:
    write(tmp_path / "Anna.wav", noise(1.5), 22_050)
    (tmp_path / "Anna.txt").write_text("what is said", encoding="utf-8")
    write(tmp_path / "bob.wav", noise(1.2))
    model = qwen3_tts.load(str(base_folder), voices=tmp_path, positions=128)
    assert list(model.voices) == ["anna", "bob"]
    shown = model.voices["anna"].conditioning
    assert isinstance(shown, Conditioning)
    assert shown.clip is not None
    assert shown.clip.frames == 21


def test_a_folder_with_a_clip_that_cannot_be_used(base_folder: Path, tmp_path: Path) -> None:
    write(tmp_path / "short.wav", noise(0.5))
    with pytest.raises(ConfigError, match=r"short\.wav.*1 to 30 seconds"):
        qwen3_tts.load(str(base_folder), voices=tmp_path, positions=128)
