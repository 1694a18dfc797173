"""What is said for what is written: one table per class, as callers and language models write it."""

from __future__ import annotations

import pytest
from rhapsode_server.text.desk import TextDesk

DESK = TextDesk(reads="letters", longest=240)

NUMBERS = {
    "0": "zero",
    "7": "seven",
    "42": "forty two",
    "105": "one hundred and five",
    "1,234,567": "one million two hundred and thirty four thousand five hundred and sixty seven",
    "a total of 1,200, then": "a total of one thousand two hundred, then",
    "3.14": "three point one four",
    "it is .5 or 0.05": "it is zero point five or zero point zero five",
    "-5": "minus five",
    "−5": "minus five",
    "+5": "plus five",
    "~20 people": "about twenty people",
    "≤ 10": "at most ten",
    "007": "zero zero seven",
    "12345678": "one two three four five six seven eight",
    "pages 5-10": "pages five to ten",
    "5–10 people": "five to ten people",
    "1st 2nd 3rd 4th 21st 112th": "first second third fourth twenty first one hundred and twelfth",
    "in 1999 and 2026": "in nineteen ninety nine and twenty twenty six",
    "in 1850": "in eighteen fifty",
    "1850 rooms": "one thousand eight hundred and fifty rooms",
    "1905, 2005": "nineteen oh five, two thousand and five",
    "the 1990s, '80s and 90s": "the nineteen nineties, eighties and nineties",
    "the 2000s and 2010s": "the two thousands and twenty tens",
    "2019-2023": "twenty nineteen to twenty twenty three",
    "1914-18": "nineteen fourteen to eighteen",
    "1/2 3/4 2/3 1/8": "one half three quarters two thirds one eighth",
    "2 1/2 cups, 1½ cups": "two and a half cups, one and a half cups",
    "½ cup": "one half cup",
    "22/7": "twenty two over seven",
    "4.5/5 and 10/10": "four point five out of five and ten out of ten",
    "24/7": "twenty four seven",
    "16:9": "sixteen to nine",
    "3-2": "three to two",
    "1920x1080": "one thousand nine hundred and twenty by one thousand and eighty",
    "3x faster": "three times faster",
    "10k users, 5M people, 3bn": "ten thousand users, five million people, three billion",
    "2.5 million": "two point five million",
    "4K": "four K",
    "2.0.1": "two point zero point one",
    "v2.0": "V two point zero",
    "10.0.0.1": "ten dot zero dot zero dot one",
    "١٢٣": "one hundred and twenty three",
    "１２": "twelve",
    "2+2=4": "two plus two equals four",
    "5 - 3 = 2": "five minus three equals two",
    "6 × 7 = 42": "six times seven equals forty two",
    "8 ÷ 2": "eight divided by two",
    "2^10": "two to the power of ten",
    "x² + y³": "x squared plus y cubed",
    "a < b and 5 > 3": "a less than b and five more than three",
}
MONEY = {
    "$3.50": "three dollars and fifty cents",
    "$1": "one dollar",
    "$1.00": "one dollar",
    "$1.01": "one dollar and one cent",
    "$0.99": "ninety nine cents",
    "$1,234.56": "one thousand two hundred and thirty four dollars and fifty six cents",
    "€1,200": "one thousand two hundred euros",
    "20€": "twenty euros",
    "£5m": "five million pounds",
    "£2.50": "two pounds and fifty pence",
    "$1.5B": "one point five billion dollars",
    "$5 million": "five million dollars",
    "$10k": "ten thousand dollars",
    "¥500": "five hundred yen",
    "₹99": "ninety nine rupees",
    "5 USD": "five dollars",
    "USD 5": "five dollars",
    "30 CHF": "thirty Swiss francs",
    "US$30": "thirty US dollars",
    "C$20": "twenty Canadian dollars",
    "-$20": "minus twenty dollars",
    "$5-$10": "five to ten dollars",
    "$5-10 million": "five to ten million dollars",
    "99¢": "ninety nine cents",
    "$20/month": "twenty dollars per month",
    "$100K/yr": "one hundred thousand dollars per year",
    "5€/kg": "five euros per kilogram",
}
PERCENT_AND_UNITS = {
    "50% off": "fifty percent off",
    "3.5%": "three point five percent",
    "5-10%": "five to ten percent",
    "10%–15%": "ten to fifteen percent",
    "5 km": "five kilometers",
    "1 km": "one kilometer",
    "0.5 L": "zero point five liters",
    "10kg": "ten kilograms",
    "3.5 GHz": "three point five gigahertz",
    "60 mph": "sixty miles per hour",
    "100 km/h": "one hundred kilometers per hour",
    "20°C": "twenty degrees Celsius",
    "-5 °F": "minus five degrees Fahrenheit",
    "1°C": "one degree Celsius",
    "a 90° turn": "a ninety degrees turn",
    "5 m² or 3m³": "five square meters or three cubic meters",
    "16GB of RAM": "sixteen gigabytes of RAM",
    "100 Mbps": "one hundred megabits per second",
    "10 µm": "ten micrometers",
    "5'10\" tall": "five foot ten tall",
    "5 ft 4 in. tall": "five feet four inches tall",
    "a 10-inch screen, a 5-km run": "a ten inch screen, a five kilometer run",
    "20-25 min": "twenty to twenty five minutes",
    "10 x 20 cm": "ten by twenty centimeters",
    "1/2 tsp": "one half teaspoon",
    "10 lb., 3 oz": "ten pounds, three ounces",
    "3 items/day": "three items per day",
    "500ms": "five hundred milliseconds",
    "5 A": "five A",
    "meet me at 5 in the lobby": "meet me at five in the lobby",
}
DATES_AND_TIMES = {
    "2026-11-21": "November twenty first, twenty twenty six",
    "11/21/2026": "November twenty first, twenty twenty six",
    "21/11/2026": "November twenty first, twenty twenty six",
    "21.11.2026": "November twenty first, twenty twenty six",
    "Nov 21, 2026": "November twenty first, twenty twenty six",
    "Nov. 5": "November fifth",
    "November 21st": "November twenty first",
    "Nov 21-23": "November twenty first to twenty third",
    "21 November": "the twenty first of November",
    "the 21st of November 2026": "the twenty first of November, twenty twenty six",
    "November 2026": "November twenty twenty six",
    "May 5": "May fifth",
    "may 5 people come": "may five people come",
    "on Mon., Jan. 5": "on Monday, January fifth",
    "3:45 pm": "three forty five P M",
    "15:30": "fifteen thirty",
    "9:05": "nine oh five",
    "12:00": "twelve o'clock",
    "15:00": "fifteen hundred",
    "3pm": "three P M",
    "10 a.m. today": "ten A M today",
    "10:30-11:30 AM": "ten thirty to eleven thirty A M",
    "3-5pm": "three to five P M",
    "10 a.m.–2 p.m. daily": "ten A M to two P M daily",
    "At 3 p.m. We left.": "At three P M. We left.",
    "at 3 p.m. Eastern": "at three P M Eastern",
    "5 o'clock": "five o'clock",
    "2026-11-21T15:30:00Z": "November twenty first, twenty twenty six fifteen thirty",
}
CODES_AND_TELEPHONES = {
    "555-123-4567": "five five five, one two three, four five six seven",
    "(555) 123-4567": "five five five, one two three, four five six seven",
    "+1 555 123 4567": "plus one, five five five, one two three, four five six seven",
    "555.123.4567 ext. 12": "five five five, one two three, four five six seven, extension one two",
    "+44 20 7946 0958": "plus four four, two zero, seven nine four six, zero nine five eight",
    "555-1234": "five five five, one two three four",
    "1-800-FLOWERS": "one eight hundred FLOWERS",
    "call 911": "call nine one one",
    "4111 1111 1111 1111": "four one one one, one one one one, one one one one, one one one one",
    "123-45-6789": "one two three, four five, six seven eight nine",
    "order number 12345": "order number one two three four five",
    "Order #12345": "Order number one two three four five",
    "order #A-1029": "order number A one zero two nine",
    "your PIN is 8842": "your PIN is eight eight four two",
    "room 512": "room five hundred and twelve",
    "#5": "number five",
    "No. 5 and Nos. 6": "number five and numbers six",
    "Springfield, IL 62704": "Springfield, I L six two seven zero four",
    "NY 10036-1234": "N Y one zero zero three six, one two three four",
    "Apt 4B": "apartment four B",
    "Room 101B": "Room one zero one B",
    "A4 B2B MP3 H2O": "A four B two B M P three H two O",
    "H₂O": "H two O",
    "GPT-4o": "G P T four O",
    "COVID-19": "COVID nineteen",
    "flight BA2490": "flight B A two four nine zero",
    "i7-9700K": "I seven nine seven zero zero K",
}
ABBREVIATIONS = {
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
TABLES = (
    NUMBERS, MONEY, PERCENT_AND_UNITS, DATES_AND_TIMES, CODES_AND_TELEPHONES, ABBREVIATIONS, WEB, WORDS,
    MARKDOWN, PUNCTUATION,
)  # fmt: skip
CASES = [case for table in TABLES for case in table.items()]


def said(text: str) -> str:
    return " ".join(piece.text for piece in DESK.pieces(text))


@pytest.mark.parametrize(("written", "spoken"), CASES)
def test_what_is_said(written: str, spoken: str) -> None:
    assert said(written).removesuffix(".") == spoken.removesuffix(".")


def test_the_tables_are_as_wide_as_promised() -> None:
    assert len(CASES) >= 150


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
