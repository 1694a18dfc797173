"""The commands in braces: pronunciations and pauses."""

from __future__ import annotations

import pytest
from rhapsode_server.errors import TextRefused
from rhapsode_server.text.desk import TextDesk

PHONES = TextDesk(reads="phones")
LETTERS = TextDesk(reads="letters")
TOMATO = "You say {tomato|T AH0 M AA1 T OW0}, I don't."


def test_a_word_is_said_with_the_phones_given_and_keeps_its_place() -> None:
    [piece] = PHONES.pieces(TOMATO)
    word = piece.words[2]
    assert (word.text, word.phones, word.after) == ("tomato", ("T", "AH0", "M", "AA1", "T", "OW0"), ",")
    assert TOMATO[word.start : word.end] == "tomato"


def test_a_family_that_reads_letters_gets_the_spelling() -> None:
    assert [piece.text for piece in LETTERS.pieces(TOMATO)] == ["You say tomato, I don't."]


def test_small_letters_and_vowels_without_stress_are_understood() -> None:
    [piece] = PHONES.pieces("{cat|k ae t}")
    assert piece.words[0].phones == ("K", "AE0", "T")


@pytest.mark.parametrize("braces", ["{cat|K Q T}", "{cat|K AE3 T}", "{cat|K1 AE T}"])
def test_an_unknown_phone_is_refused_with_its_place_and_the_valid_ones(braces: str) -> None:
    with pytest.raises(
        TextRefused, match=r"position 4 has an unknown phone.*AA AE .*consonants B CH"
    ) as refused:
        PHONES.pieces(f"The {braces} sat.")
    assert refused.value.field == "text"
    assert "cat" not in refused.value.message


def test_a_pronunciation_without_phones_is_refused() -> None:
    with pytest.raises(TextRefused, match="position 0 is empty"):
        PHONES.pieces("{cat|}")


def test_a_session_refuses_an_unknown_phone_wherever_the_fragments_end() -> None:
    session = PHONES.session()
    assert session.feed("The {cat|K") == []
    with pytest.raises(TextRefused, match="position 4"):
        session.feed(" Q T} sat ")


def test_a_pronunciation_is_never_split_by_fragments() -> None:
    session = PHONES.session()
    pieces = [piece for sign in TOMATO for piece in session.feed(sign)] + session.finish()
    words = [word.text for piece in pieces for word in piece.words]
    assert words == ["You", "say", "tomato", "I", "don't"]


def test_a_pause_ends_a_piece_and_adds_its_seconds() -> None:
    first, second = PHONES.pieces("Wait {pause 1.5s} here.")
    assert (first.text, first.pause) == ("Wait", 1.5)
    assert second.text == "here."


def test_a_pause_after_a_sentence_adds_to_its_own() -> None:
    first, second, last = PHONES.pieces("One. Two. {pause 500ms} {PAUSE 1 s} Three.")
    assert first.pause == pytest.approx(0.3)
    assert second.pause == pytest.approx(1.8)
    assert last.pause == 0


def test_a_pause_of_more_than_ten_seconds_is_refused() -> None:
    assert list(PHONES.pieces("a {pause 10s} b"))
    with pytest.raises(TextRefused, match="position 2 is longer than 10 seconds"):
        PHONES.pieces("a {pause 10001ms} b")


@pytest.mark.parametrize("text", ["{name}", "{ name }", "{{name}}", "{name", "name}", "f{name}"])
def test_other_braces_make_no_sound(text: str) -> None:
    assert "name" in next(LETTERS.pieces(text)).text


def test_a_markdown_link_is_no_pronunciation() -> None:
    assert [piece.text for piece in LETTERS.pieces("[docs](/docs/) and [a|b](c.d)")] == ["docs and a, b"]


@pytest.mark.parametrize("text", ["{a\u200f|XX}", "caf\u00e9 {a|\u200fXX}"])
def test_an_invisible_sign_hides_no_wrong_phone_from_the_first_check(text: str) -> None:
    with pytest.raises(TextRefused, match="unknown phone"):
        PHONES.pieces(f"First. {text}")


def test_wide_braces_are_no_command() -> None:
    assert [piece.text for piece in LETTERS.pieces("\uff5bname|XX\uff5d")] == ["name, X X"]
