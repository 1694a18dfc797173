"""The order of pronunciation: dictionary, word forms, spelling, letter to sound."""

from __future__ import annotations

import pytest
from rhapsode_server.text import letters, lexicon
from rhapsode_server.text.inline import CONSONANTS, VOWELS
from rhapsode_server.text.pronounce import phones_of

PHONES = {*CONSONANTS, *(vowel + stress for vowel in VOWELS for stress in "012")}


@pytest.mark.parametrize(
    ("word", "phones"),
    [
        ("hello", "HH AH0 L OW1"),
        ("HELLO", "HH AH0 L OW1"),
        ("don't", "D OW1 N T"),
        ("NASA", "N AE1 S AH0"),
        ("dogs'", "D AO1 G Z"),
        ("'tis", "T IH1 Z"),
        ("chatbot's", "CH AE1 T B AH0 T S"),
        ("blix's", "B L IH1 K S IH0 Z"),
        ("tokenizing", "T OW1 K AH0 N AY2 Z IH0 NG"),
        ("googled", "G UW1 G AH0 L D"),
        ("deployments", "D IH0 P L OY1 M AH0 N T S"),
        ("nonspeaking", "N AA2 N S P IY1 K IH0 NG"),
        ("xkcd", "EH1 K S K EY1 S IY1 D IY1"),
    ],
)
def test_a_word_is_said(word: str, phones: str) -> None:
    assert phones_of(word) == tuple(phones.split())


@pytest.mark.parametrize(
    ("letter", "phones"),
    [("A", "EY1"), ("W", "D AH1 B AH0 L Y UW0"), ("I's", "AY1 Z"), ("X's", "EH1 K S IH0 Z")],
)
def test_a_letter_is_named(letter: str, phones: str) -> None:
    assert phones_of(letter, spelled=True) == tuple(phones.split())


@pytest.mark.parametrize(
    "word", ["rhapsode", "blorptastic", "kubernetes", "zyxwvutsrq", "a" * 50, "qi", "mmmmmmmm"]
)
def test_an_unknown_word_has_phones_and_at_most_one_primary_stress(word: str) -> None:
    phones = phones_of(word)
    assert phones
    assert set(phones) <= PHONES
    assert sum(phone.endswith("1") for phone in phones) <= 1 or not any(letter in "aeiouy" for letter in word)


def test_every_entry_of_the_dictionary_is_made_of_valid_phones() -> None:
    words, phones = lexicon._tables()
    assert len(words) > 126_000
    assert set(phones) <= PHONES
    assert all(lexicon.look_up(word) for word in list(words)[::500])


def test_acronyms_of_the_dictionary_are_told_from_words() -> None:
    assert [
        word
        for word in ("fbi", "html", "nasa", "hello", "zzzz")
        if lexicon.known(word) and lexicon.is_spelled(word)
    ] == [
        "fbi",
        "html",
    ]


def test_the_model_sounds_out_words_it_has_not_seen() -> None:
    """Held out by hash from its training; figures for all 6,051 of them stand in letters.py."""
    held = {"abacha": "AH0 B AA1 K AH0", "blackboard": "B L AE1 K B AO2 R D"}
    said = {word: " ".join(letters.sound_out(word)) for word in held}
    assert said["blackboard"] == held["blackboard"]
    assert said["abacha"].startswith("AH0 B AA1")
