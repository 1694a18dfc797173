"""Text and voice -> prompt, and what is refused."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from rhapsode_server.core import Piece, SamplingParams
from rhapsode_server.errors import ModelUnusable, SettingUnsupported, TextRefused
from rhapsode_server.models.base import SpeechModel, Utterance
from rhapsode_server.models.speecht5.config import AcousticConfig
from rhapsode_server.models.speecht5.frontend import Lengths, SpeechT5Frontend

from .conftest import Prepare


def utterance(model: SpeechModel, text: str, **asked: object) -> Utterance:
    return Utterance(Piece(text, (), 0, len(text)), model.voices["ada"], **asked)  # type: ignore[arg-type]


def test_the_prompt_has_what_the_model_needs(model: SpeechModel, prepare: Prepare) -> None:
    prompt = prepare("Yes.", seed=9)
    assert len(prompt.tokens) == 6, "a space, four characters, the end mark"
    assert prompt.tokens[-1] == 2
    assert (prompt.min_frames, prompt.max_frames, prompt.positions, prompt.seed) == (6, 60, 60, 9)
    assert prompt.speaker.norm() == pytest.approx(1.0)
    direction = prompt.speaker @ model.voices["ada"].conditioning  # type: ignore[operator]
    assert direction == pytest.approx(model.voices["ada"].conditioning.norm())  # type: ignore[attr-defined]


def test_characters_that_have_no_sound_are_dropped(prepare: Prepare) -> None:
    assert torch.equal(prepare("a \u4e2d\u6587 b\u00a7").tokens, prepare("a b").tokens)


def test_special_marks_in_a_text_are_letters_like_others(prepare: Prepare) -> None:
    assert torch.equal(prepare("a</s>b").tokens, prepare("a/sb").tokens)


@pytest.mark.parametrize("text", ["", "   ", "...", "\u4e2d\u6587", "?! -"])
def test_text_without_sound_is_refused(prepare: Prepare, text: str) -> None:
    with pytest.raises(TextRefused, match="Send letters") as refused:
        prepare(text)
    assert (refused.value.status, refused.value.field) == ("INVALID_ARGUMENT", "text")


def test_the_longest_piece_fits_and_a_longer_one_is_refused(model: SpeechModel, prepare: Prepare) -> None:
    longest = model.frontend.longest_piece
    assert len(prepare("a" * longest).tokens) == 120
    with pytest.raises(TextRefused, match="Split it"):
        prepare("a" * (longest + 1))


@pytest.mark.parametrize(
    ("asked", "field"),
    [
        ({"instruction": "whisper"}, "instruction"),
        ({"sampling": SamplingParams(temperature=0.5)}, "sampling.temperature"),
        ({"language": "de-CH"}, "language"),
        ({"speed": 1.5}, "speed"),
    ],
)
def test_settings_that_it_has_not_got_are_refused(
    model: SpeechModel, asked: dict[str, object], field: str
) -> None:
    with pytest.raises(SettingUnsupported, match="Leave") as refused:
        model.frontend.prepare(utterance(model, "yes", **asked))
    assert refused.value.field == field


def test_its_own_language_is_no_offence(model: SpeechModel) -> None:
    assert model.frontend.prepare(utterance(model, "yes", language="en-GB")).max_frames == 50


@given(st.text(max_size=140))
def test_any_text_becomes_a_prompt_or_is_refused(model: SpeechModel, prepare: Prepare, text: str) -> None:
    try:
        prompt = prepare(text)
    except TextRefused:
        return
    assert 3 <= len(prompt.tokens) <= 120
    assert int(prompt.tokens.min()) >= 0
    assert int(prompt.tokens.max()) < 81
    assert 1 <= prompt.max_frames == prompt.positions <= model.positions


@given(st.integers(1, 600), st.integers(1, 4), st.floats(0, 20), st.floats(0, 40), st.integers(1, 2000))
def test_lengths_are_those_of_the_published_loop(
    tokens: int, reduction: int, low: float, high: float, most: int
) -> None:
    fewest, longest = Lengths(low, high, most).of(tokens, reduction)
    assert fewest == int(tokens * low / reduction)
    assert longest == max(1, min(int(tokens * high / reduction), most))


def test_a_missing_or_broken_vocabulary_is_named(tmp_path: Path, checkpoint: Path) -> None:
    path = tmp_path / "spm_char.model"
    with pytest.raises(ModelUnusable, match=r"spm_char\.model is missing"):
        SpeechT5Frontend(path, AcousticConfig(), Lengths())
    path.write_bytes(b"not a model")
    with pytest.raises(ModelUnusable, match="not a SentencePiece model"):
        SpeechT5Frontend(path, AcousticConfig(), Lengths())
    with pytest.raises(ModelUnusable, match="only 20"):
        SpeechT5Frontend(checkpoint / "spm_char.model", AcousticConfig(vocab_size=20), Lengths())
