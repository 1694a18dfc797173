"""What is said for words, signs and Markdown: one table per class, as callers and models write it."""

from __future__ import annotations

import pytest
from rhapsode_server.text.desk import TextDesk

DESK = TextDesk(reads="letters", longest=240)

ABBREVIATIONS = {
    "See Vol. II": "See volume two",
    "Ch. IV and Vol. I of it": "chapter four and volume one of it",
    "Pt. II, pt. 3 and Pt. I": "Part two, part three and Part one",
    "the pt. was, 1 pt. of milk": "the pt. was, one pint of milk",
    "Section C": "Section C",
    "Dr. Smith": "Doctor Smith",
    "Mr. and Mrs. Jones": "Mister and Missus Jones",
    "Dr Smith": "Doctor Smith",
    "e.g. this, i.e. that": "for example this, that is that",
    "e.g., this": "for example, this",
    "cats vs. dogs": "cats versus dogs",
    "apples, etc. The end.": "apples, et cetera. The end.",
    "etc., and so on": "et cetera, and so on",
    "approx. 10": "approximately ten",
    "5 Main St. in Boston": "five Main Street in Boston",
    "St. James": "Saint James",
    "on Elm St. The end": "on Elm Street. The end",
    "5 W. 42nd St.": "five West forty second Street.",
    "Jane Doe, Ph.D., M.D., lives": "Jane Doe, P H D, M D, lives",
    "J. K. Rowling": "J K Rowling",
    "George W. Bush": "George W Bush",
    "plan B. Then": "plan B. Then",
    "the U.S. economy": "the U S economy",
    "in the U.S. It is": "in the U S. It is",
    "Acme Inc. grew": "Acme Incorporated grew",
    "No. I said no. Yes.": "No. I said no. Yes.",
    "Chapter IV, World War II": "Chapter four, World War two",
    "Henry VIII and Elizabeth II": "Henry the eighth and Elizabeth the second",
    "I am": "I am",
    "w/o sugar, w/ milk": "without sugar, with milk",
    "N/A": "not available",
}
WEB = {
    "https://example.com/docs": "example dot com slash docs",
    "See www.foo.co.uk.": "See W W W dot foo dot co dot U K",
    "example.com": "example dot com",
    "ann@example.com": "ann at example dot com",
    "john.doe+x@mail.io": "john dot doe plus x at mail dot I O",
    "x.com/a_b?c=1": "x dot com slash a underscore b question mark c equals one",
    "main.py and README.md": "main dot P Y and README dot md",
    "/usr/local/bin": "slash usr slash local slash bin",
    "@anna_b": "at anna underscore b",
    "#TravelTips": "hashtag Travel Tips",
    "Node.js and .NET": "Node dot J S and dot NET",
}
WORDS = {
    "NASA": "NASA",
    "FBI HTML XKCD": "F B I H T M L X K C D",
    "the US and us": "the U S and us",
    "DO IT NOW": "DO IT NOW",
    "APIs and the CEO's": "A P I's and the C E O's",
    "camelCase JavaScript": "camel Case Java Script",
    "iPhone": "I Phone",
    "McDonald O'Brien": "McDonald O'Brien",
    "café naïve Zürich Straße": "cafe naive Zurich Strasse",
    "cafe\u0301": "cafe",
    "ﬁne": "fine",
    "don’t ‘quote’ “me”": "don't quote me",
    "dogs' and John's": "dogs' and John's",
    "rock 'n' roll": "rock 'n roll",
    "well-known mother-in-law": "well known mother in law",
    "AT&T and R&D": "A T and T and R and D",
    "C++ and C#": "C plus plus and C sharp",
    "and/or": "and or",
    "item(s)": "item",
    "hello 👋🏽 world 🎉": "hello world",
    "漢字 ok Привет": "ok",
    "שלום \u200fok": "ok",
    "h̷e̸l̴l̵o": "hello",
}
MARKDOWN = {
    "cells⁴ divide.¹ So": "cells divide. So",
    "This is **bold**, `code`, *it*, _x_ and ~~no~~.": "This is bold, code, it, x and no.",
    "[text here](https://a.b/c) next": "text here next",
    '[docs](/docs "The title") next': "docs next",
    "![alt](x.png) next": "alt next",
    "# Heading\ntext": "Heading. text",
    "- one\n- two": "one. two",
    "* one\n* two\n\nDone.": "one. two. Done.",
    "1. One\n2. Two": "one, One. two, Two",
    "> quoted": "quoted",
    "| Name | Age |\n|---|---|\n| Bob | 42 |": "Name, Age. Bob, forty two,",
    "```python\nprint(1)\n```\nDone.": "print, one. Done.",
    "a\n\n---\n\nb": "a. b",
    "<b>hi</b> &amp; bye<br/>": "hi and bye",
    "- [x] done": "done",
    "as shown[1] here[^2]": "as shown here",
}
PUNCTUATION = {
    "Wait... what?": "Wait, what?",
    "The end... Then": "The end. Then",
    "Well — yes; no: maybe": "Well - yes; no: maybe",
    "one--two": "one - two",
    "What?! No way!!!": "What? No way!",
    "he (quietly) left": "he, quietly, left",
    '"Stop." He left.': "Stop. He left.",
    "(Really.) Yes": "Really. Yes",
    "end.Start": "end. Start",
    "John Smith\n5 Main St": "John Smith, five Main Street",
    "soft\nwrap": "soft wrap",
    "one\r\n\r\ntwo": "one. two",
    "a, b": "a, b",
}
TABLES = (ABBREVIATIONS, WEB, WORDS, MARKDOWN, PUNCTUATION)
CASES = [case for table in TABLES for case in table.items()]


def said(text: str) -> str:
    return " ".join(piece.text for piece in DESK.pieces(text))


@pytest.mark.parametrize(("written", "spoken"), CASES)
def test_what_is_said(written: str, spoken: str) -> None:
    assert said(written).removesuffix(".") == spoken.removesuffix(".")


def test_the_tables_are_as_wide_as_promised() -> None:
    assert len(CASES) >= 80


def test_every_word_knows_where_it_was_written() -> None:
    text = "Dr. Smith paid $3.50 at café on Nov 21, 2026."
    words = [word for piece in DESK.pieces(text) for word in piece.words]
    found = {word.text: text[word.start : word.end] for word in words}
    assert found["Doctor"] == "Dr."
    assert found["dollars"] == "$3.50"
    assert found["cafe"] == "café"
    assert found["November"] == "Nov"
    assert found["twenty"] == "2026"


def test_an_accent_written_apart_belongs_to_its_word() -> None:
    text = "le cafe\u0301 noir"
    [piece] = DESK.pieces(text)
    assert text[piece.words[1].start : piece.words[1].end] == "cafe\u0301"


def test_an_order_summary_of_a_language_model() -> None:
    text = (
        "Sure! Here's your order summary:\n\n**Order #A-1029**\n- 2 Widgets ($19.99 each)\n"
        "- Shipping: $5.00\n\n"
        "**Total: $44.98**\n\nIt'll arrive by Dec 5th."
    )
    assert said(text) == (
        "Sure! Here's your order summary. Order number A one zero two nine. two Widgets, "
        "nineteen dollars and ninety nine cents each. Shipping: five dollars. "
        "Total: forty four dollars and ninety eight cents. "
        "It'll arrive by December fifth."
    )
