"""The recipe's parts that need neither flite nor a listener."""

from __future__ import annotations

import importlib
import math
import random
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from types import ModuleType

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from rhapsode_server.models.ion import generator
from rhapsode_server.models.ion.phones import SYMBOLS

FOLDER = Path(__file__).parents[3] / "voices" / "ion"
Stage = Callable[[str], ModuleType]


@pytest.fixture(scope="module")
def stage() -> Iterator[Stage]:
    """Imports a module of the recipe, whose names are plain words, and forgets all of them afterwards."""
    names = {path.stem for path in FOLDER.glob("*.py")}
    hidden = {name: sys.modules.pop(name) for name in names & set(sys.modules)}
    sys.path.insert(0, str(FOLDER))
    yield importlib.import_module
    sys.path.remove(str(FOLDER))
    for name in names:
        sys.modules.pop(name, None)
    sys.modules.update(hidden)


def test_phrases_are_filled_in_whole(stage: Stage) -> None:
    phrases, rng = stage("phrases"), random.Random(1)
    for _ in range(2000):
        sentence = phrases.phrase(rng)
        assert "{" not in sentence
        assert "  " not in sentence
        assert sentence[0].isupper() or sentence[0].isdigit()
        assert sentence[-1] in ".?!"
        assert len(sentence.split()) <= 30


def test_no_word_of_a_list_was_glued_to_the_next(stage: Stage) -> None:
    phrases = stage("phrases")
    assert "Thank you very much." in phrases.SHORT
    assert "call you back" in phrases.ACTIONS
    assert "New York" in phrases.CITIES
    assert len(set(phrases.SHORT)) == len(phrases.SHORT)


@pytest.mark.parametrize(
    ("written", "tidied"),
    [
        ("a wicked prank", "A wicked prank."),
        ("  who is   there? ", "Who is there?"),
        ("it`s here -- now", "It's here , now."),
        ("50 per cent", None),
        ("naïve", None),
        ("x" * 161, None),
        (" ".join(["word"] * 25), None),
        ("", None),
    ],
)
def test_only_plain_sentences_are_kept(stage: Stage, written: str, tidied: str | None) -> None:
    assert stage("text").tidy(written) == tidied


def test_what_is_held_out_depends_on_the_letters_alone(stage: Stage) -> None:
    part_of, rng, phrases = stage("text").part_of, random.Random(2), stage("phrases")
    sentences = {phrases.phrase(rng) for _ in range(3000)}
    held = {sentence for sentence in sentences if part_of(sentence) == "held"}
    assert 0.05 < len(held) / len(sentences) < 0.12
    for sentence in held:
        assert part_of(sentence.upper().rstrip(".?!")) == "held"
    assert all(part_of(short) == "train" for short in phrases.SHORT)


def test_mel_frames_are_centred_on_their_hop(stage: Stage) -> None:
    mel = stage("mel")
    silence = mel.log_mel(torch.zeros(2560))
    assert silence.shape == (10, 80)
    assert silence[0, 0].item() == pytest.approx((-5.0 - mel.CENTRE) / mel.SPREAD, abs=1e-4)
    click = torch.zeros(2560)
    click[5 * 256 + 128] = 1.0
    assert mel.log_mel(click).sum(1).argmax().item() == 5


@pytest.mark.parametrize("hertz", [200.0, 1000.0, 4000.0])
def test_a_tone_stands_in_its_band(stage: Stage, hertz: float) -> None:
    mel = stage("mel")
    tone = torch.sin(2 * math.pi * hertz * torch.arange(16_000) / 16_000)
    low, high = (float(mel.hertz_to_mel(torch.tensor(edge))) for edge in (80.0, 7600.0))
    bands = torch.linspace(low, high, 82)[1:-1]
    want = (bands - float(mel.hertz_to_mel(torch.tensor(hertz)))).abs().argmin()
    assert abs(int(mel.log_mel(tone)[20].argmax()) - int(want)) <= 1


def test_pitch_is_scaled_as_the_vocoder_reads_it(stage: Stage) -> None:
    features = stage("features")
    assert (features.PITCH_CENTRE, features.PITCH_SCALE) == (generator.PITCH_CENTRE, generator.PITCH_SCALE)
    filled, voiced = features.contour(np.array([0.0, 100.0, 0.0, 0.0, 200.0, 0.0], np.float32))
    assert voiced.tolist() == [0, 1, 0, 0, 1, 0]
    assert filled[0] == filled[1]
    assert filled[4] == filled[5]
    assert (np.diff(filled[1:5]) > 0).all(), "a straight line over what is not voiced"


def test_the_teachers_segments_become_tokens(stage: Stage) -> None:
    sentence = {
        "words": ["yes", "a"],
        "marks": [",", "?"],
        "phones": [
            ("pau", 0.2, -1, 0),
            *(("y", 0.3, 0, 1), ("eh", 0.4, 0, 1), ("s", 0.5, 0, 1)),
            ("pau", 0.6, -1, 0),
            ("ax", 0.7, 1, 0),
            ("pau", 0.9, -1, 0),
        ],
    }
    tokens = stage("features").tokens_of(sentence)
    assert [SYMBOLS[token.symbol] for token in tokens] == ["start", "y", "eh", "s", "comma", "ax", "question"]
    assert [token.place for token in tokens] == [0, 1, 0, 2, 0, 3, 0]
    assert [token.function for token in tokens] == [0, 0, 0, 0, 0, 1, 0]
    assert [token.stress for token in tokens] == [0, 0, 1, 0, 0, 0, 0]
    with pytest.raises(ValueError, match="without phones"):
        stage("features").tokens_of({**sentence, "words": ["yes", "a", "..."]})


def test_the_learning_rate_climbs_and_falls(stage: Stage) -> None:
    rate = stage("run").rate
    rates = [rate(step, 5000, 1e-3) for step in range(5000)]
    assert max(rates) == pytest.approx(1e-3)
    assert rates[:300] == sorted(rates[:300])
    assert rates[300:] == sorted(rates[300:], reverse=True)
    assert rates[-1] == pytest.approx(2e-5, rel=0.01)


words = st.lists(st.sampled_from("abc"), max_size=6)


@given(said=words, heard=words)
def test_word_errors_are_an_edit_distance(stage: Stage, said: list[str], heard: list[str]) -> None:
    errors = stage("listen").errors
    assert errors(said, said) == 0
    assert errors(said, []) == len(said)
    assert errors(said, heard) == errors(heard, said)
    assert abs(len(said) - len(heard)) <= errors(said, heard) <= max(len(said), len(heard))
    assert errors([*said, "z"], [*heard, "z"]) == errors(said, heard)


def test_words_are_compared_without_their_spelling(stage: Stage) -> None:
    assert stage("listen").words_of("Well-known: don't STOP!") == ["well", "known", "dont", "stop"]
