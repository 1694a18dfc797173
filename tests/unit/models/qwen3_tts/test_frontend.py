"""Voices, languages, instructions, settings and bounds, in a request's own words."""

from __future__ import annotations

from dataclasses import replace

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from rhapsode_server.core import SamplingParams, Voice
from rhapsode_server.errors import InvalidRequest, SettingUnsupported, TextRefused
from rhapsode_server.models.base import SpeechModel
from rhapsode_server.models.qwen3_tts.frontend import QwenFrontend, QwenPrompt
from rhapsode_server.models.qwen3_tts.guards import REFERENCE, Guards
from rhapsode_server.models.qwen3_tts.languages import language_name

from .conftest import say


def prepared(model: SpeechModel, text: str, voice: str = "", **more: object) -> QwenPrompt:
    chosen = model.voices[voice] if voice else next(v for v in model.voices.values() if v.default)
    prompt = model.frontend.prepare(say(text, chosen, **more))
    assert isinstance(prompt, QwenPrompt)
    return prompt


def test_a_checkpoint_of_presets_offers_its_speakers(presets: SpeechModel) -> None:
    assert len(presets.voices) == 9
    assert [voice.name for voice in presets.voices.values() if voice.default] == ["serena"]
    assert presets.voices["eric"].labels == {"dialect": "sichuan_dialect"}
    assert presets.voices["ryan"].languages == ("de", "en", "es", "fr", "it", "ja", "ko", "pt", "ru", "zh")
    assert presets.cloner is None


@pytest.mark.parametrize("text", ["", "  \n", "...", "!?", "\u200b"])
def test_nothing_to_speak_is_refused(presets: SpeechModel, text: str) -> None:
    with pytest.raises(TextRefused):
        prepared(presets, text)


def test_white_space_around_a_text_changes_nothing(presets: SpeechModel) -> None:
    assert torch.equal(prepared(presets, " \n yes \n").rows, prepared(presets, "yes").rows)


@pytest.mark.parametrize("asked", ["", "auto", "Auto"])
def test_automatic_language_has_a_shorter_tag(presets: SpeechModel, asked: str) -> None:
    auto, english = (
        prepared(presets, "yes", "ryan", language=asked),
        prepared(presets, "yes", "ryan", language="en"),
    )
    assert len(english.rows) == len(auto.rows) + 1


@pytest.mark.parametrize("asked", ["de", "de-AT", "German", "de_DE"])
def test_languages_by_code_and_name(presets: SpeechModel, asked: str) -> None:
    assert torch.equal(
        prepared(presets, "ja", language=asked).rows, prepared(presets, "ja", language="german").rows
    )


@pytest.mark.parametrize("asked", ["sv", "klingon", "sichuan_dialect", "beijing_dialect"])
def test_other_languages_and_dialects_are_refused(presets: SpeechModel, asked: str) -> None:
    with pytest.raises(SettingUnsupported, match="de, en, es"):
        prepared(presets, "yes", language=asked)


def test_a_dialect_comes_with_its_speaker(presets: SpeechModel) -> None:
    """Automatic and Chinese become the dialect; any other language stays what it is."""
    chinese = prepared(presets, "yes", "eric", language="zh").rows
    assert torch.equal(chinese, prepared(presets, "yes", "eric").rows)
    assert not torch.equal(chinese, prepared(presets, "yes", "eric", language="en").rows)
    others = prepared(presets, "yes", "ryan", language="zh").rows
    assert not torch.equal(chinese[3:7], others[3:7])


def test_an_instruction_comes_before_all_else(presets: SpeechModel) -> None:
    plain = prepared(presets, "yes")
    told = prepared(presets, "yes", instruction="quietly")
    assert len(told.rows) > len(plain.rows)
    assert torch.equal(told.rows[-len(plain.rows) :], plain.rows)


