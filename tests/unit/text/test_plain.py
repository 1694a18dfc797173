"""Languages without rules: the text passes as it is written, in words and pieces that keep their places."""

from __future__ import annotations

from itertools import pairwise

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from rhapsode_server.core import BREAKS, Piece
from rhapsode_server.errors import TextRefused
from rhapsode_server.text.desk import TextDesk

DESK = TextDesk(reads="letters", longest=120)
_BITS = """
Straße l'eau 3,50 € $5 z.B. Dr. J. 5. « » „ “ ” ‚ ‘ ¿Qué ¡Sí! … ... — – - ! ? , ; : ( ) [ ] 2*3 10~20
你好 。 ！ ？ ； ， 、 漢字かな カタカナー 한국어 안녕하세요. हिन्दी । ॥ مرحبا ؟ ، ۔ สวัสดี Привет ½
② 我用Python写 “你好”
**gras** un**gras**e `x` ~~non~~ [texte](http://x.y ]( { } {mot|T AH0} {pause {name} # ## | * _ 🎉 👍🏽
http://a.io/b?c=1
"""
_ODD = [
    "{pause 1s}",
    '[a](b "c d")',
    "\n- ",
    "\n\n## ",
    "e\u0301",
    "\u0301",
    "\u200d",
    "\u200b",
    "葛\U000e0100",
]
BITS = st.sampled_from([*_BITS.split(), *_ODD, "x" * 70, "a\u0301" * 50])
GAPS = st.sampled_from(["", "", " ", " ", "  ", "\n", "\r\n", "\n\n", "\u00a0", "\u3000", "\t"])
TEXTS = st.lists(st.tuples(BITS, GAPS), max_size=30).map(lambda pairs: "".join(b + g for b, g in pairs))
CONTROLS = "".join(map(chr, [*range(32), *range(127, 160)]))
ANYTHING = st.text(st.characters(blacklist_categories=["Cs"], blacklist_characters=CONTROLS), max_size=80)


def read(text: str, desk: TextDesk = DESK) -> list[Piece]:
    return list(desk.pieces(text, "de"))


def whole(text: str) -> list[Piece] | None:
    try:
        return read(text)
    except TextRefused:
        return None


def in_fragments(text: str, cuts: list[int]) -> list[Piece] | None:
    places = sorted({0, len(text), *(cut % (len(text) + 1) for cut in cuts)})
    session, pieces = DESK.session(""), []
    try:
        for begin, end in pairwise(places):
            pieces += session.feed(text[begin:end])
        return pieces + session.finish()
    except TextRefused:
        return None


def words(pieces: list[Piece] | None) -> list[tuple[str, int, int, str]]:
    return [(w.text, w.start, w.end, w.after) for piece in pieces or [] for w in piece.words]


def check_tiles(text: str, pieces: list[Piece]) -> None:
    edges = [0, *(piece.end for piece in pieces)]
    assert [piece.start for piece in pieces] == edges[:-1]
    assert edges[-1] == len(text)
    spans = [span for piece in pieces for w in piece.words for span in (w.start, w.end)]
    assert spans == sorted(spans)
    for piece in pieces:
        assert piece.words
        assert all(piece.start <= w.start < w.end <= piece.end for w in piece.words)
        assert all(w.after in ("", *BREAKS) and any(map(str.isalnum, w.text)) for w in piece.words)


@settings(max_examples=150, deadline=None)
@given(text=TEXTS | ANYTHING, cuts=st.lists(st.integers(0, 10_000), max_size=40))
def test_the_words_do_not_depend_on_the_fragments(text: str, cuts: list[int]) -> None:
    expected, found = whole(text), in_fragments(text, cuts)
    assert (expected is None) == (found is None)
    assert words(found) == words(expected)
    assert words(in_fragments(text, list(range(len(text))))) == words(expected)


