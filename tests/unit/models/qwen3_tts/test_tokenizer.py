"""Words, control tokens, and what a checkpoint's files may do wrong."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st
from rhapsode_server.errors import ModelUnusable
from rhapsode_server.models.base import SpeechModel
from rhapsode_server.models.qwen3_tts.config_files import read_checkpoint
from rhapsode_server.models.qwen3_tts.frontend import QwenFrontend
from rhapsode_server.models.qwen3_tts.geometry import SPECIAL
from rhapsode_server.models.qwen3_tts.tokenizer import TextTokenizer


def tokenizer_of(model: SpeechModel) -> TextTokenizer:
    assert isinstance(model.frontend, QwenFrontend)
    return model.frontend.tokenizer


@given(text=st.lists(st.sampled_from([*SPECIAL, " ", "word", "<|", "|>", "\n"])).map("".join))
def test_control_tokens_in_a_text_are_only_characters(presets: SpeechModel, text: str) -> None:
    ids = tokenizer_of(presets).encode(text)
    assert all(token < 640 for token in ids)


def test_the_reference_reads_them(presets: SpeechModel) -> None:
    tokenizer = tokenizer_of(presets)
    assert 640 + SPECIAL.index("<tts_pad>") in tokenizer.template("a<tts_pad>b", again=True)
    plain = tokenizer.template("some words", again=True)
    assert plain[:3] == list(tokenizer.role)
    assert plain[3:-5] == tokenizer.encode("some words")


@given(text=st.text(st.characters(codec="utf-8")).filter(lambda text: text == text.strip()))
def test_a_stripped_text_reads_the_same_inside_the_template(presets: SpeechModel, text: str) -> None:
    if any(special in text for special in SPECIAL):
        return
    tokenizer = tokenizer_of(presets)
    assert tokenizer.template(text, again=True)[3:-5] == tokenizer.encode(text)


@given(text=st.text(st.characters(codec="utf-8")))
def test_words_put_together_are_the_text(presets: SpeechModel, text: str) -> None:
    tokenizer = tokenizer_of(presets)
    normalised, words = tokenizer.pieces(text)
    assert [token for ids, _, _ in words for token in ids] == tokenizer.encode(text)
    assert "".join(normalised[start:end] for _, start, end in words) == normalised


def test_the_split_pattern_is_a_choice(preset_folder: Path) -> None:
    """One vocabulary, two ways to cut mixed-case words: transformers 4.57.3 may choose the second."""
    ids = read_checkpoint(preset_folder).text
    words = {}
    for split in ("qwen", "mistral"):
        normalised, found = TextTokenizer(preset_folder, ids, split).pieces("iPhone eBay OpenAI")
        words[split] = [normalised[start:end] for _, start, end in found]
    assert words["qwen"] == ["iPhone", " eBay", " OpenAI"]
    assert words["mistral"] == ["i", "Phone", " e", "Bay", " Open", "AI"]


@pytest.fixture
def broken(preset_folder: Path, tmp_path: Path) -> Path:
    for name in ("vocab.json", "merges.txt", "tokenizer_config.json", "config.json"):
        shutil.copy(preset_folder / name, tmp_path / name)
    return tmp_path


def test_a_vocabulary_that_cannot_be_read(broken: Path, preset_folder: Path) -> None:
    ids = read_checkpoint(preset_folder).text
    (broken / "merges.txt").unlink()
    with pytest.raises(ModelUnusable, match=r"vocab\.json and merges\.txt"):
        TextTokenizer(broken, ids)


def test_a_vocabulary_of_another_checkpoint(broken: Path, preset_folder: Path) -> None:
    ids = read_checkpoint(preset_folder).text
    words = json.loads((broken / "vocab.json").read_text())
    words["assistant"], words["<unused 639>"] = words.get("<unused 639>", 639), words["assistant"]
    (broken / "vocab.json").write_text(json.dumps(words))
    with pytest.raises(ModelUnusable, match="do not belong together"):
        TextTokenizer(broken, ids)