def test_small_presets_take_no_instruction_and_say_nothing(presets: SpeechModel) -> None:
    """The rule of the 0.6B checkpoint: an instruction is left out."""
    frontend = presets.frontend
    assert isinstance(frontend, QwenFrontend)
    small = QwenFrontend(
        replace(frontend.checkpoint, size="0b6"),
        frontend.tokenizer,
        frontend.embeddings,
        positions=512,
        frame_rate=12.5,
        guards=REFERENCE,
        streaming=False,
    )
    voice = presets.voices["ryan"]
    told = small.prepare(say("yes", voice, instruction="quietly"))
    assert torch.equal(told.rows, small.prepare(say("yes", voice)).rows)


def test_cloned_voices_refuse_an_instruction(base: SpeechModel) -> None:
    with pytest.raises(SettingUnsupported, match="no instruction"):
        prepared(base, "yes", instruction="quietly")


def test_a_description_and_an_instruction_are_said_together(designed: SpeechModel) -> None:
    voice = designed.voices["designed"]
    described = replace(voice, conditioning=replace(voice.conditioning, description="An old man."))  # type: ignore[type-var]
    both = designed.frontend.prepare(say("yes", described, instruction="Slowly."))
    one = designed.frontend.prepare(say("yes", voice, instruction="An old man. Slowly."))
    assert isinstance(both, QwenPrompt)
    assert isinstance(one, QwenPrompt)
    assert torch.equal(both.rows, one.rows)


def test_too_long_an_instruction(designed: SpeechModel) -> None:
    with pytest.raises(InvalidRequest, match="1000 characters"):
        prepared(designed, "yes", instruction="x" * 1001)


def test_what_does_not_fit_a_row_is_refused(designed: SpeechModel) -> None:
    with pytest.raises(TextRefused, match="too long"):
        prepared(designed, "word " * 300)


def test_a_voice_of_another_family(presets: SpeechModel) -> None:
    with pytest.raises(InvalidRequest, match="belongs to another model"):
        presets.frontend.prepare(say("yes", Voice("x", "y", (), 0, conditioning=3)))


@pytest.mark.parametrize(
    ("name", "value"),
    [("temperature", -0.1), ("temperature", 9.0), ("top_p", 0.0), ("top_k", -1), ("repetition_penalty", 0.0)],
)
def test_settings_out_of_range(presets: SpeechModel, name: str, value: float) -> None:
    with pytest.raises(InvalidRequest, match=name):
        prepared(presets, "yes", sampling=SamplingParams(**{name: value}))  # type: ignore[arg-type]


def test_temperature_zero_is_greedy_throughout(presets: SpeechModel) -> None:
    cold = prepared(presets, "yes", sampling=SamplingParams(temperature=0.0))
    warm = prepared(presets, "yes", sampling=SamplingParams(temperature=0.5))
    assert (cold.talker.temperature, cold.predictor.temperature) == (0.0, 0.0)
    assert (warm.talker.temperature, warm.predictor.temperature) == (0.5, 0.9)
    assert (warm.talker.top_k, warm.talker.repetition_penalty) == (50, 1.05)


def test_bounds_grow_with_the_text() -> None:
    guards = Guards()
    text = "Seven red lanterns hang above the river."
    fewest, most = guards.fewest(text, 12.5), guards.most(text, 12.5, 10_000)
    assert 2 <= fewest < 40 < most < 250
    assert guards.most(text * 100, 12.5, 1000) == 1000
    assert guards.fewest("1次", 12.5) == 2
    assert guards.most("1次", 12.5, 10_000) < 100
    assert guards.fewest("今天天气很好我们去公园", 12.5) > guards.fewest("abcdefghijk", 12.5)


def test_the_reference_has_one_bound_only() -> None:
    assert REFERENCE.fewest("a long text " * 50, 12.5) == 2
    assert REFERENCE.most("a", 12.5, 8191) == 8191


@given(st.text(max_size=200))
def test_bounds_leave_room_for_any_text(text: str) -> None:
    guards = Guards()
    assert 2 <= guards.fewest(text, 12.5) < guards.most(text, 12.5, 10**9)


def test_known_languages_only() -> None:
    assert language_name("en-GB", {"english": 1}) == "english"
    with pytest.raises(SettingUnsupported):
        language_name("fr", {"english": 1})
