"""A text that arrives in fragments is read like the whole, however it was split."""

from __future__ import annotations

from itertools import pairwise

from hypothesis import given, settings
from hypothesis import strategies as st
from rhapsode_server.core import Growth, Piece
from rhapsode_server.errors import TextRefused
from rhapsode_server.text.desk import TextDesk

DESK = TextDesk(reads="phones", longest=120)
_BITS = """
Hello the apple a I Dr. Mr. St. e.g. etc. U.S. p.m. 5 3.14 1,234 $3.50 €5 million km 5km % Nov 21,
2026 3:45 pm (555) 123-4567 1/2 ½ 20°C NASA FBI XKCD B2B v2.0 iPhone https://a.io/b?c=1
ann@example.com #tag @me **bold** `x` [text](http://x.y {tomato|T {pause 500ms} { } ]( x - — – ... …
?! . , ; : ( ) " ' ’ & + = / and but café cafe\u0301 漢字 🎉 \u200f # ``` --- No. Chapter IV Henry VIII
don't well-known don t s 1990s '80s in of to -5 +1 555 4111 5'10" 10 20 am Jan. May he The It W.
Ph.D. 10k 30s 1h 30m m/s² the 1.200,50 != α <= Vol. 1e6 | -- <b>
000 234 10⁶ x⁴ ⁻¹ 5' 1" 5'' "b" 'c' 'd "e Pt. II 26' 3° by 12" 6" x
&amp; C++ .NET /usr/bin a_b x² 16:9 1-2-3 0042 911 call
"""
BITS = st.sampled_from(
    [
        *_BITS.split(),
        "{tomato|T AH0 M}",
        "{pause 1s}",
        '[a](http://x.y "the title")',
        "\n- ",
        "\n1. ",
        "\n\n## ",
    ]
)
GAPS = st.sampled_from(["", " ", " ", " ", "  ", "\n", "\r\n", "\n\n", "\u00a0", "\u202f", "\t"])
TEXTS = st.lists(st.tuples(BITS, GAPS), max_size=30).map(lambda pairs: "".join(b + g for b, g in pairs))
ANYTHING = st.text(
    st.characters(
        blacklist_categories=["Cs"], blacklist_characters="".join(map(chr, [*range(32), *range(127, 160)]))
    ),
    max_size=80,
)


def words(pieces: list[Piece]) -> list[tuple[str, int, int, tuple[str, ...], str]]:
    return [(w.text, w.start, w.end, w.phones, w.after) for piece in pieces for w in piece.words]


def whole(text: str) -> list[Piece] | None:
    try:
        return list(DESK.pieces(text))
    except TextRefused:
        return None


def in_fragments(text: str, cuts: list[int]) -> list[Piece] | None:
    session, pieces, places = (
        DESK.session(),
        [],
        sorted({0, len(text), *(cut % (len(text) + 1) for cut in cuts)}),
    )
    try:
        for begin, end in pairwise(places):
            pieces += session.feed(text[begin:end])
        return pieces + session.finish()
    except TextRefused:
        return None


@settings(max_examples=120, deadline=None)
@given(text=TEXTS, cuts=st.lists(st.integers(0, 10_000), max_size=40))
def test_the_words_do_not_depend_on_the_fragments(text: str, cuts: list[int]) -> None:
    expected, found = whole(text), in_fragments(text, cuts)
    assert (expected is None) == (found is None)
    if expected is not None and found is not None:
        assert words(found) == words(expected)


@settings(max_examples=60, deadline=None)
@given(text=TEXTS)
def test_one_character_at_a_time_is_the_finest_split(text: str) -> None:
    expected, found = whole(text), in_fragments(text, list(range(len(text))))
    assert [words(pieces or []) for pieces in (expected, found)] == [words(expected or [])] * 2


def grown(text: str, cuts: list[int], flushes: bool = False) -> list[Growth] | None:
    """What a desk says of pieces that grow; with `flushes` every fragment is to be spoken at once."""
    session, growths = DESK.growing(), []
    places = sorted({0, len(text), *(cut % (len(text) + 1) for cut in cuts)})
    try:
        for begin, end in pairwise(places):
            growths += session.feed(text[begin:end])
            growths += session.flush() if flushes else []
        return growths + session.finish()
    except TextRefused:
        return None


@settings(max_examples=120, deadline=None)
@given(text=TEXTS | ANYTHING, cuts=st.lists(st.integers(0, 10_000), max_size=40))
def test_pieces_that_grow_do_not_depend_on_the_fragments(text: str, cuts: list[int]) -> None:
    expected, at_once, found = whole(text), grown(text, []), grown(text, cuts)
    assert (expected is None) == (at_once is None) == (found is None)
    if expected is None or at_once is None or found is None:
        return
    pieces = [growth.piece for growth in found if growth.complete]
    assert pieces == [growth.piece for growth in at_once if growth.complete]
    assert words(pieces) == words(expected)
    check_tiles(text, pieces)


@settings(max_examples=120, deadline=None)
@given(text=TEXTS | ANYTHING, cuts=st.lists(st.integers(0, 10_000), max_size=40), flushes=st.booleans())
def test_a_piece_grows_at_its_end_only(text: str, cuts: list[int], flushes: bool) -> None:
    growths = grown(text, cuts, flushes) or []
    for before, after in pairwise(growths):
        if before.complete:
            assert after.piece.start == before.piece.end
        else:
            assert after.piece.start == before.piece.start
            assert after.piece.text.startswith(before.piece.text)
            assert words([after.piece])[: len(before.piece.words) - 1] == words([before.piece])[:-1]
    assert all(growth.complete for growth in growths[-1:])


def check_tiles(text: str, pieces: list[Piece]) -> None:
    edges = [0, *(piece.end for piece in pieces)]
    assert [piece.start for piece in pieces] == edges[:-1]
    assert edges[-1] == len(text)
    spans = [(w.start, w.end) for piece in pieces for w in piece.words]
    assert all(0 <= start < end <= len(text) for start, end in spans)
    assert [start for start, _ in spans] == sorted(start for start, _ in spans)
    for piece in pieces:
        assert piece.words
        assert all(piece.start <= w.start and w.end <= piece.end for w in piece.words)


@settings(max_examples=120, deadline=None)
@given(text=TEXTS | ANYTHING)
def test_the_pieces_of_a_whole_text_tile_it(text: str) -> None:
    pieces = whole(text)
    if pieces is not None:
        check_tiles(text, pieces)


@settings(max_examples=80, deadline=None)
@given(text=TEXTS | ANYTHING, cuts=st.lists(st.integers(0, 10_000), max_size=20))
def test_the_pieces_of_a_text_in_fragments_tile_it(text: str, cuts: list[int]) -> None:
    pieces = in_fragments(text, cuts)
    if pieces is not None:
        check_tiles(text, pieces)
