"""What is said for figures: one table per class, as callers and language models write it."""

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
    "1 000 000": "one million",
    "10 000 runners, 250 000 votes": "ten thousand runners, two hundred and fifty thousand votes",
    "1 234 567.5": "one million two hundred and thirty four thousand five hundred and sixty seven point five",
    "1\u202f234 and 12\u2009500,5": "one thousand two hundred and thirty four and"
    " twelve thousand five hundred point five",
    "601\u00a0234\u00a0567": "six hundred and one million two hundred and thirty four thousand"
    " five hundred and sixty seven",
    "10 000-15 000 people": "ten thousand to fifteen thousand people",
    "the 10 000th": "the ten thousandth",
    "rooms 12 345": "rooms twelve three hundred and forty five",
    "601 234 567": "six hundred and one two hundred and thirty four five hundred and sixty seven",
    "in 2020 300 people": "in twenty twenty three hundred people",
    "10 100 1000": "ten one hundred one thousand",
    "2 000\n000": "two thousand, zero zero zero",
    "account 12 345 678": "account one two three four five six seven eight",
    "10⁶": "ten to the sixth",
    "10⁻³": "ten to the minus three",
    "x⁴ + y¹⁰": "x to the fourth plus y to the tenth",
    "1.5 × 10⁶ cells": "one point five times ten to the sixth cells",
    "3² and x³": "three squared and x cubed",
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
    "in his 30s in the mid-80s": "in his thirties in the mid eighties",
    "the 50s, 60s, 70s, 80s and 90s": "the fifties, sixties, seventies, eighties and nineties",
    "the '90s": "the nineties",
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
    "x != y and x!=y": "x is not equal to y and x is not equal to y",
    "a<b": "a is less than b",
    "x >= 5 or x<=y": "x is greater than or equal to five or x is less than or equal to y",
    "x == y": "x equals y",
    "scores >= 50": "scores at least fifty",
    "1e6": "one times ten to the six",
    "2.5e-3, 1.5E+10": "two point five times ten to the minus three, one point five times ten to the ten",
    "1.200,50": "one thousand two hundred point five zero",
    "α and Δx": "alpha and delta x",
    "β-rays, 5 λ, π": "beta rays, five lambda, pi",
    "μ = 5": "mu equals five",
    "Ελλάδα ok": "ok",
    "2^10": "two to the power of ten",
    "x² + y³": "x squared plus y cubed",
    "a < b and 5 > 3": "a is less than b and five is greater than three",
}
MONEY = {
    "$3.50": "three dollars and fifty cents",
    "$1": "one dollar",
    "R$ 5 or R$1": "five reais or one real",
    "₿1 and ₿0.5": "one bitcoin and zero point five bitcoins",
    "€1.200,50": "one thousand two hundred euros and fifty cents",
    "1.200,50 €": "one thousand two hundred euros and fifty cents",
    "R$ 1.200,50": "one thousand two hundred reais and fifty centavos",
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
    "5' tall, 1\" wide": "five feet tall, one inch wide",
    "she is 5' and he 6′": "she is five feet and he six feet",
    "a 6' fence, a 3/8\" drill": "a six foot fence, a three eighths inch drill",
    "1 1/2\" deep, 5''": "one and a half inches deep, five inches",
    '1" x 2" board, a 2"x4"': "one inch by two inches board, a two inch by four inch",
    "40° 26' 46\"": "forty degrees twenty six minutes forty six seconds",
    "1 000 km/h, 10 000%": "one thousand kilometers per hour, ten thousand percent",
    "5 ft 4 in. tall": "five feet four inches tall",
    "a 10-inch screen, a 5-km run": "a ten inch screen, a five kilometer run",
    "20-25 min": "twenty to twenty five minutes",
    "10 x 20 cm": "ten by twenty centimeters",
    "1/2 tsp": "one half teaspoon",
    "10 lb., 3 oz": "ten pounds, three ounces",
    "3 items/day": "three items per day",
    "500ms": "five hundred milliseconds",
    "wait 30s please": "wait thirty seconds please",
    "wait 30s or 60s": "wait thirty seconds or sixty seconds",
    "It takes 1h 30m.": "It takes one hour thirty minutes.",
    "1h30m, 2h 5m 10s": "one hour thirty minutes, two hours five minutes ten seconds",
    "1 hour 30m": "one hour thirty minutes",
    "1d 4h or 5m 1s": "one day four hours or five minutes one second",
    "a 30m wall": "a thirty meters wall",
    "10 m/s²": "ten meters per second squared",
    "1 m/s^2": "one meter per second squared",
    "3 km/h, 10 mi/h": "three kilometers per hour, ten miles per hour",
    "5 N/m² or 7g/cm³": "five newtons per square meter or seven grams per cubic centimeter",
    "2 m^3 and 5 s²": "two cubic meters and five seconds squared",
    "80-90 mg/dL": "eighty to ninety milligrams per deciliter",
    "5 and/or 6": "five and or six",
    "see a.io/x²/3": "see a dot I O slash x squared slash three",
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
    "on 2024/12/25": "on December twenty fifth, twenty twenty four",
    "2024/1/5": "January fifth, twenty twenty four",
    "2024/13/25": "twenty twenty four thirteen over twenty five",
    "12/25": "twelve over twenty five",
    "at 20:15:30.5 sharp": "at twenty fifteen thirty point five sharp",
    "15:30:00.000 or 15:30:00.25": "fifteen thirty or fifteen thirty zero point two five",
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
TABLES = (NUMBERS, MONEY, PERCENT_AND_UNITS, DATES_AND_TIMES, CODES_AND_TELEPHONES)
CASES = [case for table in TABLES for case in table.items()]


def said(text: str) -> str:
    return " ".join(piece.text for piece in DESK.pieces(text))


@pytest.mark.parametrize(("written", "spoken"), CASES)
def test_what_is_said(written: str, spoken: str) -> None:
    assert said(written).removesuffix(".") == spoken.removesuffix(".")


@pytest.mark.parametrize(
    "written", ["'5' and \"1\"", 'He said "give me 5" and "1".', "the 'Chapter 5', too", "'Apollo 13' flew"]
)
def test_a_quotation_that_ends_with_figures_has_no_feet_and_no_inches(written: str) -> None:
    assert not {"feet", "foot", "inch", "inches"} & set(said(written).split())


def test_a_quotation_ends_with_its_paragraph_at_the_latest() -> None:
    assert said('"It was open.\n\nIt is 5" wide') == "It was open. It is five inches wide"


@pytest.mark.parametrize("gap", [" ", "\u00a0", "\u2007", "\u2009", "\u202f"])
def test_the_words_of_a_grouped_number_come_from_all_of_it(gap: str) -> None:
    written = f"over 1{gap}000{gap}000 people"
    (piece,) = DESK.pieces(written)
    assert [(word.text, written[word.start : word.end]) for word in piece.words] == [
        ("over", "over"),
        ("one", f"1{gap}000{gap}000"),
        ("million", f"1{gap}000{gap}000"),
        ("people", "people"),
    ]


def test_each_part_of_a_power_comes_from_its_own_characters() -> None:
    written = "about 10⁻¹² m, or 1\" and 5'"
    words = [
        (word.text, written[word.start : word.end]) for piece in DESK.pieces(written) for word in piece.words
    ]
    power = [("to", "⁻¹²"), ("the", "⁻¹²"), ("minus", "⁻¹²"), ("twelve", "⁻¹²")]
    assert words[1:6] == [("ten", "10"), *power]
    assert words[-5:] == [("one", "1"), ("inch", '"'), ("and", "and"), ("five", "5"), ("feet", "'")]


def test_the_tables_are_as_wide_as_promised() -> None:
    assert len(CASES) >= 120
