"""Small networks with random weights: they speak noise, but by the same rules."""

from __future__ import annotations

import pytest
import torch
from rhapsode_server.core import Piece, Voice, Word
from rhapsode_server.models.base import Utterance
from rhapsode_server.models.ion.generator import Generator, VocoderConfig
from rhapsode_server.models.ion.network import AcousticConfig, AcousticNetwork

VOICE = Voice("ion", "ion", ("en",), 16_000, default=True, conditioning=0)
PHONES = {"yes": "Y EH1 S", "the": "DH AH0", "apple": "AE1 P AH0 L", "to": "T UW1", "bed": "B EH1 D"}


def utterance(text: str, speed: float = 1.0) -> Utterance:
    """`text` is words of PHONES, each with at most one mark behind it."""
    words = []
    for written in text.split():
        word = written.rstrip(",.?!-")
        words.append(Word(word, 0, 0, tuple(PHONES[word].split()), written[len(word) :]))
    return Utterance(Piece(text, tuple(words), 0, len(text)), VOICE, speed)


@pytest.fixture(scope="session")
def network() -> AcousticNetwork:
    torch.manual_seed(3)
    config = AcousticConfig(width=32, encoder_layers=1, decoder_width=32, decoder_layers=2, reach=6)
    return AcousticNetwork(config).eval().requires_grad_(False)


@pytest.fixture(scope="session")
def generator() -> Generator:
    torch.manual_seed(4)
    return Generator(VocoderConfig(width=16, layers=2, noise=4096)).eval().requires_grad_(False)
