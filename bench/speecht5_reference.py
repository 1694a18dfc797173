"""A SpeechT5 of the official size with random weights, and transformers' own way of running the same."""

from __future__ import annotations

import dataclasses
import logging
import time
from collections.abc import Sequence
from pathlib import Path

import torch
from rhapsode_server.models import speecht5
from rhapsode_server.models.base import Prompt, SpeechModel
from rhapsode_server.models.speecht5.frontend import SpeechT5Prompt

from bench.figures import Heard
from bench.ways import Way
from tests.support.speecht5 import full_checkpoint

CHARACTERS_PER_SECOND = 15.0
"""English read aloud. Random weights do not know when to stop, so the length is set from the text."""
NEVER = 2.0
"""A threshold that no probability reaches."""


def official_size(folder: Path) -> tuple[SpeechModel, dict[str, Way]]:
    """The model, and what to compare it with on the same weights."""
    full_checkpoint(folder)
    model = speecht5.load(str(folder), threshold=NEVER)
    return model, {"generate_speech, in turn": Reference(folder)}


def realistic(prompt: Prompt) -> Prompt:
    """The prompt with as many frames as its text would take to read."""
    assert isinstance(prompt, SpeechT5Prompt)
    seconds = len(prompt.tokens) / CHARACTERS_PER_SECOND
    return dataclasses.replace(prompt, max_frames=max(1, round(seconds * 31.25)))


class Reference:
    """`generate_speech` of transformers behind a lock: each request has the model to itself."""

    def __init__(self, folder: Path) -> None:
        from transformers import SpeechT5ForTextToSpeech, SpeechT5HifiGan

        logging.getLogger("transformers").setLevel(logging.ERROR)
        self._model = SpeechT5ForTextToSpeech.from_pretrained(folder).eval()  # type: ignore[no-untyped-call]
        self._vocoder = SpeechT5HifiGan.from_pretrained(folder / "vocoder").eval()  # type: ignore[no-untyped-call]

    @torch.inference_mode()
    def __call__(self, model: SpeechModel, prompts: Sequence[Prompt]) -> list[Heard]:
        """One whole utterance after the other."""
        began = time.perf_counter()
        heard = []
        for prompt in prompts:
            assert isinstance(prompt, SpeechT5Prompt)
            slices = 2 * prompt.max_frames
            wave = self._model.generate_speech(
                prompt.tokens[None],
                prompt.speaker[None],
                threshold=NEVER,
                maxlenratio=(slices + 0.5) / len(prompt.tokens),
                vocoder=self._vocoder,
            )
            now = time.perf_counter() - began
            heard.append(Heard(now, now, len(wave) / model.sample_rate))
        return heard
