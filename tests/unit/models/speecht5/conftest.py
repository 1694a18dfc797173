"""One tiny checkpoint and its model for all tests of the family."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest
import torch
from rhapsode_server.core import Piece, Voice
from rhapsode_server.models import speecht5
from rhapsode_server.models.base import SpeechModel, Utterance
from rhapsode_server.models.speecht5.frontend import SpeechT5Prompt

from ....support.speecht5 import TINY, tiny_checkpoint, write_voice

Prepare = Callable[..., SpeechT5Prompt]


@pytest.fixture(scope="session")
def checkpoint(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Not to be changed; copy it first."""
    folder = tiny_checkpoint(tmp_path_factory.mktemp("speecht5") / "tiny")
    for seed, name in enumerate(("ada", "bert")):
        write_voice(folder / "voices" / f"{name}.npy", TINY["speaker_embedding_dim"], seed)
    return folder


@pytest.fixture(scope="session")
def model(checkpoint: Path) -> SpeechModel:
    return speecht5.load(str(checkpoint), voices=checkpoint / "voices", min_length_ratio=2.0)


@pytest.fixture(scope="session")
def still(checkpoint: Path) -> SpeechModel:
    """The same without dropout."""
    return speecht5.load(str(checkpoint), voices=checkpoint / "voices", min_length_ratio=2.0, dropout=False)


@pytest.fixture(scope="session")
def prepare(model: SpeechModel) -> Prepare:
    def prepare(text: str, voice: str = "ada", seed: int = 0) -> SpeechT5Prompt:
        chosen: Voice = model.voices[voice]
        utterance = Utterance(Piece(text, (), 0, len(text)), chosen, seed=seed)
        prompt = model.frontend.prepare(utterance)
        assert isinstance(prompt, SpeechT5Prompt)
        return prompt

    return prepare


def speak(model: SpeechModel, prompt: SpeechT5Prompt) -> torch.Tensor:
    """All frames of one prompt [T, reduction, mels], by itself."""
    state = model.acoustic.new_state(1)
    model.acoustic.prefill(state, [0], [prompt])
    frames: list[torch.Tensor] = []
    while len(frames) < prompt.max_frames:
        step = model.acoustic.decode(state, torch.tensor([0]))
        assert step.valid.all()
        frames.append(step.frames[0].clone())
        if step.stopped[0]:
            break
    return torch.stack(frames)