@settings(max_examples=150, deadline=None)
@given(text=TEXTS | ANYTHING, cuts=st.lists(st.integers(0, 10_000), max_size=20))
def test_the_pieces_tile_the_text(text: str, cuts: list[int]) -> None:
    for pieces in (whole(text), in_fragments(text, cuts)):
        if pieces is not None:
            check_tiles(text, pieces)


@settings(max_examples=100, deadline=None)
@given(text=TEXTS | ANYTHING, longest=st.integers(60, 200))
def test_no_piece_is_longer_than_asked_and_white_space_is_folded(text: str, longest: int) -> None:
    try:
        pieces = read(text, TextDesk(reads="letters", longest=longest))
    except TextRefused:
        return
    for piece in pieces:
        assert 0 < len(piece.text) <= longest
        assert piece.text == " ".join(piece.text.split())


@settings(max_examples=60, deadline=None)
@given(st.lists(st.sampled_from(["Äpfel", "für", "3,50", "l'été,", "où?", "더", "यह", "да."]), min_size=1))
def test_a_text_in_plain_words_is_spoken_whole(said: list[str]) -> None:
    assert " ".join(piece.text for piece in read(" ".join(said))) == " ".join(said)


@settings(max_examples=60, deadline=None)
@given(st.text("你好世界。，！かなカナー", max_size=300))
def test_chinese_and_japanese_gain_no_blanks(rest: str) -> None:
    text = "你" + rest
    pieces = read(text)
    assert [word.text for piece in pieces for word in piece.words] == [c for c in text if c not in "。，！"]
    assert all(" " not in piece.text for piece in pieces)


@pytest.mark.parametrize(
    ("text", "pieces"),
    [
        ("Ja. Das ist gut so.", ["Ja.", "Das ist gut so."]),
        ("你好。我是小明，很高兴认识你！", ["你好。", "我是小明，很高兴认识你！"]),
        ("「はい。」と言った。", ["「はい。」", "と言った。"]),
        ("你好！很好？是；对……", ["你好！", "很好？是；对……"]),
        ("नमस्ते। आप कैसे हैं?", ["नमस्ते।", "आप कैसे हैं?"]),
        ("كيف حالك؟ أنا بخير، شكرا.", ["كيف حالك؟", "أنا بخير، شكرا."]),
        ("Vraiment ? « Oui », dit-elle.", ["Vraiment ?", "« Oui », dit-elle."]),
        ("¿Qué tal? ¡Bien!", ["¿Qué tal?", "¡Bien!"]),
        (
            "Am 5. Mai, z.B. bei J. Bach, kostet es 3.50 €.",
            ["Am 5. Mai, z.B. bei J. Bach, kostet es 3.50 €."],
        ),
        ("Ja. Dr. Weiß ist da. Mr. Smith?", ["Ja.", "Dr. Weiß ist da. Mr. Smith?"]),
        ("Mr. Smith ist da.", ["Mr. Smith ist da."]),
        ("eins\n\nzwei", ["eins", "zwei"]),
        ("Es gibt:\n- Äpfel\n- Birnen\n", ["Es gibt:", "Äpfel. Birnen"]),
        ("有：\n* 苹果\n* 梨", ["有：", "苹果。梨"]),
    ],
)
def test_sentences_end_at_the_marks_of_every_script(text: str, pieces: list[str]) -> None:
    assert [piece.text for piece in read(text)] == pieces


