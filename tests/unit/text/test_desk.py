"""The desk as its callers use it: refusals, laziness, early starts, pathological texts."""

from __future__ import annotations

import re

import pytest
from hypothesis import given
from hypothesis import strategies as st
from rhapsode_server.core import Piece
from rhapsode_server.errors import TextRefused
from rhapsode_server.text import desk as desk_module
from rhapsode_server.text.desk import TextDesk
from rhapsode_server.text.source import Chunk, Source

PHONES = TextDesk(reads="phones")
LETTERS = TextDesk(reads="letters")
SENTENCE = "Well, the quick brown fox jumped over 3 lazy dogs on Nov 21, 2026, and it cost $3.50 per person. "
LONG = (SENTENCE * 110)[:10_000]


def test_a_piece_carries_words_with_phones_and_places() -> None:
    [piece] = PHONES.pieces("Hello, NASA.")
    assert piece.text == "Hello, NASA."
    assert [(w.text, w.start, w.end, w.after) for w in piece.words] == [
        ("Hello", 0, 5, ","),
        ("NASA", 7, 11, "."),
    ]
    assert piece.words[0].phones == ("HH", "AH0", "L", "OW1")


def test_a_desk_that_reads_letters_pays_for_no_pronunciation(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(desk_module, "pronounce", None)
    [piece] = LETTERS.pieces("Hello the {tomato|T AH0 M AA1 T OW0} apple.")
    assert piece.text == "Hello the tomato apple."
    assert all(word.phones == () for word in piece.words)


@pytest.mark.parametrize("text", ["", "  \n\t", "🎉 …!", "漢字", "{pause 1s}", "***", "\u200f"])
def test_a_text_without_a_sound_is_refused_before_the_first_piece(text: str) -> None:
    with pytest.raises(TextRefused, match="Send at least one") as refused:
        LETTERS.pieces(text)
    assert refused.value.field == "text"


def test_a_text_over_the_limit_is_refused_with_the_limit() -> None:
    assert list(TextDesk(reads="letters", max_characters=5).pieces("abcde"))
    with pytest.raises(TextRefused, match="has 6 characters and the limit is 5"):
        TextDesk(reads="letters", max_characters=5).pieces("abcdef")


@pytest.mark.parametrize("sign", ["\x00", "\x07", "\x1b", "\x7f", "\x85", "\ud800"])
def test_a_control_character_is_refused_with_its_place_and_without_the_text(sign: str) -> None:
    with pytest.raises(TextRefused, match=r"position 7\. Remove it") as refused:
        LETTERS.pieces(f"secret {sign}word")
    assert "secret" not in refused.value.message


def test_tabs_and_line_ends_are_no_control_characters() -> None:
    assert [piece.text for piece in LETTERS.pieces("a\tb\r\nc")] == ["a b c"]


def test_only_english_is_turned_into_phones() -> None:
    assert list(PHONES.pieces("Hello.", "en-GB"))
    assert list(PHONES.pieces("Hello.", ""))
    with pytest.raises(TextRefused, match="Only English") as refused:
        PHONES.pieces("Bonjour.", "fr")
    assert refused.value.field == "language"
    with pytest.raises(TextRefused, match="Only English"):
        PHONES.session("fr")


@pytest.mark.parametrize(
    ("language", "read"),
    [("en", "five cafe"), ("EN_gb", "five cafe"), ("fr", "5 café"), ("", "5 café"), ("eng", "5 café")],
)
def test_the_language_says_whether_the_rules_of_english_apply(language: str, read: str) -> None:
    assert [piece.text for piece in LETTERS.pieces("5 café", language)] == [read]
    session = LETTERS.session(language)
    assert [piece.text for piece in [*session.feed("5 ca"), *session.feed("fé"), *session.finish()]] == [read]


def test_a_desk_refuses_to_cut_too_fine() -> None:
    with pytest.raises(ValueError, match="at least 60"):
        TextDesk(reads="letters", longest=10)


def test_the_first_piece_of_a_long_text_costs_what_that_of_a_short_one_costs(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    read: list[int] = []
    peek = Source._next

    def counted(source: Source) -> Chunk | None:
        read.append(1)
        return peek(source)

    monkeypatch.setattr(Source, "_next", counted)
    next(LETTERS.pieces(SENTENCE))
    short = len(read)
    pieces = LETTERS.pieces(LONG)
    assert len(read) - short <= short
    assert len(list(pieces)) > 50


def test_a_text_of_ten_thousand_characters_is_spoken_whole() -> None:
    pieces = list(LETTERS.pieces(LONG))
    assert pieces[-1].end == len(LONG) == 10_000
    assert sum("fox" in word.text for piece in pieces for word in piece.words) == LONG.count("fox")


PATHOLOGICAL = (
    "a", "7", "a,", ",", ".", "a.", "a-", "1-", "1,", "1/", "1:", "{", "](", "[a](", "(", "1 ", "5 - ",
    "a@", "<a ", "http://", "Nov ", "h\u0337\u0338", "\u200f", "A.", "Dr. ", "aA", "a1", "'", "a'", "#",
    "...a", "- ", "/a", "$1", "1 1/", "+1 ", "\n", "a\r\n", "| a ", ".1", "漢", "M", "1x", ":a", "a_",
    "{a|", "{pause ", "1.1", "12:", "&", "\\", "January 1, ", "1st ", "5 km ", "%", "*a", "`", "~",
    "@a", "#a", "é", "½", "V.", "🎉", "\u00a0", "1,1", "–", "…",
    "30s ", "1h ", "5 m/", "m/s²/", "1.200,50", "α", "a<", "!=", "1e6",
)  # fmt: skip


@pytest.mark.parametrize("english", [True, False])
@pytest.mark.parametrize("unit", PATHOLOGICAL)
def test_no_text_makes_the_work_grow_faster_than_its_length(unit: str, english: bool) -> None:
    """Steps of the walk and the splitter, counted: each is bounded, as no rule looks beyond its view."""

    def steps(length: int) -> int:
        text = (unit * length)[: length - 2] + " a"
        opened = desk_module._opened(text, english=english, ended=True)
        last = desk_module._Pieces(desk_module._Stages(*opened, "letters"), 240, eager=False)
        assert [*last.take()][-1].end == length
        return last.stages.reader.steps + last._splitter.steps

    small, large = steps(2_000), steps(8_000)
    assert large <= 4.5 * small + 200


def work_to_the_first_piece(text: str, *, english: bool) -> int | None:
    """Steps of the walk and the splitter until the first piece is there; None where there is none."""
    opened = desk_module._opened(text, english=english, ended=True)
    last = desk_module._Pieces(
        desk_module._Stages(*opened, "phones" if english else "letters"), 240, eager=False
    )
    if next(last.take(), None) is None:
        return None
    return last.stages.reader.steps + last._splitter.steps


@pytest.mark.parametrize("english", [True, False])
@pytest.mark.parametrize("unit", [*PATHOLOGICAL, "$1,", "a.b.", "((((", "e\u0301", "1a.$(\U0001f600\u0301,"])
def test_no_long_text_begins_later_than_a_short_one(unit: str, english: bool) -> None:
    lengths = (2_000, 10_000)
    short, long = (work_to_the_first_piece((unit * n)[:n], english=english) for n in lengths)
    assert long == short
    assert short is None or short < 400


@given(st.lists(st.sampled_from(PATHOLOGICAL), min_size=1, max_size=12), st.booleans())
def test_no_mixture_makes_the_first_piece_wait(units: list[str], english: bool) -> None:
    """Behind a few words of sense, which are a piece of their own, may stand whatever there is."""
    sense = "Good morning to you all, and welcome to this very house. It is fine to see you."
    hostile = sense + " " + ("".join(units) * 10_000)[: 9_900 - len(sense)]
    try:
        work = work_to_the_first_piece(hostile, english=english)
    except TextRefused:
        return  # a command without an end
    assert work is not None
    assert work < 400


def test_a_number_of_four_hundred_figures_is_read_figure_by_figure() -> None:
    pieces = list(LETTERS.pieces("7" * 400))
    assert sum(len(piece.words) for piece in pieces) == 400
    assert max(len(piece.text) for piece in pieces) <= 240


def feed(text: str, desk: TextDesk = LETTERS) -> list[list[Piece]]:
    session = desk.session()
    return [session.feed(token) for token in re.findall(r"\s?\S+", text)] + [session.finish()]


def test_the_first_words_of_a_long_sentence_do_not_wait_for_its_end() -> None:
    given = feed("Of course I can help you with that, although the whole thing takes a while to get right.")
    early = next(index for index, pieces in enumerate(given) if pieces)
    assert early == 8
    assert given[early][0].text == "Of course I can help you with that,"
    assert given[early][0].pause == 0


def test_a_sentence_without_a_clause_starts_before_it_ends() -> None:
    given = feed(" ".join(["word"] * 40))
    assert next(index for index, pieces in enumerate(given) if pieces) <= 13


def test_a_sentence_is_spoken_when_the_next_one_begins() -> None:
    session = LETTERS.session()
    assert session.feed("Sure. ") == []
    assert [piece.text for piece in session.feed("I")] == ["Sure."]


def test_a_flush_forces_what_is_there_and_more_may_follow() -> None:
    session = LETTERS.session()
    assert session.feed("Hold on a") == []
    [first] = session.flush()
    assert (first.text, first.start, first.end) == ("Hold on a", 0, 9)
    assert session.flush() == []
    assert session.feed(" moment") == []
    [second] = session.finish()
    assert (second.text, second.start, second.end) == ("moment", 9, 16)


def test_a_session_refuses_at_the_fragment_that_is_wrong_with_its_place_in_the_whole() -> None:
    session = LETTERS.session()
    session.feed("good ")
    with pytest.raises(TextRefused, match="position 8"):
        session.feed("bad\x07")


def test_a_session_counts_all_fragments_against_the_limit() -> None:
    session = TextDesk(reads="letters", max_characters=10).session()
    session.feed("12345 ")
    with pytest.raises(TextRefused, match="has 12 characters and the limit is 10"):
        session.feed("67890 ")


def test_a_session_that_said_nothing_is_refused_at_its_end() -> None:
    session = LETTERS.session()
    assert session.feed(" 🎉 ") == []
    assert session.flush() == []
    with pytest.raises(TextRefused, match="nothing that can be spoken"):
        session.finish()


def test_the_article_changes_before_a_vowel_and_only_there() -> None:
    words = [word for piece in PHONES.pieces("The apple, the pear and the end.") for word in piece.words]
    articles = [word.phones for word in words if word.text.lower() == "the"]
    assert articles == [("DH", "IY0"), ("DH", "AH0"), ("DH", "IY0")]


def test_an_end_without_a_mark_is_an_end_for_those_who_read_phones() -> None:
    (piece,) = TextDesk(reads="phones").pieces("hello there")
    assert [word.after for word in piece.words] == ["", "."]
    assert piece.text == "hello there"


def test_a_cut_inside_a_sentence_is_no_end() -> None:
    first, *_ = TextDesk(reads="phones").pieces("one two three four five six seven eight nine ten " * 3)
    assert first.words[-1].after == ""
