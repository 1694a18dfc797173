"""The family against `generate_speech` of transformers on the same weights."""

from __future__ import annotations

import warnings
from pathlib import Path
from typing import Any

import pytest
import torch
from rhapsode_server.core import Piece, Window
from rhapsode_server.layers.lookahead import Flow
from rhapsode_server.layers.noise import uniform
from rhapsode_server.models import speecht5
from rhapsode_server.models.base import SpeechModel, Utterance
from rhapsode_server.models.speecht5.frontend import SpeechT5Frontend, SpeechT5Prompt
from rhapsode_server.models.speecht5.vocoder import SpeechT5Vocoder

from ....support.speecht5 import full_checkpoint, write_voice
from .conftest import Prepare, speak

TEXTS = ("The kettle sings before the water boils.", "Yes.", "A long road is walked one step at a time.")
MEL, WAVE = 1e-4, 1e-3


class Reference:
    """transformers' model and vocoder, its dropout masks in our hands."""

    def __init__(self, folder: Path) -> None:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            self._load(folder)
        self.prenet = self.model.speecht5.decoder.prenet
        self.seed: int | None = None
        self.calls = 0
        self.prenet._consistent_dropout = self._dropout

    def _load(self, folder: Path) -> None:
        import transformers

        library: Any = transformers  # it is only partly typed
        library.logging.set_verbosity_error()
        library.logging.disable_progress_bar()
        self.model = library.SpeechT5ForTextToSpeech.from_pretrained(folder).eval()
        self.vocoder = library.SpeechT5HifiGan.from_pretrained(folder / "vocoder").eval()

    def _dropout(self, x: torch.Tensor, p: float) -> torch.Tensor:
        """Masks of our addresses where a seed is set, else none. x is [1, positions, units]."""
        layer, self.calls = self.calls % len(self.prenet.layers), self.calls + 1
        if self.seed is None:
            return x
        frames, units = torch.arange(x.shape[1])[:, None], torch.arange(x.shape[2])
        kept = uniform(torch.tensor(self.seed), frames, layer, units) < 1 - p
        return x * kept / (1 - p)

    def speak(self, prompt: SpeechT5Prompt, speaker: Any, **options: Any) -> torch.Tensor:
        """Mel spectrum [T, mels] after the postnet, or samples where a vocoder is given."""
        made: torch.Tensor = self.model.generate_speech(
            prompt.tokens[None], speaker[None], minlenratio=2.0, **options
        )
        return made


@pytest.fixture(scope="module")
def reference(checkpoint: Path) -> Reference:
    return Reference(checkpoint)


def refined(model: SpeechModel, frames: torch.Tensor) -> torch.Tensor:
    """Frames after the postnet, [T, mels]."""
    vocoder = model.vocoder
    assert isinstance(vocoder, SpeechT5Vocoder)
    flow = Flow(vocoder.new_state(1).rows, first=True, last=True)
    return vocoder._postnet(flow, frames.flatten(0, 1)[None])[0]


def sound(model: SpeechModel, frames: torch.Tensor) -> torch.Tensor:
    """One window over all frames."""
    window = Window(0, 0, len(frames), len(frames), True)
    return model.vocoder.vocode(model.vocoder.new_state(1), [0], [frames], [window])[0]


def assert_parity(model: SpeechModel, reference: Reference, prompt: SpeechT5Prompt, voice: str) -> None:
    frames = speak(model, prompt)
    speaker = model.voices[voice].conditioning
    mel = reference.speak(prompt, speaker)
    assert len(frames) * 2 == len(mel), "the stop frame"
    assert (refined(model, frames) - mel).abs().max() <= MEL
    wave = reference.speak(prompt, speaker, vocoder=reference.vocoder)
    assert (sound(model, frames) - wave).abs().max() <= WAVE


@pytest.mark.parametrize("voice", ["ada", "bert"])
@pytest.mark.parametrize("text", TEXTS)
def test_speech_is_that_of_the_reference(
    still: SpeechModel, reference: Reference, prepare: Prepare, text: str, voice: str
) -> None:
    reference.seed = None
    prompt = prepare(text, voice)
    assert len(speak(still, prompt)) < prompt.max_frames, "the model stops by itself"
    assert_parity(still, reference, prompt, voice)


@pytest.mark.parametrize("seed", [0, 1, 2**40 + 7])
def test_with_dropout_too_when_the_masks_are_the_same(
    model: SpeechModel, reference: Reference, prepare: Prepare, seed: int
) -> None:
    reference.seed = seed
    assert_parity(model, reference, prepare(TEXTS[0], seed=seed), "ada")


def test_a_model_that_never_stops_ends_at_the_same_length(
    checkpoint: Path, reference: Reference, prepare: Prepare
) -> None:
    reference.seed = None
    model = speecht5.load(str(checkpoint), voices=checkpoint / "voices", dropout=False, threshold=9.0)
    prompt = prepare("Yes.")
    frames = speak(model, prompt)
    mel = reference.speak(prompt, model.voices["ada"].conditioning, threshold=9.0)
    assert len(frames) == prompt.max_frames == len(mel) // 2 == 60
    assert (refined(model, frames) - mel).abs().max() <= MEL


def test_the_vocabulary_spells_as_the_reference_does(checkpoint: Path, model: SpeechModel) -> None:
    from transformers import SpeechT5Tokenizer

    tokenizer = SpeechT5Tokenizer(str(checkpoint / "spm_char.model"))
    assert isinstance(model.frontend, SpeechT5Frontend)
    for text in (*TEXTS, "  two   spaces, it's: (fine) - 42!", "x"):
        prompt = model.frontend.prepare(Utterance(Piece(text, (), 0, 0), model.voices["ada"]))
        assert prompt.tokens.tolist() == tokenizer(text).input_ids


@pytest.mark.slow
def test_parity_in_the_published_sizes(tmp_path: Path) -> None:
    folder = full_checkpoint(tmp_path / "full")
    write_voice(folder / "voices" / "ada.npy", 512, 0)
    model = speecht5.load(str(folder), voices=folder / "voices", min_length_ratio=2.0, dropout=False)
    reference = Reference(folder)
    utterance = Utterance(Piece(TEXTS[0], (), 0, 0), model.voices["ada"])
    prompt = model.frontend.prepare(utterance)
    assert isinstance(prompt, SpeechT5Prompt)
    assert_parity(model, reference, prompt, "ada")
