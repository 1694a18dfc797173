"""Text as it arrives: the same tokens however it is cut, and never a step without text."""

from __future__ import annotations

import random
from itertools import pairwise

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from rhapsode_server.errors import TextRefused
from rhapsode_server.models.base import Addition, Feedable, FeedingFrontend, Prompt, SpeechModel
from rhapsode_server.models.qwen3_tts.acoustic import QwenAcoustic
from rhapsode_server.models.qwen3_tts.feed import CertainTokens, QwenAddition, QwenFeedingFrontend
from rhapsode_server.models.qwen3_tts.frontend import QwenPrompt
from torch import Tensor

from .conftest import say

LETTERS = st.sampled_from([*"ab'’sS. ,!\n\t1é世界한가가ㅏ", "\u0301", "\u0323", "\u030d", "\u09be", "\u09c7"])
"""White space, apostrophes, and marks that combine with what stands before them."""
TEXTS = st.lists(st.one_of(LETTERS, st.characters(codec="utf-8")), max_size=40).map("".join)


def fragments(text: str, cuts: list[int]) -> list[str]:
    edges = sorted({0, len(text), *(cut % (len(text) + 1) for cut in cuts)})
    return [text[a:b] for a, b in pairwise(edges)]


def frontend_of(model: SpeechModel) -> QwenFeedingFrontend:
    assert isinstance(model.frontend, QwenFeedingFrontend)
    return model.frontend


@given(text=TEXTS, cuts=st.lists(st.integers(0, 100)))
def test_tokens_do_not_depend_on_the_cuts(presets: SpeechModel, text: str, cuts: list[int]) -> None:
    tokenizer = frontend_of(presets).tokenizer
    certain = CertainTokens(tokenizer)
    got = [token for part in fragments(text, cuts) for token in certain.add(part)]
    assert got + certain.finish() == tokenizer.encode(text.strip())


def test_a_word_is_handed_on_when_the_next_begins(presets: SpeechModel) -> None:
    tokenizer = frontend_of(presets).tokenizer
    certain = CertainTokens(tokenizer)
    assert certain.add("Hel") == []
    assert certain.add("lo") == []
    assert certain.add(" ") == []
    assert certain.add("w") == tokenizer.encode("Hello")
    assert certain.add("orld") == []
    assert certain.finish() == tokenizer.encode(" world")


def test_the_family_promises_to_be_fed(presets: SpeechModel) -> None:
    assert isinstance(presets.acoustic, Feedable)
    assert isinstance(presets.frontend, FeedingFrontend)


def run(model: SpeechModel, items: list[Prompt | Addition], slot: int = 1, slots: int = 3) -> Tensor:
    """Decode as far as the allowance goes, feed, go on: frames [T, codebooks]."""
    acoustic, first = model.acoustic, items[0]
    assert isinstance(acoustic, QwenAcoustic)
    assert isinstance(first, QwenPrompt)
    state = acoustic.new_state(slots)
    frames: list[Tensor] = []
    with torch.inference_mode():
        acoustic.prefill(state, [slot], [first])
        allowance, most, waiting = first.allowance, first.max_frames, list(items[1:])
        while len(frames) < most:
            while allowance is not None and len(frames) >= allowance:
                addition = waiting.pop(0)
                assert isinstance(addition, QwenAddition)
                acoustic.feed(state, slot, addition)
                allowance, most = addition.allowance, addition.max_frames
            step = acoustic.decode(state, torch.tensor([slot]))
            if bool(step.stopped[0]):
                assert allowance is None, "the end is never drawn before the text is complete"
                break
            frames.append(step.frames[0].clone())
    return torch.stack(frames)


def fed(model: SpeechModel, text: str, cuts: list[int], seed: int) -> list[Prompt | Addition]:
    feed = frontend_of(model).open(say("", model.voices["vivian"], seed=seed))
    items = [feed.feed(part) for part in fragments(text, cuts)]
    return [item for item in (*items, feed.finish()) if item is not None]


@pytest.mark.parametrize("seed", range(6))
def test_fed_text_sounds_as_if_it_had_been_there_at_once(presets: SpeechModel, seed: int) -> None:
    text = "The assistant reads what the user sends, word by word, and ends."
    rng = random.Random(seed)
    whole = run(presets, fed(presets, text, [], seed))
    parts = run(presets, fed(presets, text, [rng.randrange(99) for _ in range(8)], seed))
    shorter = min(len(whole), len(parts))
    assert torch.equal(whole[:shorter], parts[:shorter])
    tokens = len(frontend_of(presets).tokenizer.encode(text))
    assert len(parts) >= tokens - 20


def test_the_allowance_is_the_text_that_is_there(presets: SpeechModel) -> None:
    feed = frontend_of(presets).open(say("", presets.voices["ryan"]))
    tokens = frontend_of(presets).tokenizer
    prompt = feed.feed("Hello wor")
    assert isinstance(prompt, QwenPrompt)
    assert prompt.allowance == len(tokens.encode("Hello"))
    addition = feed.feed("ld, and")
    assert isinstance(addition, QwenAddition)
    assert addition.allowance == len(tokens.encode("Hello world,"))
    last = feed.finish()
    assert isinstance(last, QwenAddition)
    assert last.allowance is None
    assert last.ids == (*tokens.encode(" and"), *frontend_of(presets).end)


def test_nothing_to_speak(presets: SpeechModel) -> None:
    feed = frontend_of(presets).open(say("", presets.voices["ryan"]))
    assert feed.feed("  ... \n") is None
    with pytest.raises(TextRefused):
        feed.finish()


def test_a_text_that_never_ends_is_refused(presets: SpeechModel) -> None:
    feed = frontend_of(presets).open(say("", presets.voices["ryan"]))
    for _ in range(30):
        feed.feed("one two ")
    with pytest.raises(TextRefused, match="too long"):
        feed.feed("one two three four five " * 40)


def test_a_clip_waits_for_a_token_beside_each_frame(base: SpeechModel) -> None:
    """Otherwise the prefill would have to be filled up with padding, which means: the text is over."""
    assert base.cloner is not None
    noise = torch.randn(24_000, generator=torch.Generator().manual_seed(1)) * 0.1
    voice = base.cloner.clone("a", noise, "so")
    feed = frontend_of(base).open(say("", voice))
    assert feed.feed("one ") is None
    prompt = feed.feed("two three four five six seven eight nine ten eleven twelve ")
    assert isinstance(prompt, QwenPrompt)
    assert prompt.allowance == 1 + len(prompt.trailing)