@pytest.mark.parametrize(
    ("text", "spans"),
    [
        ("C'est l'été, non ?", ["C'est", "l'été", "non"]),
        ("我用Python 3写", ["我", "用", "Python", "3", "写"]),
        ("한국어를 배워요.", ["한국어를", "배워요"]),
        ("**Fett** und un**gras**e", ["Fett", "und", "un**gras**e"]),
        ("हिन्दी में", ["हिन्दी", "में"]),
        ("«да», — сказал", ["да", "сказал"]),
        ("葛\U000e0100飾", ["葛\U000e0100", "飾"]),
        ("-5 Grad, 10~20, 2*3", ["5", "Grad", "10~20", "2*3"]),
    ],
)
def test_a_word_is_what_stands_between_blanks_or_one_ideograph(text: str, spans: list[str]) -> None:
    assert [text[word.start : word.end] for piece in read(text) for word in piece.words] == spans


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("# Titel", "Titel"),
        ("**Fett**, `code` und un**gras**e.", "Fett, code und ungrase."),
        ('Ein [Verweis](https://a.b "mit Titel"), gut.', "Ein Verweis, gut."),
        ("这是**重点**内容", "这是重点内容"),
        ("de -5 à 10 °C", "de -5 à 10 °C"),
        ("Schön 🎉 heute\t\n\u00a0oder", "Schön heute oder"),
        ("Das {Wort|T AH0} hier", "Das Wort hier"),
        ("Das {Wort} hier", "Das Wort hier"),
        ("他说：“你好”", "他说：“你好”"),
    ],
)
def test_markdown_and_pictures_are_dropped_and_nothing_else(text: str, shown: str) -> None:
    assert " ".join(piece.text for piece in read(text)) == shown


def test_a_pause_is_made_and_a_wrong_pronunciation_refused() -> None:
    assert [piece.pause for piece in read("Eins {pause 500ms} zwei")] == [0.5, 0.0]
    with pytest.raises(TextRefused, match="position 4 has an unknown phone"):
        read("Das {Wort|QQ}")
    session = DESK.session("de")
    session.feed("Das {Wo")
    with pytest.raises(TextRefused, match="position 4 has an unknown phone"):
        session.feed("rt|QQ}")


@pytest.mark.parametrize("text", ["", " \n", "…!", "🎉", "。", "\u0301", "{pause 1s}", "**"])
def test_a_text_without_a_letter_or_figure_is_refused(text: str) -> None:
    with pytest.raises(TextRefused, match="Send at least one"):
        DESK.pieces(text, "zh")


def test_control_characters_and_limits_are_checked_as_ever() -> None:
    with pytest.raises(TextRefused, match=r"position 2\. Remove it"):
        DESK.pieces("是的\x07", "zh")
    session = TextDesk(reads="letters", max_characters=3).session("zh")
    session.feed("是的")
    with pytest.raises(TextRefused, match="has 4 characters and the limit is 3"):
        session.feed("是的")


def test_the_first_piece_is_short_in_every_script() -> None:
    first, second, *_ = read("这是一个没有任何标点符号的很长很长的句子" * 20)
    assert len(first.text) == 20
    assert len(second.text) == 40
    first, *_ = read("слово " * 100)
    assert 40 < len(first.text) <= 60


def test_arriving_text_without_blanks_is_spoken_as_it_comes() -> None:
    session = DESK.session("zh")
    given = [session.feed(letter) for letter in "你好。今天天气很好，我们出去走走吧。"]
    assert [piece.text for pieces in given for piece in pieces] == ["你好。"]
    assert given[3]
    session = DESK.session("ja")
    given = [session.feed(letter) for letter in "今日はとても、いい"]
    assert [piece.text for pieces in given for piece in pieces] == ["今日はとても、"]


def test_a_flush_speaks_what_is_there_and_more_may_follow() -> None:
    session = DESK.session("fr")
    assert session.feed("Bonjour, mon am") == []
    [first] = session.flush()
    assert (first.text, first.start, first.end) == ("Bonjour, mon am", 0, 15)
    [second] = [*session.feed("i !"), *session.finish()]
    assert (second.text, second.start, second.end) == ("i !", 15, 18)


def test_the_splitter_hears_the_speech_and_not_only_the_characters() -> None:
    """Ideographs take longer to say than letters, so fewer of them make a piece that is long enough."""
    assert len(read("好" * 30)) == 2
    assert len(read("안녕 " * 15)) == 2
    assert len(read("да " * 15)) == 1
