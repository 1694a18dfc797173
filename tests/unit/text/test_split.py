"""Where a long text is cut."""

from __future__ import annotations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from rhapsode_server.text.desk import TextDesk

WORDS = ("a", "fox,", "the", "house;", "and", "because", "1,234", "$5", "ran.", "home:", "yes!", "5km", "W.")
DESK = TextDesk(reads="letters", longest=120)


def texts(text: str, desk: TextDesk = DESK) -> list[str]:
    return [piece.text for piece in desk.pieces(text)]


def test_the_first_sentence_stands_alone_however_short() -> None:
    assert texts("Sure. I will do that for you right away, my friend.")[0] == "Sure."


def grown(text: str) -> list[str]:
    desk = DESK.growing()
    return [growth.piece.text for growth in [*desk.feed(text), *desk.finish()] if growth.complete]


def test_pieces_that_grow_end_with_sentences_as_others_do() -> None:
    text = "Sure. One. Two. Three is a bit longer than the others. And here is one more of them."
    assert grown(text) == texts(text)


def test_a_piece_that_grows_long_ends_behind_a_clause_or_between_words() -> None:
    clause = "this goes on and on and on " * 2 + "until there is a comma, and goes on behind it"
    assert grown(clause) == [clause[: clause.index(",") + 1], "and goes on behind it"]
    long = " ".join(["word"] * 40)
    assert [len(piece) <= 120 for piece in grown(long)] == [True] * 3
    assert " ".join(grown(long)) == long
    assert grown("word " * 20 + "1234567890")[1].endswith("one two three four five six seven eight nine zero")


def test_short_sentences_are_spoken_together_later() -> None:
    assert texts("Sure. One. Two. Three is a bit longer than the others.") == [
        "Sure.",
        "One. Two. Three is a bit longer than the others.",
    ]


def test_a_long_first_sentence_is_cut_at_a_clause() -> None:
    first, *_ = texts(
        "When you get to the corner of the street, turn left and walk on until you see the big red house."
    )
    assert first == "When you get to the corner of the street,"


def test_without_a_clause_the_cut_is_before_a_conjunction() -> None:
    first, *_ = texts(
        "The people of the village walked home and the children played until the night had come at last."
    )
    assert first.startswith("The people of the village walked home")
    assert not first.endswith("and")


def test_a_number_is_not_cut() -> None:
    text = "The population is now about 1,234,567,891 and growing. " * 3
    pieces = list(DESK.pieces(text))
    number = {word.start for piece in pieces for word in piece.words if text[word.start].isdigit()}
    assert all(sum(start in {w.start for w in piece.words} for piece in pieces) == 1 for start in number)


def test_a_paragraph_pauses_longer_than_a_sentence_and_a_clause_not_at_all() -> None:
    text = (
        "The first sentence ends right here. The second one ends the paragraph here.\n\n"
        "The third one, which is very long indeed, goes on" + " and on" * 20 + ", ok."
    )
    pieces = list(DESK.pieces(text))
    assert [piece.pause for piece in pieces[:2]] == pytest.approx([0.3, 0.6])
    assert pieces[2].text == "The third one, which is very long indeed,"
    assert pieces[2].pause == 0
    assert pieces[-1].pause == 0


@settings(max_examples=60, deadline=None)
@given(
    words=st.lists(
        st.sampled_from(WORDS),
        min_size=1,
    ),
    longest=st.integers(60, 250),
)
def test_no_piece_is_longer_than_asked(words: list[str], longest: int) -> None:
    for piece in TextDesk(reads="letters", longest=longest).pieces(" ".join(words)):
        assert len(piece.text) <= longest
