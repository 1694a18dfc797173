"""The desk as its callers use it: refusals, tiling, laziness, fragments."""

from __future__ import annotations

import pytest
from rhapsode_server.errors import TextRefused
from rhapsode_server.text.desk import TextDesk

PHONES = TextDesk(reads="phones")
LETTERS = TextDesk(reads="letters")


def test_a_piece_carries_words_with_phones_and_places() -> None:
    [piece] = PHONES.pieces("Hello, NASA.")
    assert piece.text == "Hello, NASA."
    assert [(w.text, w.start, w.end, w.after) for w in piece.words] == [
        ("Hello", 0, 5, ","),
        ("NASA", 7, 11, "."),
    ]
    assert piece.words[0].phones == ("HH", "AH0", "L", "OW1")


def test_a_desk_that_reads_letters_gives_no_phones() -> None:
    [piece] = LETTERS.pieces("Hello.")
    assert all(word.phones == () for word in piece.words)


@pytest.mark.parametrize("text", ["", "  \n\t", "🎉 …!", "漢字"])
def test_a_text_without_a_sound_is_refused(text: str) -> None:
    with pytest.raises(TextRefused, match="Send at least"):
        LETTERS.pieces(text)
