"""The frontend: what is said, where it is silent, and what is refused."""

from __future__ import annotations

from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st
from rhapsode_server.core import Piece, SamplingParams, Word
from rhapsode_server.errors import SettingUnsupported, TextRefused
from rhapsode_server.models.base import Utterance
from rhapsode_server.models.ion.frontend import (
    CLOSING,
    CUT,
    LONGEST_TOKEN,
    MOST_TOKENS,
    IonFrontend,
    spell,
    teacher_phone,
)
from rhapsode_server.models.ion.phones import FUNCTION_WORDS, PHONES, SYMBOLS, VOWELS, Token, pause_after

from .conftest import VOICE, utterance

_VOWELS = "AA AE AH AO AW AY EH ER EY IH IY OW OY UH UW"
_CONSONANTS = "B CH D DH F G HH JH K L M N NG P R S SH T TH V W Y Z ZH"


def names(tokens: tuple[Token, ...]) -> list[str]:
    return [SYMBOLS[token.symbol] for token in tokens]


@pytest.mark.parametrize("vowel", _VOWELS.split())
@pytest.mark.parametrize("stress", "012")
def test_every_vowel_has_a_teacher_phone(vowel: str, stress: str) -> None:
    name, stressed = teacher_phone(vowel + stress)
    assert name in VOWELS
    assert stressed == (stress != "0")
    assert (name == "ax") is (vowel == "AH" and stress == "0")


@pytest.mark.parametrize("consonant", _CONSONANTS.split())
def test_every_consonant_has_a_teacher_phone(consonant: str) -> None:
    name, stressed = teacher_phone(consonant)
    assert name in PHONES
    assert name not in VOWELS
    assert stressed == 0


@pytest.mark.parametrize("strange", ["", "XX", "start", "COMMA", "9"])
def test_what_is_not_arpabet_is_refused(strange: str) -> None:
    with pytest.raises(TextRefused):
        teacher_phone(strange)


def test_silences_stand_at_both_ends_and_at_the_marks() -> None:
    tokens = spell(utterance("yes, bed? yes").piece.words)
    assert " ".join(names(tokens)) == "start y eh s comma b eh d question y eh s comma"
    assert [token.word for token in tokens] == [-1, 0, 0, 0, -1, 1, 1, 1, -1, 2, 2, 2, -1]


@pytest.mark.parametrize(
    ("mark", "kind"), [(".", "stop"), ("!", "exclamation"), ("?", "question"), ("-", "comma")]
)
def test_the_mark_decides_the_silence(mark: str, kind: str) -> None:
    assert names(spell(utterance(f"yes{mark}").piece.words))[-1] == kind


def test_the_strongest_of_several_marks_wins() -> None:
    assert pause_after(",?") == "question"
    assert pause_after("...") == "stop"
    assert pause_after('"') == "other"


def test_the_is_said_by_what_follows() -> None:
    assert names(spell(utterance("the apple.").piece.words))[1:3] == ["dh", "iy"]
    assert names(spell(utterance("the bed.").piece.words))[1:3] == ["dh", "ax"]
    assert names(spell(utterance("the, apple.").piece.words))[1:3] == ["dh", "ax"]


def test_little_words_are_said_as_in_a_sentence() -> None:
    assert names(spell(utterance("to bed.").piece.words))[1:3] == ["t", "ax"]


def test_the_letter_a_is_not_the_article() -> None:
    letter = spell((Word("A", 0, 1, ("EY1",)),))
    article = spell((Word("a", 0, 1, ("AH0",)),))
    assert names(letter)[1] == "ey"
    assert names(article)[1] == "ax"


def test_places_stress_and_function_words() -> None:
    start, y, eh, s, _ = spell(utterance("yes.").piece.words)
    assert (y.place, eh.place, s.place) == (1, 0, 2)
    assert (y.stress, eh.stress, s.stress) == (0, 1, 0)
    assert start.word == -1
    assert spell((Word("a", 0, 1, ("AH0",)),))[1].place == 3
    assert "to" in FUNCTION_WORDS
    assert {token.function for token in spell(utterance("to bed.").piece.words) if token.word == 0} == {1}


def test_a_cut_ends_with_less_silence_than_a_sentence() -> None:
    frontend = IonFrontend(8)
    assert frontend.prepare(utterance("yes.")).closing == CLOSING
    assert frontend.prepare(utterance("yes")).closing == CUT


def test_nothing_to_speak_is_refused() -> None:
    with pytest.raises(TextRefused):
        spell(())
    with pytest.raises(TextRefused):
        spell((Word("…", 0, 1, ()),))


def test_a_piece_longer_than_a_row_is_refused() -> None:
    words = tuple(Word("bed", 0, 0, ("B", "EH1", "D")) for _ in range(MOST_TOKENS))
    with pytest.raises(TextRefused, match="shorter"):
        IonFrontend(8).prepare(Utterance(Piece("", words, 0, 0), VOICE))


@pytest.mark.parametrize(
    "change",
    [
        {"instruction": "angrily"},
        {"sampling": SamplingParams(temperature=0.5)},
        {"language": "de"},
        {"speed": 0.4},
        {"speed": 2.1},
    ],
)
def test_settings_it_has_not_got_are_refused(change: dict[str, object]) -> None:
    with pytest.raises(SettingUnsupported):
        IonFrontend(8).prepare(replace(utterance("yes."), **change))  # type: ignore[arg-type]


@pytest.mark.parametrize("language", ["", "en", "en-US", "EN-gb"])
def test_english_is_spoken(language: str) -> None:
    assert IonFrontend(8).prepare(replace(utterance("yes."), language=language)).tokens


@given(count=st.integers(1, 40), speed=st.floats(0.5, 2.0))
def test_the_most_frames_cover_the_longest_durations(count: int, speed: float) -> None:
    words = tuple(Word("bed", 0, 0, ("B", "EH1", "D"), ",") for _ in range(count))
    prompt = IonFrontend(8).prepare(Utterance(Piece("", words, 0, 0), VOICE, speed))
    assert prompt.positions == len(prompt.tokens) == 4 * count + 1
    assert prompt.max_frames * 8 >= len(prompt.tokens) * LONGEST_TOKEN / speed
